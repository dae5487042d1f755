"""A set of 100 MILPs of attacks as MPS files, with what is known of each.

    python benchmarks/instance_set.py --out bnnopt-milps

writes the files, and instances.csv and instances.json about them: sizes, optima, and how hard each
is. The same command gives the same files; one that was interrupted goes on. It takes about an hour,
most of it to look for optima: branch and bound over flips proves those of attacks in the network,
and HiGHS, with a limit on its nodes, those of the files themselves.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

from tqdm import tqdm

import bnnopt
import solvers
from benchmarks.grid.models import build
from benchmarks.record import machine
from bnnopt import AttackInstance, Status, datasets
from bnnopt.files import write_atomically
from bnnopt.formulations.files import describe_attack, write_model
from bnnopt.formulations.names import FORMULATIONS
from bnnopt.zoo import NAMES, ROBUST

TITLE = (__doc__ or "").split("\n", 1)[0]
ABOUT, TABLE = "instances.json", "instances.csv"

EFFORT = 20_000
"""Nodes of branch and bound over flips."""

NODES, LARGEST = 500, 100_000
"""Nodes of HiGHS, and nonzeros of a file beyond which it is not tried."""

TOLERANCE = 1e-3
"""Of HiGHS's optima, in units of margins or targets, all of which are whole."""

COLUMNS = {
    "name": "of the file, without .mps: network, epsilon, test image, model",
    "model": "tight or paper: an attack, by one of the two formulations; (9), (10): subproblems of "
    "IProp, targets of the last hidden layer and of the first",
    "network": "a network that bnnopt ships",
    "image": "index in the test set of the network's data",
    "epsilon": "largest change of a pixel, of 1",
    "rows": "constraints",
    "columns": "variables",
    "nonzeros": "of the constraint matrix",
    "binaries": "variables that are 0 or 1; the others are real",
    "status": "easy: HiGHS proves the file's optimum within the nodes given; hard: it does not, "
    "and branch and bound over flips proves the largest margin of the network's images; open: else",
    "optimum": "of the file, where it is easy; where it is hard, of the network: the file's may be "
    "larger only at points on a threshold, which no image has",
    "best_known": "objective of the best point known; all files are maximised",
    "network_optimum": "the largest margin of the network in the box, in the file's units, where "
    "it is proved; a paper file's optimum may be larger, as it leaves signs of 0 open",
    "bytes": "of the file",
    "sha256": "of the file",
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Member:
    """One file of the set.

    Parameters
    ----------
    network : str
        Of the zoo.
    image : int
        Test-set index.
    epsilon : float
    model : str
        Of `benchmarks.grid.models.MODELS`.
    """

    network: str
    image: int
    epsilon: float
    model: str

    @property
    def name(self) -> str:
        """For the file."""
        model = {"(9)": "layer", "(10)": "input"}.get(self.model, self.model)
        return f"{self.network}-e{self.epsilon:g}-i{self.image}-{model}"

    def instance(self) -> AttackInstance:
        """The attack; a margin of 0 is no flip, as in the paper."""
        network = bnnopt.zoo.load(self.network)
        x = datasets.for_indices(network.dataset, [self.image]).x(self.image)
        return AttackInstance(network, x, self.epsilon, ties="never")


def members() -> list[Member]:
    """The 100 files: every network, several epsilons and images, both formulations, subproblems."""
    found = []
    for number, network in enumerate(name for name in NAMES if name not in ROBUST):
        for turn, epsilon in enumerate((0.005, 0.01, 0.03)):
            found.append(Member(network, (3 * number + turn) % 10, epsilon, "tight"))
        found.append(Member(network, number % 10, 0.01, "paper"))
        if network.endswith("2x100"):
            found += [Member(network, image, 0.005, "paper") for image in range(4)]
        if not network.endswith(("4x100", "5x100")):
            found.append(Member(network, number % 10, 0.01, "(9)"))
            found.append(Member(network, number % 10, 0.01, "(10)"))
        if network.endswith(("2x100", "2x200")):
            found.append(Member(network, 5, 0.02, "(10)"))
    return found


def write_member(member: Member, folder: Path) -> Row:
    """Write a member's file, and find out what is known of it.

    Raises
    ------
    RuntimeError
        If HiGHS proves less than what branch and bound has replayed.
    """
    instance = member.instance()
    model = build(member.model, instance)
    path = folder / f"{member.name}.mps"
    write_model(model, path, _about(member, instance))
    content = path.read_bytes()
    compiled = solvers.compile_model(model)
    row: Row = {
        "name": member.name,
        "model": member.model,
        "network": member.network,
        "image": member.image,
        "epsilon": member.epsilon,
        "rows": compiled.num_rows,
        "columns": compiled.num_columns,
        "nonzeros": int(compiled.matrix.nnz),
        "binaries": int(compiled.integer.sum()),
    }
    known = _known(member, instance, compiled)
    return row | known | {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _about(member: Member, instance: AttackInstance) -> Iterable[str]:
    """The comment at the file's top."""
    where = f"image {member.image} of {instance.network.dataset}"
    if member.model in FORMULATIONS:
        return describe_attack(instance, member.model, bnnopt.__version__, where)
    asked = "last hidden layer" if member.model == "(9)" else "first layer"
    return [
        f"Subproblem {member.model} of integer target propagation, by bnnopt {bnnopt.__version__}",
        f"network: {member.network}; {where}; epsilon: {member.epsilon!r}",
        f"objective: maximize the targets of the {asked} that are met",
    ]


def _known(member: Member, instance: AttackInstance, compiled: solvers.CompiledModel) -> Row:
    """Status, optimum and best known value, in the file's units."""
    best = optimum = margin = None
    if member.model in FORMULATIONS:
        best, margin = _by_flips(member, instance)
    status = "open"
    if compiled.matrix.nnz <= LARGEST:
        result = solvers.get("highs").solve(compiled, solvers.SolveOptions(node_limit=NODES))
        value = result.objective
        if result.termination is solvers.Termination.OPTIMAL and value is not None:
            if best is not None and value < best - TOLERANCE:
                raise RuntimeError(f"{member.name}: HiGHS proves {value}, below {best}")
            status, optimum = "easy", float(round(value))
        if value is not None:
            best = max(float(round(value)), best if best is not None else -float("inf"))
    if status == "open" and member.model == "tight" and margin is not None:
        status, optimum = "hard", margin
    return {"status": status, "optimum": optimum, "best_known": best, "network_optimum": margin}


def _by_flips(member: Member, instance: AttackInstance) -> tuple[float, float | None]:
    """The best margin that branch and bound replayed; and again, if that is the largest."""
    result = bnnopt.attack(
        instance.network,
        instance.image,
        member.epsilon,
        method="bab",
        ties="never",
        effort=EFFORT,
        time_limit=None,
    )
    margin = result.objective / instance.of_margins.unit
    return margin, margin if result.status is Status.OPTIMAL else None


def generate(chosen: Sequence[Member], folder: Path) -> list[Row]:
    """Write files and what is known of them; go on from files that are there and unchanged."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    before = _before(folder)
    for member in tqdm(chosen, file=sys.stderr):
        row = before.get(member.name)
        rows.append(row or write_member(member, folder))
        _describe(folder, rows)
    return rows


def _before(folder: Path) -> dict[str, Row]:
    """What an earlier run says of files that are as it wrote them."""
    path = folder / ABOUT
    if not path.exists():
        return {}
    found = {}
    for row in json.loads(path.read_text())["instances"]:
        file = folder / f"{row['name']}.mps"
        if file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == row["sha256"]:
            found[row["name"]] = row
    return found


def _describe(folder: Path, rows: list[Row]) -> None:
    about = {
        "title": TITLE,
        "limits": {"effort of branch and bound": EFFORT, "nodes of HiGHS": NODES},
        "versions": machine()["versions"],
        "columns": COLUMNS,
        "instances": rows,
    }
    write_atomically(folder / ABOUT, (json.dumps(about, indent=1) + "\n").encode())
    stream = io.StringIO(newline="")
    table = csv.DictWriter(stream, list(COLUMNS), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(folder / TABLE, stream.getvalue().encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    arguments = parser.parse_args()
    rows = generate(members(), arguments.out)
    counts = Counter(row["status"] for row in rows)
    size = sum(row["bytes"] for row in rows)
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    print(f"{len(rows)} files, {size / 2**20:.0f} MiB: {told}")


if __name__ == "__main__":
    main()

"""IProp's default beside the paper's preset, iterated FGSM and the best known; and an ablation.

    python benchmarks/iprop.py --networks mnist-2x100 --epsilons 0.01 --images 0:20

attacks each image in one process, one thread, with

- ``default``: `bnnopt.IProp()`;
- ``anew``: the same algorithm with every Pyomo model built anew at each iteration;
- ``paper``: `bnnopt.IProp.paper()`, with the time limit ``--paper-seconds``;
- ``ifgsm``: iterated FGSM;
- ``bab``: branch and bound, for the best known value.

Per setting it prints iterations a second of wall and of CPU time, the mean share of the gap (best
known of all - start) that each closes, and the flips. ``--ablation`` compares the default with
itself less one idea each. Records are added to the file ``--out`` one by one; what it already has
is not run again, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

import bnnopt
from benchmarks.record import FOLDER, write
from bnnopt import AttackInstance, IProp, datasets
from bnnopt.attacks import attack_class
from bnnopt.attacks.base import Attack, Limits
from bnnopt.attacks.iprop.aware import AwarePropagation
from bnnopt.attacks.iprop.state import State
from bnnopt.attacks.iprop.steps import uniform
from bnnopt.attacks.iprop.subsolver import Subsolver
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS

TITLE = (__doc__ or "").split("\n", 1)[0]
SignArray = npt.NDArray[np.int8]
Contestants = dict[str, tuple[Attack, float]]
Record = dict[str, Any]

KEYS = ("network", "epsilon", "image", "attack")
SUMS = ("iterations", "wall", "cpu")


class AnewPropagation(AwarePropagation):
    """Every (9) and (10) is a Pyomo model, built anew at each iteration."""

    def __init__(
        self, instance: AttackInstance, subsolver: Subsolver, rng: np.random.Generator
    ) -> None:
        super().__init__(instance, subsolver, rng, kernel=False)

    def points(self, state: State, target: SignArray) -> npt.NDArray[np.float64]:
        """As its parent; then all models are closed."""
        found = super().points(state, target)
        self.close()
        return found


def contestants(arguments: argparse.Namespace) -> Contestants:
    """The attacks by name, each with its seconds."""
    seconds, solver = arguments.seconds, arguments.solver
    if arguments.ablation:
        return {name: (attack, seconds) for name, attack in ablations(solver).items()}
    attacks: Contestants = {
        "default": (IProp(solver), seconds),
        "anew": (IProp(solver, propagation=AnewPropagation), seconds),
        "paper": (IProp.paper(solver), arguments.paper_seconds),
        "ifgsm": (attack_class("ifgsm")(), arguments.paper_seconds),
        "bab": (attack_class("bab")(), arguments.best_seconds),
    }
    return attacks


def ablations(solver: str) -> dict[str, Attack]:
    def less(**options: Any) -> IProp:
        return IProp(solver, propagation=partial(AwarePropagation, **options))

    return {
        "default": IProp(solver),
        "without neighbourhoods": less(neighbours=0),
        "without restarts": less(restarts=0),
        "without conflict rows": less(conflicts=False),
        "with (9) over all neurons": less(moving=10**6),
        "with uniform G": IProp(solver, sampler=uniform),
        "without the kernel": less(kernel=False),
        "with models built anew": IProp(solver, propagation=AnewPropagation),
    }


def summary(records: list[Record]) -> list[Record]:
    """A row a setting and contestant; images that all of them have attacked count."""
    rows = []
    for setting in dict.fromkeys((r["network"], r["epsilon"]) for r in records):
        here = [r for r in records if (r["network"], r["epsilon"]) == setting]
        best: dict[int, float] = {}
        for r in here:
            best[r["image"]] = max(r["objective"], best.get(r["image"], -np.inf))
        for name in dict.fromkeys(r["attack"] for r in here):
            own = [r for r in here if r["attack"] == name]
            shares = [
                (r["objective"] - r["start"]) / (best[r["image"]] - r["start"])
                for r in own
                if best[r["image"]] > r["start"]
            ]
            iterations, wall, cpu = (sum(r[key] or 0 for r in own) for key in SUMS)
            rows.append(
                {
                    "network": setting[0],
                    "epsilon": setting[1],
                    "attack": name,
                    "images": len(own),
                    "iterations/s": round(iterations / wall, 2),
                    "iterations/CPU s": round(iterations / cpu, 2),
                    "gap closed": round(float(np.mean(shares)), 3) if shares else None,
                    "flips": sum(r["objective"] > 0 for r in own),
                    "mean objective": round(float(np.mean([r["objective"] for r in own])), 2),
                }
            )
    return rows


def measure(instance: AttackInstance, attack: Attack, seconds: float) -> Record:
    """One attack; its CPU seconds too, since a loaded machine stretches the others."""
    began = time.process_time()
    result = attack(instance, Limits(seconds))
    return {
        "start": result.start_objective,
        "objective": result.objective,
        "status": result.status.value,
        "iterations": result.iterations,
        "wall": round(result.wall_time, 2),
        "cpu": round(time.process_time() - began, 2),
        "trace": result.as_dict()["trace"],
    }


def run(arguments: argparse.Namespace, records: list[Record]) -> None:
    """Add the records that are missing, image by image."""
    indices = parse_indices(arguments.images, COUNTS["test"])
    networks = [bnnopt.zoo.load(name) for name in arguments.networks.split(",")]
    epsilons = [float(epsilon) for epsilon in arguments.epsilons.split(",")]
    attacks = contestants(arguments)
    known = {tuple(r[key] for key in KEYS) for r in records}
    for index, network, epsilon in product(indices, networks, epsilons):
        image = datasets.for_indices(network.dataset, [index]).x(index)
        instance = AttackInstance(network, image, epsilon)
        for name in arguments.only.split(",") if arguments.only else attacks:
            key = (network.name, epsilon, index, name)
            if key in known:
                continue
            record = dict(zip(KEYS, key, strict=True)) | measure(instance, *attacks[name])
            records.append(record)
            print(json.dumps(record), file=sys.stderr, flush=True)
            write(arguments.out, TITLE, arguments, summary(records), records)


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--networks", default="mnist-2x100,mnist-2x200,mnist-3x100")
    parser.add_argument("--epsilons", default="0.01,0.03")
    parser.add_argument("--images", default="0:20")
    parser.add_argument("--only", help="some of the contestants, as in default,paper")
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the default")
    parser.add_argument("--paper-seconds", type=float, default=60.0)
    parser.add_argument("--best-seconds", type=float, default=60.0)
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--out", type=Path, default=FOLDER / "iprop.json")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    records = json.loads(arguments.out.read_text())["records"] if arguments.out.exists() else []
    run(arguments, records)
    print(tabulate(summary(records), headers="keys"))


if __name__ == "__main__":
    main()

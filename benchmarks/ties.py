"""What the paper's model claims on HiGHS, beside what the network gives at the solver's point.

    python benchmarks/ties.py

A pre-activation of zero leaves the paper's (4) and (5) undecided: the solver may then choose the
sign that suits the objective, which the network does not (docs/mathematics.md).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tabulate import tabulate

import bnnopt
import solvers
from benchmarks.record import FOLDER, write
from bnnopt import AttackInstance, datasets
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS
from bnnopt.formulations.attack import attack_model

TITLE = (__doc__ or "").split("\n", 1)[0]


def claim(instance: AttackInstance, solver: str, limit: float) -> dict[str, Any]:
    """The solver's objective, and the margin of the network at its point."""
    model = attack_model(instance, "paper")
    result = solvers.solve(model, solver, time_limit=limit)
    row: dict[str, Any] = {"termination": result.termination.value, "claimed": result.objective}
    if result.values is not None:
        point = np.array([result.values[p] for p in model.p.values()])
        levels = (instance.levels + point)[None]
        row["real"] = float(instance.margins(levels)[0])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--network", default="fashion-mnist-2x100")
    parser.add_argument("--epsilon", type=float, default=0.003)
    parser.add_argument("--images", default="0:10")
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--limit", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=FOLDER / "ties.json")
    arguments = parser.parse_args()
    network = bnnopt.zoo.load(arguments.network)
    indices = parse_indices(arguments.images, COUNTS["test"])
    images = datasets.for_indices(network.dataset, indices)
    rows = []
    for index in indices:
        instance = AttackInstance(network, images.x(index), arguments.epsilon)
        rows.append({"image": index} | claim(instance, arguments.solver, arguments.limit))
        write(arguments.out, TITLE, arguments, rows)
    print(tabulate(rows, headers="keys"))


if __name__ == "__main__":
    main()

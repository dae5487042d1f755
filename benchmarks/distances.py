"""Smallest L1 and L-infinity distance of a flip: branch and bound beside the tight MILP.

    python benchmarks/distances.py --networks mnist-2x100 --goals l1 --images 0:8 --limit 30

runs both on each image with the same limit of wall seconds, one thread, and prints how many
distances each proved, how often it found a flip, and the median of its distance over the smallest
distance known. Results go to benchmarks/results/distances.json after every image.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tabulate import tabulate

import bnnopt
from benchmarks.record import FOLDER, write
from bnnopt import AttackInstance, Status, datasets
from bnnopt.attacks import attack_class
from bnnopt.attacks.base import Attack, Limits
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS

TITLE = (__doc__ or "").split("\n", 1)[0]
METHODS = ("bab", "milp")
Record = dict[str, Any]


def measure(attack: Attack, instance: AttackInstance, limit: float) -> Record:
    """One attack; its distance and bound are None where nothing flips or nothing is known."""
    attack.prepare(instance)
    result = attack(instance, Limits(limit))
    return {
        "proved": result.status is Status.OPTIMAL,
        "distance": result.goal_values[0] if result.flipped else None,
        "bound": result.goal_bounds[0],
        "seconds": round(result.wall_time, 2),
    }


def summary(rows: list[Record]) -> list[Record]:
    table = []
    for setting in dict.fromkeys((r["network"], r["epsilon"], r["goal"]) for r in rows):
        here = [r for r in rows if (r["network"], r["epsilon"], r["goal"]) == setting]
        for method in METHODS:
            found = [r for r in here if r[method]["distance"] is not None]
            ratios = [
                r[method]["distance"] / min(r[m]["distance"] or np.inf for m in METHODS)
                for r in found
            ]
            table.append(
                dict(zip(("network", "epsilon", "goal"), setting, strict=True))
                | {
                    "method": method,
                    "images": len(here),
                    "proved": sum(r[method]["proved"] for r in here),
                    "flips": len(found),
                    "distance / best": float(np.median(ratios)) if ratios else None,
                    "median (s)": float(np.median([r[method]["seconds"] for r in here])),
                }
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--networks", default="mnist-2x100,mnist-3x100,mnist-2x200")
    parser.add_argument("--epsilon", type=float, default=0.02, help="the box that bounds both")
    parser.add_argument("--goals", default="l1,linf")
    parser.add_argument("--images", default="0:8")
    parser.add_argument("--limit", type=float, default=30.0)
    arguments = parser.parse_args()
    networks = [bnnopt.zoo.load(name) for name in arguments.networks.split(",")]
    indices = parse_indices(arguments.images, COUNTS["test"])
    rows: list[Record] = []
    for network, goal, index in product(networks, arguments.goals.split(","), indices):
        image = datasets.for_indices(network.dataset, indices).x(index)
        instance = AttackInstance(network, image, arguments.epsilon, goal=goal)
        row: Record = {"network": network.name, "epsilon": arguments.epsilon, "goal": goal}
        row["image"] = index
        for method in METHODS[:: 1 if len(rows) % 2 else -1]:
            row[method] = measure(attack_class(method)(), instance, arguments.limit)
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
        write(FOLDER / "distances.json", TITLE, arguments, summary(rows), rows)
    print(tabulate(summary(rows), headers="keys"))


if __name__ == "__main__":
    main()

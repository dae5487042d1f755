"""The tight formulation beside the paper's, on one solver; and an ablation of what makes it tight.

    python benchmarks/formulations.py --networks mnist-2x100 --epsilons 0.005,0.01 --images 0:20

attacks each image with both formulations in alternating order, one thread, and prints, per
setting, how many each proved and the geometric mean of the ratio of their times (building
included) over the images that both proved. ``--ablation`` compares the tight formulation with
itself less one strengthening each. Records are added to the file ``--out`` one by one; what it
already has is not run again, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

import bnnopt
from benchmarks.record import FOLDER, write
from bnnopt import AttackInstance, Status, datasets
from bnnopt.attacks.base import Limits
from bnnopt.attacks.milp import MilpAttack
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS
from bnnopt.formulations.attack import attack_model
from bnnopt.formulations.names import STRENGTHENINGS

SHORTEST_SECONDS = 0.001
TITLE = (__doc__ or "").split("\n", 1)[0]
Record = dict[str, Any]

SETTING = ("network", "epsilon", "solver", "limit")
KEYS = (*SETTING, "image", "formulation")


def contestants(solver: str, ablation: bool) -> dict[str, MilpAttack]:
    """The attacks to compare, by name; the first is the yardstick of the ratios."""
    tight = MilpAttack(solver)
    if not ablation:
        return {"paper": MilpAttack(solver, "paper"), "tight": tight}
    less = {
        f"without {name}": MilpAttack(
            solver, strengthen=[kept for kept in STRENGTHENINGS if kept != name]
        )
        for name in STRENGTHENINGS
    }
    whole = MilpAttack(solver, decompose=False)
    return {"tight": tight, **less, "without decomposition": whole}


def measure(attack: MilpAttack, instance: AttackInstance, limit: float) -> Record:
    result = attack(instance, Limits(limit))
    return {
        "status": result.status.value,
        "objective": result.objective,
        "bound": result.bound,
        "seconds": round(result.wall_time, 4),
        "nodes": result.iterations,
        "model": result.model,
    }


def summary(records: list[Record], names: list[str]) -> list[Record]:
    """A row a setting and formulation; images that all of them have attacked count."""
    rows = []
    for setting in dict.fromkeys(tuple(r[key] for key in SETTING) for r in records):
        here = [r for r in records if tuple(r[key] for key in SETTING) == setting]
        runs = {name: {r["image"]: r for r in here if r["formulation"] == name} for name in names}
        images = set.intersection(*(set(of) for of in runs.values()))
        proved = {
            name: {i for i in images if runs[name][i]["status"] == Status.OPTIMAL} for name in names
        }
        for name in names:
            both = proved[names[0]] & proved[name]
            seconds = {
                n: [max(runs[n][i]["seconds"], SHORTEST_SECONDS) for i in both] for n in names
            }
            rows.append(
                dict(zip(SETTING, setting, strict=True))
                | {
                    "formulation": name,
                    "images": len(images),
                    "proved": len(proved[name]),
                    "both": len(both),
                    "geo. mean (s)": geometric_mean(seconds[name]),
                    "times faster": geometric_mean(np.divide(seconds[names[0]], seconds[name])),
                    "median nodes": median([runs[name][i]["nodes"] or 0 for i in images]),
                }
            )
    return rows


def geometric_mean(values: npt.ArrayLike) -> float:
    return float(np.exp(np.log(values).mean())) if np.size(values) else np.nan


def median(values: list[int]) -> float:
    return float(np.median(values)) if values else np.nan


def disagreements(records: list[Record]) -> list[str]:
    """Images on which two formulations, or two solvers, proved different optima."""
    proved: dict[tuple[Any, ...], set[float]] = {}
    for r in records:
        if r["status"] == Status.OPTIMAL:
            proved.setdefault((r["network"], r["epsilon"], r["image"]), set()).add(r["objective"])
    return [f"{key}: {sorted(optima)}" for key, optima in proved.items() if len(optima) > 1]


def run(arguments: argparse.Namespace, records: list[Record]) -> None:
    """Add the records that are missing, image by image."""
    attacks = contestants(arguments.solver, arguments.ablation)
    indices = parse_indices(arguments.images, COUNTS["test"])
    networks = [bnnopt.zoo.load(name) for name in arguments.networks.split(",")]
    epsilons = [float(epsilon) for epsilon in arguments.epsilons.split(",")]
    known = {tuple(r[key] for key in KEYS) for r in records}
    for turn, (network, epsilon, index) in enumerate(product(networks, epsilons, indices)):
        image = datasets.for_indices(network.dataset, indices).x(index)
        instance = AttackInstance(network, image, epsilon)
        for name in list(attacks)[:: 1 if turn % 2 else -1]:
            key = (network.name, epsilon, arguments.solver, arguments.time_limit, index, name)
            if key in known:
                continue
            measured = measure(attacks[name], instance, arguments.time_limit)
            records.append(dict(zip(KEYS, key, strict=True)) | measured)
            print(json.dumps(records[-1]), file=sys.stderr, flush=True)
            write(arguments.out, TITLE, arguments, summary(records, list(attacks)), records)


def building() -> list[dict[str, Any]]:
    """Seconds to build the Pyomo models of the largest shipped networks."""
    rows = []
    for name in ("fashion-mnist-2x500", "fashion-mnist-5x100"):
        instance = AttackInstance(bnnopt.zoo.load(name), datasets.embedded().x(0), 0.01)
        row: dict[str, Any] = {"network": name}
        for title, options in (("whole", True), ("without pixels", False)):
            began = time.perf_counter()
            attack_model(instance, with_pixels=options)
            row[f"{title} (s)"] = round(time.perf_counter() - began, 2)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--networks", default="fashion-mnist-2x100")
    parser.add_argument("--epsilons", default="0.005")
    parser.add_argument("--images", default="0:20")
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--time-limit", type=float, default=120.0)
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.out is None:
        suffix = "-ablation" if arguments.ablation else ""
        arguments.out = FOLDER / f"formulations{suffix}.json"
    records = json.loads(arguments.out.read_text())["records"] if arguments.out.exists() else []
    run(arguments, records)
    names = list(contestants(arguments.solver, arguments.ablation))
    print(tabulate(summary(records, names), headers="keys"))
    differing = disagreements(records)
    print("\n".join(["", f"{len(differing)} images on which proofs disagree", *differing, ""]))
    print(tabulate(building(), headers="keys"))


if __name__ == "__main__":
    main()

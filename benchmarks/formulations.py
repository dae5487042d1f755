"""The tight formulation beside the paper's, on one solver; and an ablation of what makes it tight.

    python benchmarks/formulations.py --networks mnist-2x100 --epsilons 0.005,0.01 --images 0:20

attacks each image with both formulations in alternating order, one thread, and prints, per
setting, how many each proved and the geometric mean of the ratio of their times (building
included) over the images that both proved. ``--ablation`` compares the tight formulation with
itself less one strengthening each. Results go to benchmarks/results/formulations.json after every
image, so that an interrupted run keeps what it has.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
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


def record(name: str, attack: MilpAttack, instance: AttackInstance, limits: Limits) -> Any:
    result = attack(instance, limits)
    return {
        "formulation": name,
        "status": result.status.value,
        "objective": result.objective,
        "bound": result.bound,
        "seconds": round(result.wall_time, 4),
        "nodes": result.iterations,
        "model": result.model,
    }


def summary(records: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """A row a setting and formulation."""
    rows = []
    for setting in dict.fromkeys((r["network"], r["epsilon"]) for r in records):
        here = [r for r in records if (r["network"], r["epsilon"]) == setting]
        runs = {name: {r["image"]: r for r in here if r["formulation"] == name} for name in names}
        images = set.intersection(*(set(of) for of in runs.values()))
        for name in names:
            both = [
                image
                for image in images
                if all(runs[n][image]["status"] == Status.OPTIMAL for n in (names[0], name))
            ]
            ratios = [
                max(runs[names[0]][i]["seconds"], SHORTEST_SECONDS)
                / max(runs[name][i]["seconds"], SHORTEST_SECONDS)
                for i in both
            ]
            seconds = [max(runs[name][i]["seconds"], SHORTEST_SECONDS) for i in both]
            proved = sum(runs[name][i]["status"] == Status.OPTIMAL for i in images)
            rows.append(
                {
                    "network": setting[0],
                    "epsilon": setting[1],
                    "formulation": name,
                    "proved": f"{proved}/{len(images)}",
                    "both": len(both),
                    "geo. mean (s)": round(_geometric_mean(seconds), 3),
                    "times faster": round(_geometric_mean(ratios), 2),
                    "median nodes": float(np.median([runs[name][i]["nodes"] or 0 for i in images])),
                }
            )
    return rows


def _geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.log(values).mean())) if values else float("nan")


def disagreements(records: list[dict[str, Any]]) -> list[str]:
    """Images on which two formulations proved different optima."""
    proved: dict[tuple[Any, ...], set[float]] = {}
    for r in records:
        if r["status"] == Status.OPTIMAL:
            proved.setdefault((r["network"], r["epsilon"], r["image"]), set()).add(r["objective"])
    return [f"{key}: {sorted(optima)}" for key, optima in proved.items() if len(optima) > 1]


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
    parser.add_argument("--out", type=Path, default=FOLDER / "formulations.json")
    arguments = parser.parse_args()
    attacks = contestants(arguments.solver, arguments.ablation)
    limits, indices = Limits(arguments.time_limit), parse_indices(arguments.images, COUNTS["test"])
    records: list[dict[str, Any]] = []
    settings = [
        (name, float(epsilon))
        for name in arguments.networks.split(",")
        for epsilon in arguments.epsilons.split(",")
    ]
    for turn, (name, epsilon, index) in enumerate((*s, i) for s in settings for i in indices):
        network = bnnopt.zoo.load(name)
        images = datasets.for_indices(network.dataset, indices)
        instance = AttackInstance(network, images.x(index), epsilon)
        for contestant in list(attacks)[:: 1 if turn % 2 else -1]:
            run = record(contestant, attacks[contestant], instance, limits)
            records.append({"network": name, "epsilon": epsilon, "image": index} | run)
            print(json.dumps(records[-1]), file=sys.stderr, flush=True)
        write(arguments.out, TITLE, arguments, summary(records, list(attacks)), records)
    print(tabulate(summary(records, list(attacks)), headers="keys"))
    differing = disagreements(records)
    print("\n".join(["", f"{len(differing)} images on which proofs disagree", *differing, ""]))
    print(tabulate(building(), headers="keys"))


if __name__ == "__main__":
    main()

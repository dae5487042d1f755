"""Branch and bound and pattern search beside the paper's MILP: proofs, reach, and speed.

    python benchmarks/search.py proof --images 0:20      # bab against the paper's model on HiGHS
    python benchmarks/search.py reach --limit 60         # what bab proves; pattern in 1 s
    python benchmarks/search.py wide --images 0:2        # the same on wider and deeper networks
    python benchmarks/search.py throughput               # one worker against two

Times of ``proof`` are CPU seconds of one thread; loading the compiled kernel comes before and is
printed apart. Results go to benchmarks/results/search-*.json after every image.
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
from bnnopt import AttackInstance, AttackResult, Status, datasets
from bnnopt.api import attack as attack_image
from bnnopt.attacks import attack_class
from bnnopt.attacks.base import Attack, Limits
from bnnopt.attacks.flips import BranchAndBound, PatternAttack
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS
from bnnopt.jobs import Job, run_jobs
from bnnopt.search.warm_up import warm_up

SETTINGS = (
    "mnist-2x100:0.01,mnist-3x100:0.01,fashion-mnist-2x100:0.01,mnist-2x100:0.02,mnist-2x200:0.01"
)
WIDE = (
    "mnist-4x100:0.01,mnist-5x100:0.01,mnist-2x300:0.01,mnist-2x500:0.01,mnist-2x100:0.03,"
    "mnist-3x100:0.03,mnist-2x100:0.05"
)
PROOF = (
    "Branch and bound beside the paper's MILP: how many optima each proves, in how much CPU time."
)
REACH = (
    "Branch and bound: how many optima it proves; pattern search in a second: how often it has the"
    " best known margin, and how often less than IProp in half a minute."
)


def run(attack: Attack, instance: AttackInstance, limit: float) -> tuple[AttackResult, float]:
    """The result, and CPU seconds."""
    began = time.process_time()
    result = attack(instance, Limits(limit))
    return result, time.process_time() - began


def record(result: AttackResult, cpu: float) -> dict[str, Any]:
    return {
        "status": result.status.value,
        "objective": result.objective,
        "bound": result.bound,
        "cpu": round(cpu, 4),
        "nodes": result.iterations,
        "trace": [[round(t, 3), v] for t, v in result.trace],
    }


def instances(setting: str, images: str) -> list[tuple[int, AttackInstance]]:
    name, epsilon = setting.split(":")
    network = bnnopt.zoo.load(name)
    indices = parse_indices(images, COUNTS["test"])
    data = datasets.for_indices(network.dataset, indices)
    return [(i, AttackInstance(network, data.x(i), float(epsilon))) for i in indices]


def proof(arguments: argparse.Namespace) -> None:
    """Both methods on every image, in alternating order."""
    milp = attack_class("milp")
    contestants = {"paper": milp(arguments.solver, "paper"), "bab": BranchAndBound()}
    rows: list[dict[str, Any]] = []
    for setting in arguments.settings.split(","):
        for turn, (index, instance) in enumerate(instances(setting, arguments.images)):
            row: dict[str, Any] = {"setting": setting, "image": index}
            for name in list(contestants)[:: 1 if turn % 2 else -1]:
                row[name] = record(*run(contestants[name], instance, arguments.limit))
            rows.append(row)
            write(FOLDER / "search-proof.json", PROOF, arguments, proofs(rows), rows)
            print(json.dumps(row), file=sys.stderr, flush=True)
    print(tabulate(proofs(rows), headers="keys"))


def proofs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Geometric means of CPU times, and of their ratio, over the images that both prove."""
    table = []
    for setting in dict.fromkeys(r["setting"] for r in rows):
        here = [r for r in rows if r["setting"] == setting]
        both = [r for r in here if r["paper"]["status"] == r["bab"]["status"] == Status.OPTIMAL]
        table.append(
            {
                "setting": setting,
                "images": len(here),
                "paper proved": sum(r["paper"]["status"] == Status.OPTIMAL for r in here),
                "bab proved": sum(r["bab"]["status"] == Status.OPTIMAL for r in here),
                "differing": sum(r["paper"]["objective"] != r["bab"]["objective"] for r in both),
                "paper (CPU s)": geometric_mean([r["paper"]["cpu"] for r in both]),
                "bab (CPU s)": geometric_mean([r["bab"]["cpu"] for r in both]),
                "times": geometric_mean([r["paper"]["cpu"] / r["bab"]["cpu"] for r in both]),
            }
        )
    return table


def geometric_mean(values: list[float]) -> float:
    return round(float(np.exp(np.log(np.maximum(values, 1e-4)).mean())), 4) if values else np.nan


def reach(arguments: argparse.Namespace) -> None:
    """Branch and bound, pattern search for a second, and IProp, on every image."""
    attacks = {
        "bab": (BranchAndBound(), arguments.limit),
        "pattern": (PatternAttack(), 1.0),
        "iprop": (attack_class("iprop")(), 30.0),
    }
    rows: list[dict[str, Any]] = []
    for setting in arguments.settings.split(","):
        for index, instance in instances(setting, arguments.images):
            row: dict[str, Any] = {"setting": setting, "image": index}
            for name, (attack, limit) in attacks.items():
                row[name] = record(*run(attack, instance, limit))
            rows.append(row)
            write(FOLDER / f"search-{arguments.mode}.json", REACH, arguments, reached(rows), rows)
            print(json.dumps(row), file=sys.stderr, flush=True)
    print(tabulate(reached(rows), headers="keys"))


def reached(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many images bab proves, and how often pattern search is at the best known margin."""
    table = []
    for setting in dict.fromkeys(r["setting"] for r in rows):
        here = [r for r in rows if r["setting"] == setting]
        found = {name: [r[name]["objective"] for r in here] for name in ("bab", "pattern", "iprop")}
        best = np.max(list(found.values()), axis=0)
        below = np.less(found["pattern"], found["iprop"]).sum()
        proved = [r for r in here if r["bab"]["status"] == Status.OPTIMAL]
        table.append(
            {
                "setting": setting,
                "proved": f"{len(proved)}/{len(here)}",
                "median (CPU s)": float(np.median([r["bab"]["cpu"] for r in here])),
                "most nodes": max(r["bab"]["nodes"] for r in here),
                "pattern at best known": f"{(best == found['pattern']).sum()}/{len(here)}",
                "IProp at best known": f"{(best == found['iprop']).sum()}/{len(here)}",
                "pattern below IProp": f"{below}/{len(here)}",
            }
        )
    return table


def throughput(arguments: argparse.Namespace) -> None:
    """Wall seconds of the same attacks on one worker and on two."""
    network = bnnopt.zoo.load("fashion-mnist-2x100")
    images = datasets.embedded()
    options: dict[str, Any] = {"method": "bab", "time_limit": arguments.limit}
    jobs = [
        Job(attack_image, network, images.x(i), 0.01, options | {"index": i}) for i in range(40)
    ]
    seconds = {}
    for workers in (1, 2):
        began = time.perf_counter()
        list(run_jobs(jobs, workers))
        seconds[workers] = time.perf_counter() - began
    print(f"{len(jobs)} attacks: {seconds}; ratio {seconds[1] / seconds[2]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("mode", choices=("proof", "reach", "wide", "throughput"))
    parser.add_argument("--settings", help="network:epsilon,network:epsilon")
    parser.add_argument("--images", default="0:20")
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--limit", type=float, default=60.0)
    arguments = parser.parse_args()
    began = time.process_time()
    warm_up()
    print(f"kernel loaded in {time.process_time() - began:.1f} CPU s", file=sys.stderr)
    if arguments.settings is None:
        settings = {"proof": "mnist-2x100:0.01", "wide": WIDE}
        arguments.settings = settings.get(arguments.mode, SETTINGS)
    modes = {"proof": proof, "reach": reach, "wide": reach, "throughput": throughput}
    modes[arguments.mode](arguments)


if __name__ == "__main__":
    main()

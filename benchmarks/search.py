"""Branch and bound and pattern search beside the paper's MILP: proofs, reach, and speed.

    python benchmarks/search.py proof --images 0:20      # bab against the paper's model on HiGHS
    python benchmarks/search.py reach --limit 60         # what bab proves
    python benchmarks/search.py wide --images 0:2        # the same on wider and deeper networks
    python benchmarks/search.py pattern                  # pattern search in 1 s beside IProp in 30
    python benchmarks/search.py throughput               # one worker against two

Times are CPU seconds of one thread, and so is the limit of ``reach`` and ``wide``; loading the
compiled kernel comes before and is printed apart. Results go to benchmarks/results/search-*.json
after every image.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tabulate import tabulate

import bnnopt
from benchmarks.record import FOLDER, write
from bnnopt import AttackInstance, AttackResult, Status, datasets
from bnnopt.api import attack as attack_image
from bnnopt.attacks import attack_class, deadline
from bnnopt.attacks.base import Attack, Limits
from bnnopt.attacks.flips import BranchAndBound, PatternAttack
from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS
from bnnopt.jobs import Job, run_jobs
from bnnopt.search.warm_up import warm_up

SETTINGS = (
    "mnist-2x100:0.01,mnist-3x100:0.01,fashion-mnist-2x100:0.01,mnist-2x100:0.02,mnist-2x200:0.01"
)
DEFAULTS = {
    "proof": "mnist-2x100:0.01",
    "reach": f"{SETTINGS},mnist-2x300:0.01,mnist-3x100:0.02,mnist-2x100:0.03",
    "wide": "mnist-4x100:0.01,mnist-5x100:0.01,mnist-2x500:0.01,mnist-3x100:0.03,mnist-2x100:0.05",
    "pattern": SETTINGS,
}
PROOF = (
    "Branch and bound beside the paper's MILP: how many optima each proves, in how much CPU time."
)
REACH = (
    "Branch and bound: how many optima it proves, in how much CPU time, and the part that goes"
    " before the first node."
)
PATTERN = (
    "Pattern search in a second beside IProp in half a minute: how often either has the better"
    " margin."
)

Record = dict[str, Any]


def run(attack: Attack, instance: AttackInstance, limit: float) -> tuple[AttackResult, float]:
    """The result, and CPU seconds."""
    began = time.process_time()
    result = attack(instance, Limits(limit))
    return result, time.process_time() - began


def set_up(instance: AttackInstance) -> float:
    """CPU seconds that branch and bound takes before its first node."""
    instance = replace(instance)  # so that nothing is computed ahead for the attacks
    began = time.process_time()
    FlipSearch(instance, Limits(), np.zeros((0, instance.network.num_inputs)))
    return round(time.process_time() - began, 4)


def record(result: AttackResult, cpu: float) -> Record:
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
    rows: list[Record] = []
    for setting in arguments.settings.split(","):
        for turn, (index, instance) in enumerate(instances(setting, arguments.images)):
            row: Record = {"setting": setting, "image": index, "set-up": set_up(instance)}
            for name in list(contestants)[:: 1 if turn % 2 else -1]:
                row[name] = record(*run(contestants[name], instance, arguments.limit))
            rows.append(row)
            write(FOLDER / "search-proof.json", PROOF, arguments, proofs(rows), rows)
            print(json.dumps(row), file=sys.stderr, flush=True)
    print(tabulate(proofs(rows), headers="keys"))


def proofs(rows: list[Record]) -> list[Record]:
    """Geometric means of CPU times, and of their ratio, over all images that bab proves.

    A MILP that does not end counts what it took to its limit.
    """
    table = []
    for setting in dict.fromkeys(r["setting"] for r in rows):
        here = [r for r in rows if r["setting"] == setting]
        proved = [r for r in here if r["bab"]["status"] == Status.OPTIMAL]
        both = [r for r in proved if r["paper"]["status"] == Status.OPTIMAL]
        table.append(
            {
                "setting": setting,
                "images": len(here),
                "paper proved": sum(r["paper"]["status"] == Status.OPTIMAL for r in here),
                "bab proved": len(proved),
                "differing": sum(r["paper"]["objective"] != r["bab"]["objective"] for r in both),
                "paper (CPU s)": geometric_mean([r["paper"]["cpu"] for r in proved]),
                "bab (CPU s)": geometric_mean([r["bab"]["cpu"] for r in proved]),
                "of it set-up": geometric_mean([r["set-up"] for r in proved]),
                "times": geometric_mean([r["paper"]["cpu"] / r["bab"]["cpu"] for r in proved]),
            }
        )
    return table


def geometric_mean(values: list[float]) -> float:
    return round(float(np.exp(np.log(np.maximum(values, 1e-4)).mean())), 4) if values else np.nan


def reach(arguments: argparse.Namespace) -> None:
    """Branch and bound on every image."""
    compare({"bab": (BranchAndBound(), arguments.limit)}, reached, REACH, arguments)


def pattern(arguments: argparse.Namespace) -> None:
    """Pattern search for a second, and IProp, on every image."""
    attacks = {"pattern": (PatternAttack(), 1.0), "iprop": (attack_class("iprop")(), 30.0)}
    compare(attacks, found, PATTERN, arguments)


def compare(
    attacks: dict[str, tuple[Attack, float]],
    summary: Callable[[list[Record]], list[Record]],
    title: str,
    arguments: argparse.Namespace,
) -> None:
    """Attacks on every image, and a table of them."""
    rows: list[Record] = []
    for setting in arguments.settings.split(","):
        for index, instance in instances(setting, arguments.images):
            row: Record = {"setting": setting, "image": index, "set-up": set_up(instance)}
            for name, (attack, limit) in attacks.items():
                row[name] = record(*run(attack, instance, limit))
            rows.append(row)
            path = FOLDER / f"search-{arguments.mode}.json"
            write(path, title, arguments, summary(rows), rows)
            print(json.dumps(row), file=sys.stderr, flush=True)
    print(tabulate(summary(rows), headers="keys"))


def by_setting(rows: list[Record]) -> dict[str, list[Record]]:
    return {
        setting: [r for r in rows if r["setting"] == setting]
        for setting in dict.fromkeys(r["setting"] for r in rows)
    }


def reached(rows: list[Record]) -> list[Record]:
    """How many images bab proves, and how quickly."""
    table = []
    for setting, here in by_setting(rows).items():
        proved = [r for r in here if r["bab"]["status"] == Status.OPTIMAL]
        times = [r["bab"]["cpu"] for r in here]
        table.append(
            {
                "setting": setting,
                "proved": f"{len(proved)}/{len(here)}",
                "median (CPU s)": float(np.median(times)),
                "mean (CPU s)": round(float(np.mean(times)), 4),
                "of it set-up (median)": float(np.median([r["set-up"] for r in here])),
                "median nodes": int(np.median([r["bab"]["nodes"] for r in here])),
                "most nodes": max(r["bab"]["nodes"] for r in here),
            }
        )
    return table


def found(rows: list[Record]) -> list[Record]:
    """How often pattern search and IProp have the better of their margins."""
    table = []
    for setting, here in by_setting(rows).items():
        lead = np.array([r["pattern"]["objective"] - r["iprop"]["objective"] for r in here])
        table.append(
            {
                "setting": setting,
                "images": len(here),
                "pattern above": int((lead > 0).sum()),
                "the same": int((lead == 0).sum()),
                "IProp above": int((lead < 0).sum()),
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
    parser.add_argument("mode", choices=("proof", "reach", "wide", "pattern", "throughput"))
    parser.add_argument("--settings", help="network:epsilon,network:epsilon")
    parser.add_argument("--images", default="0:20")
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--limit", type=float, default=60.0)
    arguments = parser.parse_args()
    began = time.process_time()
    warm_up()
    print(f"kernel loaded in {time.process_time() - began:.1f} CPU s", file=sys.stderr)
    if arguments.settings is None:
        arguments.settings = DEFAULTS.get(arguments.mode)
    if arguments.mode in ("reach", "wide"):
        deadline.clock = time.process_time
    modes = {
        "proof": proof,
        "reach": reach,
        "wide": reach,
        "pattern": pattern,
        "throughput": throughput,
    }
    modes[arguments.mode](arguments)


if __name__ == "__main__":
    main()

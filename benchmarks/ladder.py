"""The ladder: how many images of wide networks branch and bound settles, box by box.

    python benchmarks/ladder.py                       # all 100 images, both questions
    python benchmarks/ladder.py --images 0:100:10     # every tenth of them

An image is settled where a flip is found or ruled out, by the tie rule of the network. The two
questions are whether any class beats the one that is predicted, and whether the runner-up does, as
in published figures. One thread an image; the compiled kernel is loaded before. The limit counts
CPU seconds, so that what else runs on the machine takes nothing from them. Records are added
to the file ``--out`` one by one; what it already has is not run again, so that an interrupted run
goes on, and one with more images adds to it.
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
from tabulate import tabulate

import bnnopt
from benchmarks.record import FOLDER, write
from bnnopt import AttackInstance, Status, datasets
from bnnopt.attacks import deadline
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips import BranchAndBound
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS
from bnnopt.search.warm_up import warm_up

NETWORKS = "mnist-2x500,fashion-mnist-2x500"
EPSILONS = "0.002,0.003,0.004,0.006,0.008,0.01"
QUESTIONS = {"all classes": "untargeted", "runner-up": "runner-up"}
TITLE = (
    "How many images of wide networks branch and bound settles: a flip found, or ruled out. Times"
    " are of all images; one that stays open counts as long as it ran."
    " The limit counts CPU seconds."
)
Record = dict[str, Any]

SETTING = ("network", "epsilon", "question", "limit")
KEYS = (*SETTING, "image")


def measure(instance: AttackInstance, limit: float) -> Record:
    """One attack for any flip: wall and CPU seconds, and what came of it."""
    began = time.process_time()
    result = BranchAndBound()(instance, Limits(limit))
    return {
        "status": result.status.value,
        "objective": result.objective,
        "bound": result.bound,
        "seconds": round(result.wall_time, 3),
        "cpu": round(time.process_time() - began, 3),
        "nodes": result.iterations,
    }


def summary(records: list[Record]) -> list[Record]:
    """A row a setting."""
    rows = []
    for setting in sorted({tuple(r[key] for key in SETTING) for r in records}):
        here = [r for r in records if tuple(r[key] for key in SETTING) == setting]
        flipped = sum(r["status"] == Status.OPTIMAL for r in here)
        safe = sum(r["status"] == Status.INFEASIBLE for r in here)
        row = dict(zip(SETTING, setting, strict=True))
        row |= {"images": len(here), "flipped": flipped, "safe": safe}
        row["settled"] = f"{100 * (flipped + safe) / len(here):.0f} %"
        for name, title in (("seconds", "s"), ("cpu", "CPU s")):
            times = [r[name] for r in here]
            row[f"median ({title})"] = float(np.median(times))
            row[f"mean ({title})"] = float(np.mean(times))
        rows.append(row)
    return rows


def run(arguments: argparse.Namespace, records: list[Record]) -> None:
    """Add the records that are missing; all settings of an image before the next image."""
    indices = parse_indices(arguments.images, COUNTS["test"])
    networks = [bnnopt.zoo.load(name) for name in arguments.networks.split(",")]
    epsilons = [float(epsilon) for epsilon in arguments.epsilons.split(",")]
    questions = arguments.questions.split(",")
    known = {tuple(r[key] for key in KEYS) for r in records}
    for index, network, epsilon, question in product(indices, networks, epsilons, questions):
        key = (network.name, epsilon, question, arguments.limit, index)
        if key in known:
            continue
        image = datasets.for_indices(network.dataset, indices).x(index)
        instance = AttackInstance(network, image, epsilon, target=QUESTIONS[question], goal="flip")
        records.append(dict(zip(KEYS, key, strict=True)) | measure(instance, arguments.limit))
        print(json.dumps(records[-1]), file=sys.stderr, flush=True)
        write(arguments.out, TITLE, arguments, summary(records), records)


def main() -> None:
    warm_up()
    deadline.clock = time.process_time
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--epsilons", default=EPSILONS)
    parser.add_argument("--questions", default=",".join(QUESTIONS), help="all classes,runner-up")
    parser.add_argument("--images", default="0:100")
    parser.add_argument("--limit", type=float, default=60.0, help="CPU seconds an image")
    parser.add_argument("--out", type=Path, default=FOLDER / "ladder.json")
    arguments = parser.parse_args()
    records = json.loads(arguments.out.read_text())["records"] if arguments.out.exists() else []
    run(arguments, records)
    print(tabulate(summary(records), headers="keys"))


if __name__ == "__main__":
    main()

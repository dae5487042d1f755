"""Verified accuracy of the robust networks: a campaign that proves, image by image.

    python benchmarks/robust.py mnist-robust-0.1            # any of the zoo's robust networks
    python benchmarks/robust.py mnist-robust-0.3 --images 0:10000:5

asks of each test image whether any other within epsilon gets another class (`method = "verify"`,
in the continuous domain, the lower class at ties), on one thread, 60 s at most. The answers are
kept in a store (`bnnopt campaign check` replays its flips); the same command goes on where one was
interrupted. Then projected gradient ascent attacks every tenth of the images, and
benchmarks/results/robust-NAME.json is written. `--only-write` writes what a store has.

Clean, attacked and verified accuracy are shares of all images asked: predicted right; and not
flipped by gradients; and proved robust. Seconds are those of an image that is predicted right.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from benchmarks.record import FOLDER, write
from bnnopt import attack_images, datasets, zoo
from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import Tally, run_campaign
from bnnopt.campaign.spec import CampaignSpec, parse_spec
from bnnopt.campaign.store import Store
from bnnopt.network import BinarizedNetwork

TITLE = "Verified accuracy of {name} within {epsilon} of a pixel, images {images} of the test set."
SPEC = """
networks = ["{name}"]
images = "{images}"
epsilons = [{epsilon}]
[[methods]]
method = "verify"
time_limit = {limit}
"""
ATTACKED = 10
"""Every so many images are attacked by gradients."""


def epsilon_of(name: str) -> str:
    """The epsilon that a robust network is named after."""
    return name.rsplit("-", 1)[1]


def prove(spec: CampaignSpec, store: Store) -> None:
    """Answer what the store has not answered yet."""
    with tqdm(unit="image", file=sys.stderr, mininterval=1.0) as bar:

        def show(tally: Tally) -> None:
            bar.total = tally.total
            bar.update(tally.done + tally.failed - bar.n)

        run_campaign(spec, store, LocalWorkers(1), progress=show)


def verdicts(spec: CampaignSpec, store: Store) -> list[dict[str, Any]]:
    """Of each image that is done: its number, seconds, and what is known."""
    wanted = {planned.cell.key for planned in spec.cells()}
    found = []
    for row in store.rows():
        if row.key not in wanted or row.state != "done" or row.record is None:
            continue
        record = json.loads(row.record)
        if record["label"] != record["source"]:
            verdict = "wrong"
        elif record["status"] == "infeasible":
            verdict = "robust"
        else:
            verdict = "vulnerable" if record["flipped"] else "unknown"
        found.append({"image": record["image"], "verdict": verdict, "seconds": row.seconds})
    return sorted(found, key=lambda one: int(one["image"]))


def withstood(network: BinarizedNetwork, epsilon: str, numbers: Sequence[int]) -> float:
    """Share of images that are predicted right, and still are after gradients."""
    data = datasets.load(network.dataset, "test")
    right = network.predict(data.x(numbers)) == data.labels[numbers]
    chosen = [number for number, is_right in zip(numbers, right, strict=True) if is_right]
    report = attack_images(
        network,
        data.x(chosen),
        epsilon,
        method="pgd",
        target="untargeted",
        goal="flip",
        device="cpu",
        time_limit=None,
        options={"restarts": 4},
        progress=False,
    )
    return sum(not result.flipped for result in report) / len(numbers)


def row_of(name: str, found: Sequence[dict[str, Any]], limit: float) -> dict[str, Any]:
    """The row of a network: shares of all images in per cent, and times."""
    counts = {
        verdict: sum(one["verdict"] == verdict for one in found)
        for verdict in ("robust", "vulnerable", "unknown", "wrong")
    }
    share = 100.0 / len(found)
    seconds = [one["seconds"] for one in found if one["verdict"] != "wrong"]
    return {
        "network": name,
        "images": len(found),
        "clean %": round(share * (len(found) - counts["wrong"]), 2),
        "verified %": round(share * counts["robust"], 2),
        "flipped": counts["vulnerable"],
        "open": counts["unknown"],
        "mean (s)": float(np.mean(seconds)),
        "median (s)": float(np.median(seconds)),
        "limit (s)": limit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("network", choices=[name for name in zoo.NAMES if "-robust-" in name])
    parser.add_argument("--epsilon", help="that of its name by default")
    parser.add_argument("--images", default="0:10000")
    parser.add_argument("--limit", type=float, default=60.0)
    parser.add_argument("--store", type=Path, help="NETWORK.db by default")
    parser.add_argument("--only-write", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    name = arguments.network
    arguments.epsilon = arguments.epsilon or epsilon_of(name)
    spec = parse_spec(SPEC.format(name=name, **vars(arguments)))
    with Store(arguments.store or Path(f"{name}.db"), create=True) as store:
        if not arguments.only_write:
            prove(spec, store)
        found = verdicts(spec, store)
    numbers = [int(one["image"]) for one in found][::ATTACKED]
    attacked = withstood(zoo.load(name), arguments.epsilon, numbers)
    summary = row_of(name, found, arguments.limit)
    summary["attacked %, of every tenth"] = round(100.0 * attacked, 2)
    records = [
        {"verdict": verdict, "images": [o["image"] for o in found if o["verdict"] == verdict]}
        for verdict in ("vulnerable", "unknown", "wrong")  # all others are proved robust
    ]
    del arguments.store, arguments.only_write  # no conditions
    short = name.replace("-robust-", "-")
    out = arguments.out or FOLDER / f"robust-{short}.json"
    title = TITLE.format(name=name, epsilon=arguments.epsilon, images=arguments.images)
    write(out, title, arguments, [summary], records)
    print(tabulate([summary], headers="keys"))


if __name__ == "__main__":
    main()

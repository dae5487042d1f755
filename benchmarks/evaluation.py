"""Accuracy under attacks of foolbox, ART and this package, beside what is certified.

    pip install 'bnnopt[foolbox,art]'
    python benchmarks/evaluation.py

attacks the images that the network classifies right: theirs in one batch on the network as their
own model, ours one after the other. An image is lost once a point within epsilon has another class
in the exact replay; "all of theirs" counts the worst of theirs for each image, as an ensemble of
attacks does. "certified" is branch and bound: an image counts if it is proved that no point has
another class, and is open if neither was found out within the limit. Gradients of theirs are those
of the adaptive straight-through clip (`bnnopt.surrogate.AdaptiveSign`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import art.attacks.evasion as art_attacks
import foolbox
import numpy as np
import numpy.typing as npt
import torch
from tabulate import tabulate

import bnnopt
from benchmarks.record import FOLDER, write
from bnnopt import AttackInstance, BinarizedNetwork, Robustness, datasets
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS
from bnnopt.exchange.art import BinarizedClassifier
from bnnopt.exchange.foolbox import BinarizedModel

TITLE = (__doc__ or "").split("\n", 1)[0]
THEIRS = "all of theirs"
CERTIFIED = "certified: bnnopt bab"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Images:
    """What is attacked: images of a network that it classifies right, within an epsilon."""

    network: BinarizedNetwork
    pixels: Array
    labels: Array
    epsilon: float
    limit: float

    def lost(self, points: Array) -> list[dict[str, Any]]:
        """Which points, one an image, are flips once they are in the box: an exact replay."""
        records = []
        for image, label, point in zip(self.pixels, self.labels, points, strict=True):
            instance = AttackInstance(
                self.network, image, self.epsilon, "untargeted", source=int(label)
            )
            there = np.where(np.isnan(point), image, point)  # some divide by zero
            z = instance.snap(self.network.levels_of(there.ravel())[0])
            records.append({"lost": bool(instance.are_flips(z[None])[0])})
        return records


Run = Callable[[Images], list[dict[str, Any]]]


def of_foolbox(attack: Any) -> Run:
    def run(given: Images) -> list[dict[str, Any]]:
        torch.manual_seed(0)
        model = BinarizedModel(given.network, device="cpu")
        inputs, labels = torch.from_numpy(given.pixels), torch.from_numpy(given.labels)
        _, points, _ = attack(model, inputs, labels, epsilons=given.epsilon)
        return given.lost(points.numpy())

    return run


def of_art(attack: Any, **options: Any) -> Run:
    def run(given: Images) -> list[dict[str, Any]]:
        np.random.seed(0)  # noqa: NPY002 - ART draws from it
        classifier = BinarizedClassifier(given.network)
        made = attack(classifier, eps=given.epsilon, verbose=False, **options)
        return given.lost(made.generate(given.pixels, given.labels))

    return run


def of_ours(method: str) -> Run:
    def run(given: Images) -> list[dict[str, Any]]:
        how: dict[str, Any] = {"method": method, "target": "untargeted", "goal": "flip"}
        results = [
            bnnopt.attack(given.network, image, given.epsilon, time_limit=given.limit, **how)
            for image in given.pixels
        ]
        return [{"lost": result.flipped and result.verified} for result in results]

    return run


def certify(given: Images) -> list[dict[str, Any]]:
    certificates = [
        bnnopt.certify(given.network, image, given.epsilon, time_limit=given.limit)
        for image in given.pixels
    ]
    return [
        {"lost": c.verdict is not Robustness.ROBUST, "open": c.verdict is Robustness.UNKNOWN}
        for c in certificates
    ]


def runs(epsilon: float) -> dict[str, Run]:
    apgd = {"max_iter": 40, "eps_step": 2 * epsilon}
    return {
        "foolbox FGSM": of_foolbox(foolbox.attacks.LinfFastGradientAttack()),
        "foolbox LinfPGD, 40 steps": of_foolbox(foolbox.attacks.LinfPGD(steps=40)),
        "foolbox LinfBasicIterativeAttack, 40 steps": of_foolbox(
            foolbox.attacks.LinfBasicIterativeAttack(steps=40)
        ),
        "foolbox LInfFMNAttack, 100 steps": of_foolbox(foolbox.attacks.LInfFMNAttack()),
        "foolbox HopSkipJumpAttack, linf, 10 steps": of_foolbox(
            foolbox.attacks.HopSkipJumpAttack(steps=10, constraint="linf")
        ),
        "ART AutoPGD, cross-entropy, 5 x 40": of_art(
            art_attacks.AutoProjectedGradientDescent, loss_type="cross_entropy", **apgd
        ),
        "ART AutoPGD, logit ratio, 5 x 40": of_art(
            art_attacks.AutoProjectedGradientDescent, loss_type="difference_logits_ratio", **apgd
        ),
        "ART SquareAttack, 1000 steps": of_art(art_attacks.SquareAttack, max_iter=1000),
        "bnnopt fgsm": of_ours("fgsm"),
        "bnnopt pgd, 40 x 100": of_ours("pgd"),
        "bnnopt pattern": of_ours("pattern"),
        CERTIFIED: certify,
    }


def summary(records: list[dict[str, Any]], images: int) -> list[dict[str, Any]]:
    """A row an epsilon and attack, accuracies in percent of all images."""
    rows: list[dict[str, Any]] = []
    for epsilon in dict.fromkeys(record["epsilon"] for record in records):
        here = [record for record in records if record["epsilon"] == epsilon]
        right = len({record["image"] for record in here})
        rows.append({"epsilon": epsilon, "attack": "none", "accuracy %": 100 * right / images})
        for name in dict.fromkeys(record["attack"] for record in here):
            mine = [record for record in here if record["attack"] == name]
            if name == "bnnopt fgsm":
                theirs = [r for r in here if r["attack"].startswith(("foolbox", "ART"))]
                rows.append(_row(epsilon, THEIRS, theirs, right, images))
            rows.append(_row(epsilon, name, mine, right, images))
    return rows


def _row(
    epsilon: float, name: str, records: list[dict[str, Any]], right: int, images: int
) -> dict[str, Any]:
    lost = {record["image"] for record in records if record["lost"]}
    return {
        "epsilon": epsilon,
        "attack": name,
        "accuracy %": 100 * (right - len(lost)) / images,
        "open": sum(record.get("open", False) for record in records),
        "CPU seconds an image": float(np.sum([record["seconds"] for record in records])) / right,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--network", default="mnist-2x100")
    parser.add_argument("--epsilons", default="0.01,0.02")
    parser.add_argument("--images", default="0:100")
    parser.add_argument("--limit", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=FOLDER / "evaluation.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = bnnopt.zoo.load(arguments.network)
    indices = parse_indices(arguments.images, COUNTS["test"])
    data = datasets.for_indices(network.dataset, indices)
    right = [i for i in indices if network.predict(data.x(i)) == data.label(i)]
    pixels = np.array([data.x(i) for i in right], dtype=np.float32)[:, None]
    labels = np.array([data.label(i) for i in right], dtype=np.int64)
    records: list[dict[str, Any]] = []
    for epsilon in map(float, arguments.epsilons.split(",")):
        given = Images(network, pixels, labels, epsilon, arguments.limit)
        for name, run in runs(epsilon).items():
            began = time.process_time()
            found = run(given)
            each = {"seconds": (time.process_time() - began) / len(right)}
            setting = {"epsilon": epsilon, "attack": name}
            pairs = zip(right, found, strict=True)
            records += [setting | {"image": index} | part | each for index, part in pairs]
            write(arguments.out, TITLE, arguments, summary(records, len(indices)), records)
            print(name, epsilon, f"{sum(part['lost'] for part in found)} lost", flush=True)
    print(tabulate(summary(records, len(indices)), headers="keys", floatfmt=".4g"))


if __name__ == "__main__":
    main()

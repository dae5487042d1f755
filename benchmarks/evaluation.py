"""Accuracy under attacks of foolbox, ART and this package, beside what is certified.

    pip install 'bnnopt[foolbox,art]'
    python benchmarks/evaluation.py

attacks each image that the network classifies right, one at a time, with each attack and epsilon.
An image counts as lost once a point within epsilon has another class in the exact replay; what an
attack evaluates on its way counts as well as what it returns, and every attack ends at its first
flip. "all of foolbox and ART" is the worst of theirs for each image, as an ensemble of attacks
reports it. "certified" is branch and bound: an image is certified if it is proved that no point has
another class, and open if neither was found out within the limit. Gradients are those of the
adaptive straight-through clip (`bnnopt.surrogate.AdaptiveSign`) where the attack is not ours.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import art.attacks.evasion as art_attacks
import foolbox
import numpy as np
from tabulate import tabulate

import bnnopt
from benchmarks.record import FOLDER, write
from bnnopt import BinarizedNetwork, Robustness, datasets
from bnnopt.attacks.base import Attack
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS
from bnnopt.exchange.art import ArtAttack
from bnnopt.exchange.foolbox import FoolboxAttack

TITLE = (__doc__ or "").split("\n", 1)[0]
THEIRS = "all of foolbox and ART"
CERTIFIED = "certified (bnnopt bab)"

ATTACKS: dict[str, str | Attack] = {
    "foolbox LinfFastGradientAttack": FoolboxAttack(foolbox.attacks.LinfFastGradientAttack()),
    "foolbox LinfPGD, 40 steps": FoolboxAttack(foolbox.attacks.LinfPGD(steps=40)),
    "foolbox LinfBasicIterativeAttack, 40 steps": FoolboxAttack(
        foolbox.attacks.LinfBasicIterativeAttack(steps=40)
    ),
    "foolbox LInfFMNAttack, 100 steps": FoolboxAttack(foolbox.attacks.LInfFMNAttack(steps=100)),
    "foolbox HopSkipJumpAttack (linf), 3 steps": FoolboxAttack(
        foolbox.attacks.HopSkipJumpAttack(steps=3, constraint="linf")
    ),
    "ART AutoPGD, cross-entropy, 5 x 40": ArtAttack(
        art_attacks.AutoProjectedGradientDescent, max_iter=40, loss_type="cross_entropy"
    ),
    "ART AutoPGD, logit ratio, 5 x 40": ArtAttack(
        art_attacks.AutoProjectedGradientDescent, max_iter=40, loss_type="difference_logits_ratio"
    ),
    "ART SquareAttack, 200 steps": ArtAttack(art_attacks.SquareAttack, max_iter=200),
    "bnnopt fgsm": "fgsm",
    "bnnopt ifgsm": "ifgsm",
    "bnnopt pgd, 40 x 100": "pgd",
    "bnnopt pattern": "pattern",
}
"""By the names in the table; a text is a method of bnnopt."""


def is_lost(
    attack: str | Attack, network: BinarizedNetwork, image: Any, epsilon: float, **options: Any
) -> dict[str, Any]:
    """Whether an attack finds another class, replayed."""
    result = bnnopt.attack(
        network, image, epsilon, method=attack, target="untargeted", goal="flip", **options
    )
    assert result.verified and not result.message, result.message
    return {"lost": bool(result.flipped)}


def certify(
    network: BinarizedNetwork, image: Any, epsilon: float, **options: Any
) -> dict[str, Any]:
    """Whether there is such a point at all."""
    verdict = bnnopt.certify(network, image, epsilon, **options).verdict
    return {"lost": verdict is Robustness.VULNERABLE, "open": verdict is Robustness.UNKNOWN}


def summary(records: list[dict[str, Any]], images: int) -> list[dict[str, Any]]:
    """A row an epsilon and attack, accuracies in percent of all images."""
    rows: list[dict[str, Any]] = []
    for epsilon in dict.fromkeys(r["epsilon"] for r in records):
        here = [r for r in records if r["epsilon"] == epsilon]
        right = len({r["image"] for r in here})
        rows.append({"epsilon": epsilon, "attack": "none", "accuracy %": 100 * right / images})
        for name in dict.fromkeys(r["attack"] for r in here):
            mine = [r for r in here if r["attack"] == name]
            rows.append(_row(epsilon, name, mine, right, images))
        theirs = [r for r in here if r["attack"].startswith(("foolbox", "ART"))]
        rows.insert(-1, _row(epsilon, THEIRS, theirs, right, images))
    return rows


def _row(
    epsilon: float, name: str, records: list[dict[str, Any]], right: int, images: int
) -> dict[str, Any]:
    lost = {r["image"] for r in records if r["lost"]}
    return {
        "epsilon": epsilon,
        "attack": name,
        "accuracy %": 100 * (right - len(lost)) / images,
        "open": sum(r.get("open", False) for r in records),
        "CPU seconds an image": float(np.sum([r["seconds"] for r in records])) / right,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--network", default="mnist-2x100")
    parser.add_argument("--epsilons", default="0.01,0.02")
    parser.add_argument("--images", default="0:100")
    parser.add_argument("--limit", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=FOLDER / "evaluation.json")
    arguments = parser.parse_args()
    network = bnnopt.zoo.load(arguments.network)
    indices = parse_indices(arguments.images, COUNTS["test"])
    images = datasets.for_indices(network.dataset, indices)
    right = [i for i in indices if network.predict(images.x(i)) == images.labels[i]]
    runs: dict[str, Callable[..., dict[str, Any]]] = {
        name: lambda *given, _attack=attack, **options: is_lost(_attack, *given, **options)
        for name, attack in ATTACKS.items()
    }
    runs[CERTIFIED] = certify
    records = []
    for epsilon in map(float, arguments.epsilons.split(",")):
        for name, run in runs.items():
            for index in right:
                began = time.process_time()
                found = run(network, images.x(index), epsilon, time_limit=arguments.limit)
                seconds = time.process_time() - began
                setting = {"epsilon": epsilon, "attack": name, "image": index}
                records.append(setting | found | {"seconds": seconds})
            rows = summary(records, len(indices))
            write(arguments.out, TITLE, arguments, rows, records)
    print(tabulate(rows, headers="keys", floatfmt=".4g"))


if __name__ == "__main__":
    main()

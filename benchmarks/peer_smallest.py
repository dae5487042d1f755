"""The smallest perturbation of an image: instances of msakai's, beside what Exact published."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.peer_files import locate
from benchmarks.peer_networks import from_chainer
from bnnopt import AttackInstance, Status
from bnnopt.attacks import attack_class
from bnnopt.attacks.base import Limits
from bnnopt.network import BinarizedNetwork

__all__ = ["msakai"]

Record = dict[str, Any]

TITLE = (
    "Instances of github.com/msakai/bnn-verification: the smallest perturbation, in grey levels, "
    "with which another logit is at least as large; `auto` beside the published optima and "
    "seconds of the pseudo-Boolean solver Exact, which proved them all."
)
INSTANCES: list[tuple[str, str, int]] = [
    ("mnist", "mnist_7", 9),
    ("mnist_rot_reordered", "mnist_rot_8", 1),
    ("mnist_rot_reordered", "mnist_rot_16", 5),
]
"""Network, image and its label."""

PUBLISHED: dict[str, dict[str, tuple[int, float | None]]] = {
    "mnist_7": {"linf": (1, 1.05), "l0": (4, 5304.0), "l1": (5, 4802.0)},
    "mnist_rot_8": {"linf": (1, 0.25), "l0": (3, 8968.0), "l1": (3, None)},
    "mnist_rot_16": {"linf": (1, 0.23), "l0": (2, None), "l1": (2, None)},
}
"""Optimum, and seconds where they are known to us."""


def msakai(arguments: argparse.Namespace) -> Iterator[tuple[str, list[Record], list[Record]]]:
    """Attack each image with each goal."""
    rows: list[Record] = []
    for name, image, label in INSTANCES:
        network = from_chainer(locate("msakai", f"{name}.npz"), (28, 28))
        picture = np.asarray(Image.open(locate("msakai", f"bnn_{image}_label{label}.png")))
        for goal in ("linf", "l0", "l1"):
            rows.append({"instance": image} | smallest(network, picture, label, goal, arguments))
            optimum, seconds = PUBLISHED[image][goal]
            rows[-1] |= {"Exact": optimum, "Exact (s)": seconds}
            yield TITLE, rows, []


def smallest(
    network: BinarizedNetwork,
    picture: Any,
    label: int,
    goal: str,
    arguments: argparse.Namespace,
) -> Record:
    """One attack: its distance in levels, and when it was found and when proved."""
    found: list[float] = []
    instance = AttackInstance(
        network,
        picture,
        1.0,
        "untargeted",
        domain="pixels",
        goal=goal,
        ties="always",
        source=label,
    )
    limits = Limits(
        arguments.limit, arguments.threads, on_incumbent=lambda seconds, _: found.append(seconds)
    )
    attack = attack_class("auto")()
    attack.prepare(instance)
    result = attack(instance, limits)
    unit = 1 if goal == "l0" else network.levels
    value, bound = result.goal_values[0], result.goal_bounds[0]
    is_proved = result.status is Status.OPTIMAL
    return {
        "distance": goal,
        "found": None if value is None else round(value * unit),
        "bound": None if bound is None else round(bound * unit),
        "found (s)": round(found[-1], 2) if found else None,
        "proved (s)": round(result.wall_time, 2) if is_proved else None,
    }

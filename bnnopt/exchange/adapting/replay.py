"""One of our attacks on an image as another library has it, and the image that goes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.api import attack
from bnnopt.arguments import read_fraction, read_names
from bnnopt.errors import InputError
from bnnopt.network import BinarizedNetwork

__all__ = ["attacked", "read_options"]

Array = npt.NDArray[Any]

SEARCH = ("method", "solver", "formulation", "goal", "start", "options")
BUDGET = ("domain", "mask", "direction", "max_pixels", "max_l1")
LIMITS = ("time_limit", "effort", "threads", "seed")


def read_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `bnnopt.attack` that another library's call leaves open.

    Raises
    ------
    UnknownNameError
        If one is no such argument.
    """
    return read_names(options, "argument", (*SEARCH, *BUDGET, *LIMITS))


def attacked(
    network: BinarizedNetwork,
    image: Array,
    epsilon: float | None,
    options: Mapping[str, Any],
    *,
    label: int | None = None,
    target: int | None = None,
) -> Array:
    """The image that one of our attacks makes of another.

    Parameters
    ----------
    network : BinarizedNetwork
    image : array of float, of the network's shape
        Values in [0, 1].
    epsilon : float or None
        Largest change of a pixel; None asks for the smallest one that flips.
    options : mapping
        By `read_options`; the goal is any flip if it is not among them.
    label, target : int
        One of them: the class to leave, or the class to reach.

    Returns
    -------
    array of the shape and type of `image`
        Within `epsilon` of it in that type. The image itself where it has left, or reached, the
        class already.
    """
    if image.dtype.kind != "f":
        raise InputError(f"images must be floats in [0, 1], not {image.dtype}")
    predicted = network.predict(image.ravel())
    if (predicted == target) if label is None else (predicted != label):
        return image
    goal = {"goal": "linf" if epsilon is None else "flip"}
    radius = 1.0
    if epsilon is not None:
        exact = read_fraction(epsilon, "epsilon", low=0, high=1, levels=network.levels)
        radius = float(exact)
    result = attack(
        network,
        image,
        radius,
        target="untargeted" if target is None else target,
        **(goal | dict(options)),
    )
    return _in_type(result.adversarial.reshape(image.shape), image, radius)


def _in_type(found: Array, image: Array, radius: float) -> Array:
    """`found` in the type of `image`: no pixel further from it than it was, nor than `radius`."""
    original = image.astype(np.float64)
    near = np.clip(found, original - radius, original + radius)
    rounded = near.astype(image.dtype)
    beyond = np.abs(rounded - original) > np.abs(near - original)
    return np.where(beyond, np.nextafter(rounded, image), rounded)

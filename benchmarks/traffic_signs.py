"""Falsify one property of the traffic signs of VNN-COMP: a box of levels and a class.

The image is what the box is around, and points are sought among images of whole levels: their
sums are exact in single precision too, so that whatever runs the network agrees on what it sees.
A point of whole levels in the box falsifies the property for real inputs as well.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

import bnnopt
from bnnopt.attacks import attack_class
from bnnopt.attacks.base import Limits

__all__ = ["centre_of", "falsify"]

FloatArray = npt.NDArray[np.float64]


def centre_of(low: FloatArray, high: FloatArray, levels: int) -> tuple[FloatArray, int]:
    """The image and the number of levels whose box, within 0 and `levels`, this is.

    Where the box is clipped on one side, the other one tells.

    Raises
    ------
    ValueError
        If it is no such box.
    """
    epsilon = float(np.ceil((high - low).max() / 2.0))
    image = np.where(low > 0.0, low + epsilon, high - epsilon)
    given = np.clip(image - epsilon, 0.0, levels), np.clip(image + epsilon, 0.0, levels)
    if not (np.array_equal(given[0], low) and np.array_equal(given[1], high)):
        raise ValueError("the box is not that of one whole number of levels around an image")
    return image, int(epsilon)


def falsify(
    network: bnnopt.BinarizedNetwork,
    low: FloatArray,
    high: FloatArray,
    source: int,
    *,
    method: str = "auto",
    limit: float = 480.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Look for a point of the box where another logit is at least as large as the source's.

    Parameters
    ----------
    network : BinarizedNetwork
    low, high : array of float, shape (n,)
        In levels, in the order of the network's pixels.
    source : int
        The class that must win; a tie is a violation.
    method : str
    limit : float
        Seconds.
    seed : int

    Returns
    -------
    dict
        Whether it is ``falsified``, by which method (``ran``), after how many ``seconds`` (compiled
        kernels and torch are loaded before, the network is not prepared), the ``margin`` and the
        ``point``, shape (n,), in levels; it is replayed here and compared with the box.
    """
    image, epsilon = centre_of(low, high, network.levels)
    instance = bnnopt.AttackInstance(
        network,
        image.astype(np.int64),
        epsilon / network.levels,
        target="untargeted",
        domain="pixels",
        goal="flip",
        ties="always",
        source=source,
    )
    attacker = attack_class(method)()
    attacker.prepare(instance)
    began = time.perf_counter()
    result = attacker(instance, Limits(limit, seed=seed))
    seconds = time.perf_counter() - began
    point = np.rint(result.adversarial.ravel() * network.levels)
    logits = network.logits(point.astype(np.int64))
    rivals = np.delete(logits, source)
    inside = bool(np.all((low <= point) & (point <= high)))
    return {
        "falsified": inside and bool(rivals.max() >= logits[source]),
        "ran": result.ran,
        "seconds": seconds,
        "margin": float(rivals.max() - logits[source]),
        "point": point,
    }

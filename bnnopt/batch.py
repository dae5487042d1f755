"""One call that attacks many images at once, by a gradient method."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from bnnopt.api import load_network, make_attack, read_index, read_label
from bnnopt.arguments import read_each, read_names
from bnnopt.attacks import attack_class
from bnnopt.attacks.limits import Limits
from bnnopt.errors import InputError
from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork
from bnnopt.result import AttackResult

__all__ = ["attack_batch"]

BUDGET = ("domain", "mask", "direction", "max_pixels", "max_l1")
PROBLEM = ("target", "goal", "ties", "source", *BUDGET)
"""Arguments of `AttackInstance` that all images share."""


def attack_batch(
    network: BinarizedNetwork | str | os.PathLike[str],
    images: npt.ArrayLike,
    epsilon: float | str = 0.01,
    *,
    method: str = "pgd",
    device: str = "auto",
    time_limit: float | None = 180.0,
    effort: int | None = None,
    threads: int = 1,
    seed: int = 0,
    indices: Sequence[int] | None = None,
    labels: Sequence[int | str] | None = None,
    **problem: Any,
) -> list[AttackResult]:
    """Attack all images and restarts at once, on a GPU where there is one.

    Parameters
    ----------
    network : BinarizedNetwork, str or path
        As for `bnnopt.attack`.
    images : array_like, shape (batch, n) or (batch, *input_shape)
        Values in [0, 1]. PGD takes about 1.5 MB of memory an image of 784 pixels.
    epsilon : float
        Largest change of a pixel, in [0, 1].
    method : {"pgd", "ifgsm", "fgsm"}
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` and the like.
    time_limit : float or None
        Wall-clock seconds for the whole batch.
    effort : int, optional
        Most steps.
    threads : int
        Of the CPU.
    seed : int
    indices, labels : sequence of int, optional
        Test-set indices and true classes, for the records.
    **problem
        Target, domain, budgets and goal of every image: see `AttackInstance`.

    Returns
    -------
    list of AttackResult
        One an image, each point replayed exactly through the network; times are those of the
        whole batch.

    Raises
    ------
    BnnoptError
        If an argument is wrong, or torch is not installed.

    Examples
    --------
    >>> import bnnopt
    >>> images = bnnopt.datasets.embedded()
    >>> results = bnnopt.attack_batch("fashion-mnist-2x100", [images.x(i) for i in range(5)])
    >>> all(result.verified for result in results)
    True
    """
    limits = Limits(time_limit, threads, seed, effort)
    method_class = attack_class(method)
    if not hasattr(method_class, "batch"):
        raise InputError(f"method {method!r} takes one image at a time: use pgd, ifgsm or fgsm")
    problem = read_names(problem, "argument", PROBLEM)
    loaded = load_network(network)
    flat = loaded.images(images)
    numbers = None if indices is None else read_each(indices, "indices", len(flat), read_index)
    classes = (
        None
        if labels is None
        else read_each(labels, "labels", len(flat), lambda label: read_label(label, loaded))
    )
    instances = [
        AttackInstance(loaded, image, epsilon, **problem)  # type: ignore[arg-type]
        for image in flat
    ]
    attack: Any = make_attack(method_class, {}, {"device": device})
    results: list[AttackResult] = attack.batch(instances, limits, numbers, classes)
    return results

"""Attacks and verdicts on many images in one call."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from bnnopt.api import attack, load_network, make_attack, read_index, read_label
from bnnopt.arguments import read_each, read_names, read_whole
from bnnopt.attacks import attack_class
from bnnopt.attacks.limits import Limits
from bnnopt.certify import certify
from bnnopt.errors import InputError
from bnnopt.instance import AttackInstance
from bnnopt.jobs import Failure, Job, run_jobs
from bnnopt.network import BinarizedNetwork
from bnnopt.reports import AttackReport, RobustnessReport
from bnnopt.result import AttackResult

__all__ = ["attack_images", "certify_images"]

Network = BinarizedNetwork | str | os.PathLike[str]

BUDGET = ("domain", "mask", "direction", "max_pixels", "max_l1")
PROBLEM = ("target", "goal", "ties", "source", *BUDGET)
"""Arguments of `AttackInstance` that all images share."""

BATCH_PIXELS = 2**20
"""Of the images that a gradient method takes at a time; PGD takes about 2 kB of memory a pixel."""


def attack_images(
    network: Network,
    images: npt.ArrayLike,
    epsilon: float | str = 0.01,
    *,
    labels: Sequence[int | str] | None = None,
    indices: Sequence[int] | None = None,
    method: str = "auto",
    workers: int = 1,
    device: str = "auto",
    progress: bool = True,
    **options: Any,
) -> AttackReport:
    """Attack many images.

    The gradient methods take all images and restarts at once, on a GPU where there is one; the
    others one image after the other, on several processes if asked.

    Parameters
    ----------
    network : BinarizedNetwork, str or path
        As for `bnnopt.attack`.
    images : array_like, shape (batch, n) or (batch, *input_shape)
        Values in [0, 1], or whole levels in an array of integers.
    epsilon : float or str
        Largest change of a pixel, in [0, 1].
    labels, indices : sequence, optional
        True classes and numbers of the images, for the records; 0, 1, ... if not given.
    method : str
        As for `bnnopt.attack`.
    workers : int
        Processes, an image each. Not for the gradient methods.
    device : str
        Of the gradient methods: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` and the like.
    progress : bool
        Whether to show a bar, on a terminal or in a notebook.
    **options
        As for `bnnopt.attack`; ``time_limit`` is for each image.

    Returns
    -------
    AttackReport
        Of results as `bnnopt.attack` gives them, in the order of the images; with Ctrl-C, of those
        that are finished.

    Raises
    ------
    BnnoptError
        If an argument is wrong, or something is not installed.

    Examples
    --------
    >>> import bnnopt
    >>> images = bnnopt.datasets.embedded()
    >>> report = bnnopt.attack_images(
    ...     "fashion-mnist-2x100", images.x(slice(0, 4)), 0.005, method="pgd", progress=False
    ... )
    >>> len(report), all(result.verified for result in report)
    (4, True)
    """
    loaded = load_network(network)
    flat, known = _read_images(loaded, images, labels, indices)
    workers = read_whole(workers, "workers", low=1)
    method_class = attack_class(method)
    if hasattr(method_class, "batch"):
        if workers > 1:
            raise InputError(f"method {method!r} takes all images at once: leave out workers")
        return _in_batches(loaded, flat, epsilon, known, method_class, device, progress, options)
    if device != "auto":
        raise InputError(f"method {method!r} runs on the CPU: device is for pgd, ifgsm and fgsm")
    jobs = [
        Job(attack, loaded, image, epsilon, options | {"method": method} | about)
        for image, about in zip(flat, known, strict=True)
    ]
    return AttackReport(*_gathered(jobs, workers, progress))


def certify_images(
    network: Network,
    images: npt.ArrayLike,
    epsilon: float | str = 0.01,
    *,
    labels: Sequence[int | str] | None = None,
    indices: Sequence[int] | None = None,
    workers: int = 1,
    progress: bool = True,
    **options: Any,
) -> RobustnessReport:
    """Decide of many images whether any within `epsilon` gets another class.

    Parameters
    ----------
    network, images, epsilon, labels, indices, workers, progress
        As for `attack_images`. Without labels there is no accuracy.
    **options
        As for `bnnopt.certify`; ``time_limit`` is for each image.

    Returns
    -------
    RobustnessReport
        Of certificates, in the order of the images; with Ctrl-C, of those that are finished.

    Raises
    ------
    BnnoptError
        If an argument is wrong, or the solver is missing.

    Examples
    --------
    >>> import bnnopt
    >>> data = bnnopt.datasets.embedded()
    >>> report = bnnopt.certify_images(
    ...     "fashion-mnist-2x100", data.x(slice(0, 4)), 0.001, labels=data.labels[:4],
    ...     progress=False,
    ... )
    >>> report.robust + report.vulnerable + report.unknown == len(report) == 4
    True
    """
    loaded = load_network(network)
    flat, known = _read_images(loaded, images, labels, indices)
    workers = read_whole(workers, "workers", low=1)
    jobs = [
        Job(certify, loaded, image, epsilon, options | about)
        for image, about in zip(flat, known, strict=True)
    ]
    return RobustnessReport(*_gathered(jobs, workers, progress))


def _read_images(
    network: BinarizedNetwork, images: npt.ArrayLike, labels: Any, indices: Any
) -> tuple[npt.NDArray[Any], list[dict[str, Any]]]:
    """Images, shape (batch, n), and the number and the label of each."""
    flat = network.images(images)
    count = len(flat)
    numbers: Sequence[Any] = range(count)
    if indices is not None:
        numbers = read_each(indices, "indices", count, read_index)
    classes: Sequence[Any] = [None] * count
    if labels is not None:
        classes = read_each(labels, "labels", count, lambda label: read_label(label, network))
    about = [{"index": i, "label": c} for i, c in zip(numbers, classes, strict=True)]
    return flat, about


def _gathered(
    jobs: list[Job], workers: int, progress: bool
) -> tuple[tuple[Any, ...], tuple[Failure, ...], bool]:
    """Results in order, failures, and whether Ctrl-C ended it."""
    found: list[Any] = []
    interrupted = False
    with _bar(len(jobs), progress) as bar:
        try:
            for result in run_jobs(jobs, workers):
                found.append(result)
                bar.update()
                if not isinstance(result, Failure) and result.interrupted:
                    interrupted = True
                    if workers == 1:
                        break
        except KeyboardInterrupt:
            interrupted = True
    failures = [one for one in found if isinstance(one, Failure)]
    results = [one for one in found if not isinstance(one, Failure)]
    if failures and not results and not interrupted:
        raise failures[0].error
    place = {job.options["index"]: number for number, job in enumerate(jobs)}
    results.sort(key=lambda result: place[result.image])
    return tuple(results), tuple(failures), interrupted


def _bar(total: int, progress: bool) -> Any:
    """A bar on a terminal or in a notebook."""
    from tqdm.auto import tqdm

    shows = progress and ("ipykernel" in sys.modules or sys.stderr.isatty())
    return tqdm(total=total, unit="image", disable=not shows)


def _in_batches(
    network: BinarizedNetwork,
    images: npt.NDArray[Any],
    epsilon: float | str,
    known: list[dict[str, Any]],
    method_class: Any,
    device: str,
    progress: bool,
    options: dict[str, Any],
) -> AttackReport:
    """By a gradient method, as many images at a time as memory is kept for."""
    limits, problem, given = _split_options(options)
    instances = [
        AttackInstance(network, image, epsilon, **problem)  # type: ignore[arg-type]
        for image in images
    ]
    attacker: Any = make_attack(method_class, {}, {"device": device} | given)
    size = max(BATCH_PIXELS // network.num_inputs, 1)
    results: list[AttackResult] = []
    with _bar(len(instances), progress) as bar:
        for at in range(0, len(instances), size):
            some, about = instances[at : at + size], known[at : at + size]
            numbers, classes = ([one[key] for one in about] for key in ("index", "label"))
            results += attacker.batch(some, limits(len(some)), numbers, classes)
            bar.update(len(some))
            if results[-1].interrupted:
                break
    return AttackReport(tuple(results), (), any(r.interrupted for r in results))


def _split_options(
    options: dict[str, Any],
) -> tuple[Callable[[int], Limits], dict[str, Any], dict[str, Any]]:
    """Limits for so many images, arguments of the problem, and of the method's class."""
    limits = {name: options[name] for name in ("effort", "threads", "seed") if name in options}
    seconds = options.get("time_limit", 180.0)
    given = dict(options.get("options") or {})
    used = (*limits, "time_limit", "options")
    rest = {name: value for name, value in options.items() if name not in used}
    problem = read_names(rest, "argument", PROBLEM)
    Limits(seconds, **limits)

    def of_batch(count: int) -> Limits:
        return Limits(None if seconds is None else seconds * count, **limits)

    return of_batch, problem, given

"""Verdicts: whether any image within a budget gets another class from the network."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.api import attack, load_network, solver_errors
from bnnopt.attacks import attack_class
from bnnopt.attacks.base import Limits
from bnnopt.attacks.deadline import Deadline
from bnnopt.errors import InputError
from bnnopt.instance import AttackInstance, Domain
from bnnopt.network import BinarizedNetwork
from bnnopt.result import AttackResult, Status

__all__ = ["Certificate", "EpsilonBracket", "Robustness", "bracket_epsilon", "certify"]

FloatArray = npt.NDArray[np.float64]


class Robustness(StrEnum):
    """A verdict."""

    ROBUST = "robust"
    """No admissible image gives another class a larger logit: a bound proves it."""
    VULNERABLE = "vulnerable"
    """One does; it was replayed exactly."""
    UNKNOWN = "unknown"
    """Time ran out."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """The verdict on one image.

    Parameters
    ----------
    network : str
    image, label : int or None
        Test-set index and true class, where the caller gave them.
    source : int
        The class predicted for the original image.
    epsilon : float
    domain : str
    verdict : Robustness
    classes : dict of int to Robustness
        The verdict on each other class that was looked at; all of them unless one is vulnerable.
    target : int or None
        The class that the adversarial image flips to.
    margin : float or None
        Its margin over the source.
    wall_time : float
        Seconds.
    interrupted : bool
        Whether Ctrl-C ended it.
    message : str
        What failed, where a solver did.
    adversarial : array of float64, shape input_shape, or None
    """

    network: str
    image: int | None
    label: int | None
    source: int
    epsilon: float
    domain: str
    verdict: Robustness
    classes: dict[int, Robustness]
    target: int | None
    margin: float | None
    wall_time: float
    interrupted: bool = False
    message: str = ""
    adversarial: FloatArray | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON values: numbers and names, no images."""
        keys = ("network", "image", "label", "source", "epsilon", "domain", "target", "margin")
        record: dict[str, Any] = {key: getattr(self, key) for key in keys}
        record["verdict"] = self.verdict.value
        record["classes"] = {str(c): verdict.value for c, verdict in self.classes.items()}
        record["wall_time"] = round(self.wall_time, 4)
        return record


def certify(
    network: BinarizedNetwork | str | os.PathLike[str],
    image: npt.ArrayLike,
    epsilon: float = 0.01,
    *,
    solver: str = "highs",
    domain: Domain = "continuous",
    time_limit: float | None = 180.0,
    threads: int = 1,
    seed: int = 0,
    index: int | None = None,
    label: int | None = None,
    **budget: Any,
) -> Certificate:
    """Decide whether any image within `epsilon` gives another class a larger logit.

    Each other class is asked for "any flip at all", most likely first, until one flips or all are
    ruled out. A tie of two logits is not a flip.

    Parameters
    ----------
    network : BinarizedNetwork, str or path
    image : array_like
    epsilon : float
    solver, domain : str
    threads, seed : int
    index, label : int, optional
        All of them as for `bnnopt.attack`.
    time_limit : float or None
        Wall-clock seconds for all classes together.
    **budget
        ``mask``, ``direction``, ``max_pixels``, ``max_l1``, as for `bnnopt.attack`.

    Returns
    -------
    Certificate

    Raises
    ------
    BnnoptError
        If an argument is wrong, or the solver is missing or fails.
    """
    limits = Limits(time_limit, threads, seed)
    loaded = load_network(network)
    instance = AttackInstance(loaded, image, epsilon, "untargeted", domain, **budget)
    with solver_errors():
        attack_class("auto")(solver=solver).prepare(instance)
    deadline = Deadline(limits.time_limit)
    results: dict[int, AttackResult] = {}
    for target in sorted(instance.targets, key=lambda c: -instance.logits[c]):
        results[target] = last = attack(
            loaded,
            image,
            epsilon,
            target=target,
            goal="flip",
            solver=solver,
            domain=domain,
            time_limit=deadline.left,
            threads=threads,
            seed=seed,
            **budget,
        )
        if last.flipped or last.interrupted:
            break
    classes = {target: _verdict(result) for target, result in results.items()}
    return Certificate(
        network=loaded.name,
        image=index,
        label=label,
        source=instance.source,
        epsilon=float(epsilon),
        domain=domain,
        verdict=_overall(classes, last.interrupted),
        classes=classes,
        target=last.target if last.flipped else None,
        margin=last.objective if last.flipped else None,
        wall_time=deadline.elapsed,
        interrupted=last.interrupted,
        message=next((r.message for r in reversed(results.values()) if r.message), ""),
        adversarial=last.adversarial if last.flipped else None,
    )


def _verdict(result: AttackResult) -> Robustness:
    if result.flipped:
        return Robustness.VULNERABLE
    proved = result.status is Status.OPTIMAL and result.bound is not None and result.bound <= 0
    return Robustness.ROBUST if proved else Robustness.UNKNOWN


def _overall(classes: dict[int, Robustness], interrupted: bool) -> Robustness:
    verdicts = set(classes.values())
    if Robustness.VULNERABLE in verdicts:
        return Robustness.VULNERABLE
    if Robustness.UNKNOWN in verdicts or interrupted:
        return Robustness.UNKNOWN
    return Robustness.ROBUST


@dataclass(frozen=True, eq=False)
class EpsilonBracket:
    """How much an image withstands.

    Parameters
    ----------
    certified : float
        The largest epsilon that was proved robust; 0 if none was.
    broken : float or None
        The smallest change, in the largest pixel, of an adversarial image that was found.
    adversarial : array of float64 or None
        That image.
    certificates : list of Certificate
        Every verdict on the way.
    """

    certified: float
    broken: float | None
    adversarial: FloatArray | None
    certificates: list[Certificate]


def bracket_epsilon(
    network: BinarizedNetwork | str | os.PathLike[str],
    image: npt.ArrayLike,
    max_epsilon: float = 0.05,
    *,
    tolerance: float = 0.0005,
    time_limit: float | None = 180.0,
    domain: Domain = "continuous",
    **options: Any,
) -> EpsilonBracket:
    """Bisect for the largest certified and the smallest broken epsilon.

    Parameters
    ----------
    network : BinarizedNetwork, str or path
    image : array_like
    domain : str
        These three as for `certify`.
    max_epsilon : float
        The largest epsilon to look at.
    tolerance : float
        Stop when the two are this close; whole levels in the pixel domain.
    time_limit : float or None
        Seconds for each verdict. One that stays unknown counts as not certified.
    **options
        As for `certify`.

    Returns
    -------
    EpsilonBracket

    Raises
    ------
    BnnoptError
        As for `certify`, or if `tolerance` is not positive.
    """
    if not tolerance > 0.0:
        raise InputError(f"tolerance must be positive, not {tolerance}")
    loaded = load_network(network)
    certified, ceiling = 0.0, max_epsilon
    broken: float | None = None
    adversarial: FloatArray | None = None
    certificates: list[Certificate] = []
    epsilon = max_epsilon
    while True:
        certificate = certify(
            loaded, image, epsilon, domain=domain, time_limit=time_limit, **options
        )
        certificates.append(certificate)
        if certificate.verdict is Robustness.ROBUST:
            certified = epsilon
        else:
            ceiling = epsilon
        if certificate.adversarial is not None:
            change = np.abs(certificate.adversarial.ravel() - np.ravel(image)).max()
            if broken is None or change < broken:
                broken, adversarial = float(change), certificate.adversarial
                ceiling = min(ceiling, broken)
        epsilon = (certified + ceiling) / 2.0
        if domain == "pixels":
            epsilon = round(epsilon * loaded.levels) / loaded.levels
            done = not certified < epsilon < ceiling
        else:
            done = ceiling - certified <= tolerance
        if done or certificate.interrupted:
            return EpsilonBracket(certified, broken, adversarial, certificates)

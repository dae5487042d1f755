"""Verdicts: whether any image within a budget gets another class from the network."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.api import attack, load_network, read_index, read_label, solver_errors
from bnnopt.arguments import read_fraction, read_names, read_number
from bnnopt.attacks import attack_class
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.limits import Limits
from bnnopt.counts import counted
from bnnopt.instance import AttackInstance, Domain
from bnnopt.network import BinarizedNetwork
from bnnopt.notebook import Shown
from bnnopt.result import RECORD_VERSION, AttackResult

__all__ = ["Certificate", "EpsilonBracket", "Robustness", "bracket_epsilon", "certify"]

FloatArray = npt.NDArray[np.float64]

QUESTION = ("mask", "direction", "max_pixels", "max_l1", "ties", "source")
"""Arguments of `AttackInstance` beside network, image, epsilon and domain."""

VERDICT = ("solver", "time_limit", "effort", "threads", "seed", "index", "label", *QUESTION)
"""Arguments of `certify` that `bracket_epsilon` hands on."""


class Robustness(StrEnum):
    """A verdict."""

    ROBUST = "robust"
    """No admissible image gets another class: a proof covers all of them."""
    VULNERABLE = "vulnerable"
    """One does; it was replayed exactly."""
    UNKNOWN = "unknown"
    """Neither was found out, within the limits or because something failed."""


@dataclass(frozen=True, eq=False, repr=False)
class Certificate(Shown):
    """The verdict on one image.

    Parameters
    ----------
    network : str
        The network's name.
    image, label : int or None
        Test-set index and true class, where the caller gave them.
    source : int
        The class whose loss counts: the one predicted for the original image unless given.
    epsilon : float
        Largest change of a pixel that was allowed, in [0, 1].
    domain : str
        ``"continuous"`` or ``"pixels"``.
    ties : str
        When another class beats the source at a margin of 0 (see `AttackInstance`).
    target : int or None
        The class that the adversarial image flips to.
    margin : float or None
        Its margin over the source.
    prediction : int or None
        The class that the network predicts for the adversarial image.
    verdict : Robustness
        Robust and vulnerable are proved; the latter by `adversarial`.
    classes : dict of int to Robustness
        The verdict on each other class that was looked at; all of them unless one is vulnerable.
    wall_time : float
        Seconds.
    notes : list of str
        What stayed open though time was left, and why.
    interrupted : bool
        Whether Ctrl-C ended it.
    message : str
        What failed, where something did.
    proof : str or None
        As of `AttackResult`.
    adversarial : array of float64, shape input_shape, or None
        The image that flips, where one was found.
    """

    network: str
    image: int | None
    label: int | None
    source: int
    epsilon: float
    domain: str
    ties: str
    target: int | None
    margin: float | None
    prediction: int | None
    verdict: Robustness
    classes: dict[int, Robustness]
    wall_time: float
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    message: str = ""
    proof: str | None = None
    adversarial: FloatArray | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        which = "" if self.image is None else f"image {self.image}: "
        flip = "" if self.prediction is None else f", flips to class {self.prediction}"
        return (
            f"Certificate({which}{self.verdict.value} at {self.epsilon:g}{flip}, "
            f"{self.wall_time:.2f} s)"
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON values: numbers and names, no images."""
        record: dict[str, Any] = {"version": RECORD_VERSION}
        record |= {f.name: getattr(self, f.name) for f in fields(self) if f.repr}
        record["verdict"] = self.verdict.value
        record["classes"] = {str(c): verdict.value for c, verdict in self.classes.items()}
        record["wall_time"] = round(self.wall_time, 4)
        return record


def certify(
    network: BinarizedNetwork | str | os.PathLike[str],
    image: npt.ArrayLike,
    epsilon: float | str = 0.01,
    *,
    solver: str = "highs",
    domain: Domain = "continuous",
    time_limit: float | None = 180.0,
    effort: int | None = None,
    threads: int = 1,
    seed: int = 0,
    index: int | None = None,
    label: int | str | None = None,
    proof: str | os.PathLike[str] | None = None,
    **question: Any,
) -> Certificate:
    """Decide whether the network gives any image within `epsilon` another class.

    Each other class is asked for "any flip at all": all of them together where one search serves
    them, else one after the other, most likely first, until one flips or all are ruled out. At a
    tie of two logits the network's own rule decides, unless `ties` says otherwise.

    Parameters
    ----------
    network, image, epsilon, solver, domain, threads, seed, index, label
        As for `bnnopt.attack`.
    time_limit, effort
        As for `bnnopt.attack`, for all classes together.
    proof : path, optional
        As for `bnnopt.attack`, where one search decides on all classes.
    **question
        ``mask``, ``direction``, ``max_pixels``, ``max_l1``, ``ties``, ``source``, as for
        `bnnopt.attack`.

    Returns
    -------
    Certificate

    Raises
    ------
    BnnoptError
        If an argument is wrong, or the solver is missing.
    """
    limits = Limits(time_limit, threads, seed, effort)
    question = read_names(question, "argument", QUESTION)
    loaded = load_network(network)
    instance = AttackInstance(
        loaded,
        image,
        epsilon,  # type: ignore[arg-type]
        "untargeted",
        domain,
        **question,
    )
    index, label = read_index(index), read_label(label, loaded)
    with solver_errors():
        attacker = attack_class("auto")(solver=solver)
        attacker.prepare(instance)
    deadline = Deadline(limits)
    results: list[AttackResult] = []
    interrupted = False
    try:
        questions = _questions(instance, attacker.searches(instance))
        for target in questions:
            last = attack(
                loaded,
                image,
                epsilon,
                target=target,
                goal="flip",
                solver=solver,
                domain=domain,
                time_limit=deadline.left,
                effort=deadline.effort_left,
                threads=threads,
                seed=seed,
                proof=proof if len(questions) == 1 else None,
                **question,
            )
            results.append(last)
            deadline.spend(last.iterations)
            if last.flipped or last.interrupted:
                break
    except KeyboardInterrupt:
        interrupted = True
    interrupted |= any(result.interrupted for result in results)
    flip = next((result for result in results if result.flipped), None)
    classes = _classes(instance.targets, results, flip)
    return Certificate(
        network=loaded.name,
        image=index,
        label=label,
        source=instance.source,
        epsilon=instance.epsilon,
        domain=instance.domain,
        ties=instance.ties,
        target=None if flip is None else flip.target,
        margin=None if flip is None else flip.objective,
        prediction=None if flip is None else flip.prediction,
        verdict=_overall(classes, instance.targets),
        classes=classes,
        wall_time=deadline.elapsed,
        notes=[note for result in results for note in result.notes],
        interrupted=interrupted,
        message=next((r.message for r in reversed(results) if r.message), ""),
        proof=None if proof is None else _proof_of(results),
        adversarial=None if flip is None else flip.adversarial,
    )


def _proof_of(results: list[AttackResult]) -> str:
    """What became of the proof."""
    if len(results) == 1 and results[0].proof is not None:
        return results[0].proof
    return "none: the classes were not decided on in one search"


def _questions(instance: AttackInstance, together: bool) -> list[int] | list[str]:
    """The targets to ask for."""
    if together:
        return ["untargeted"]
    return sorted(instance.targets, key=lambda c: -instance.logits[c])


def _classes(
    targets: tuple[int, ...], results: list[AttackResult], flip: AttackResult | None
) -> dict[int, Robustness]:
    """What is known of each class; of a vulnerable image only what was decided."""
    classes = {c: Robustness.ROBUST for result in results for c in result.ruled_out}
    if flip is not None:
        return classes | {flip.target: Robustness.VULNERABLE}
    return {c: classes.get(c, Robustness.UNKNOWN) for c in targets}


def _overall(classes: dict[int, Robustness], targets: tuple[int, ...]) -> Robustness:
    """Robust only if every other class was ruled out."""
    if Robustness.VULNERABLE in classes.values():
        return Robustness.VULNERABLE
    if all(classes.get(c) is Robustness.ROBUST for c in targets):
        return Robustness.ROBUST
    return Robustness.UNKNOWN


@dataclass(frozen=True, eq=False, repr=False)
class EpsilonBracket(Shown):
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

    def __repr__(self) -> str:
        broken = "none found" if self.broken is None else f"{self.broken:.6g}"
        return (
            f"EpsilonBracket(certified {self.certified:.6g}, broken {broken}, "
            f"{counted(len(self.certificates), 'verdict')})"
        )


def bracket_epsilon(
    network: BinarizedNetwork | str | os.PathLike[str],
    image: npt.ArrayLike,
    max_epsilon: float | str = 0.05,
    *,
    tolerance: float = 0.0005,
    domain: Domain = "continuous",
    **options: Any,
) -> EpsilonBracket:
    """Bisect for the largest certified and the smallest broken epsilon.

    Parameters
    ----------
    network, image, domain
        As for `bnnopt.attack`.
    max_epsilon : float or str
        The largest epsilon to look at.
    tolerance : float
        Stop when the two are this close; whole levels in the pixel domain.
    **options
        As for `certify`; ``time_limit`` and ``effort`` for each verdict. One that stays unknown
        counts as not certified.

    Returns
    -------
    EpsilonBracket

    Raises
    ------
    BnnoptError
        As for `certify`, or if `tolerance` is not positive.
    """
    tolerance = read_number(tolerance, "tolerance", above=0.0)
    options = read_names(options, "argument", VERDICT)
    loaded = load_network(network)
    epsilon = float(read_fraction(max_epsilon, "max_epsilon", low=0, high=1))
    certified, ceiling = 0.0, epsilon
    broken: float | None = None
    adversarial: FloatArray | None = None
    certificates: list[Certificate] = []
    original = loaded.images(image)[0]
    while True:
        certificate = certify(loaded, image, epsilon, domain=domain, **options)
        certificates.append(certificate)
        if certificate.verdict is Robustness.ROBUST:
            certified = epsilon
        else:
            ceiling = epsilon
        if certificate.adversarial is not None:
            change = float(np.abs(certificate.adversarial.ravel() - original).max())
            if broken is None or change < broken:
                broken, adversarial = change, certificate.adversarial
                ceiling = min(ceiling, broken)
        epsilon = (certified + ceiling) / 2.0
        if domain == "pixels":
            epsilon = round(epsilon * loaded.levels) / loaded.levels
            done = not certified < epsilon < ceiling
        else:
            done = ceiling - certified <= tolerance
        if done or certificate.interrupted or certificate.message:
            return EpsilonBracket(certified, broken, adversarial, certificates)

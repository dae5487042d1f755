"""What an attack found, all of it claims, and what the replay lets stand of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.goal import Stage
from bnnopt.instance import AttackInstance
from bnnopt.result import Status

__all__ = ["PROOF_GAP", "Findings", "Verdict", "judge"]

FloatArray = npt.NDArray[np.float64]

PROOF_GAP = 1e-5
"""A bound this close proves the objective; solvers stop at a gap of 1e-6 by their tolerances."""

DISTANCE_GAP = 1e-4
"""Likewise for the value of another goal, relative: points keep a little off the thresholds."""


@dataclass
class Findings:
    """What an attack found; nothing in it is believed before the replay.

    Parameters
    ----------
    points : array of float, shape (count, n)
        Candidate levels; the best one is reported.
    bound : float or None
        A proved upper bound on the margin of every point of the box.
    goal_bounds : list of (float or None)
        A proved bound on the value of each stage of a goal other than the margin, up to the
        stage that was worked on last.
    iterations : int or None
    trace : list of (float, float)
        (seconds, claimed objective).
    steps : list of dict
        What each iteration did, where the method keeps it.
    size : dict
        Of the model, where there is one.
    ran : str
        The method that did the work, where an attack chooses one.
    interrupted : bool
    message : str
        What failed; makes the result an error.
    """

    points: FloatArray
    bound: float | None = None
    goal_bounds: list[float | None] = field(default_factory=list)
    iterations: int | None = None
    trace: list[tuple[float, float]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    size: dict[str, Any] = field(default_factory=dict)
    ran: str = ""
    interrupted: bool = False
    message: str = ""

    def tighten(self, others: Findings) -> None:
        """Take over bounds that are better: on the margin, and on a distance that comes first."""
        if others.bound is not None:
            self.bound = others.bound if self.bound is None else min(self.bound, others.bound)
        if others.goal_bounds:
            both = (*others.goal_bounds[:1], *self.goal_bounds[:1])
            self.goal_bounds[:1] = [max((b for b in both if b is not None), default=None)]


@dataclass(frozen=True)
class Verdict:
    """What may be reported: a bound on the margin, bounds on the goal's stages, a status."""

    status: Status
    bound: float | None = None
    goal_bounds: list[float | None] = field(default_factory=list)
    message: str = ""


def judge(
    instance: AttackInstance, findings: Findings, objective: float, moved: Mapping[str, float]
) -> Verdict:
    """Compare the bounds with the replayed point; bounds that exclude it are an error."""
    if findings.message:
        return Verdict(Status.ERROR, message=findings.message)
    bound = findings.bound
    if bound is not None:
        bound = instance.round_bound(bound)
        if bound < objective - PROOF_GAP:
            return _excluded("margin", bound, objective)
        bound = max(bound, objective)
    goal = instance.sought
    if goal.is_margin:
        proved = bound is not None and bound - objective <= PROOF_GAP
        return Verdict(Status.OPTIMAL if proved else Status.FEASIBLE, bound, [bound])
    values = goal.values(objective, moved)
    bounds: list[float | None] = []
    for stage, claim in zip(goal.stages, findings.goal_bounds, strict=False):
        bounds.append(None if claim is None else _rounded(stage, claim))
    bounds += [None] * (len(values) - len(bounds))
    if goal.needs_flip and objective <= 0:
        # The point is the image itself: what counts is whether any flip is ruled out.
        proved = bound is not None and bound <= 0
        return Verdict(Status.OPTIMAL if proved else Status.FEASIBLE, bound, bounds)
    for stage, value, limit in zip(goal.stages, values, bounds, strict=True):
        gap = np.inf if limit is None else _gap(stage, value, limit)
        if limit is not None and gap < -_allowed(value):
            return _excluded(goal.text, limit, value)
        if gap > _allowed(value):
            # The next stage's bound speaks of points that reach this one's optimum only.
            return Verdict(Status.FEASIBLE, bound, bounds)
    return Verdict(Status.OPTIMAL, bound, bounds)


def _excluded(what: str, bound: float, value: float) -> Verdict:
    message = f"the bound {bound:g} on {what} excludes a point of {value:g} that the network has"
    return Verdict(Status.ERROR, message=message)


def _rounded(stage: Stage, bound: float) -> float:
    """Numbers of pixels are whole."""
    if stage == Stage(0.0, {"l0": 1.0}):
        return float(np.ceil(bound - 1e-3))
    return bound


def _gap(stage: Stage, value: float, bound: float) -> float:
    return bound - value if stage.is_maximised else value - bound


def _allowed(value: float) -> float:
    return PROOF_GAP + DISTANCE_GAP * abs(value)

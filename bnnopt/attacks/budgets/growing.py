"""The smallest L1 or L0 distance of a flip, by budgets that grow until one has a flip.

Over the whole box most neurons are unstable and the model's relaxation flips for nothing. Within
a small budget few neurons can flip, and the model says quickly that there is no flip; within the
first budget that has one, the smallest distance is that of the whole box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings, keep_going
from bnnopt.attacks.limits import Limits
from bnnopt.bounds import interval_bounds
from bnnopt.goal import Stage
from bnnopt.instance import AttackInstance

__all__ = ["budget_of_goal", "grow_budget"]

GROWTH = 1.5
"""Each budget over the one before: proofs get much harder as it grows, and it may overshoot."""

SHARE = 0.5
"""Of the limits left, what a budget may take while no flip is known."""

PRECISION = 1e-5
"""Relative, of a distance."""

FloatArray = npt.NDArray[np.float64]


def budget_of_goal(instance: AttackInstance) -> str | None:
    """The distance, ``"l1"`` or ``"l0"``, that the goal minimises first, if it is one alone."""
    first = instance.sought.stages[:1]
    return next((name for name in ("l1", "l0") if first == (Stage(0.0, {name: 1.0}),)), None)


def grow_budget(
    instance: AttackInstance,
    limits: Limits,
    name: str,
    solve: Callable[[AttackInstance, Limits], Findings],
) -> Findings:
    """Solve within small budgets first.

    Parameters
    ----------
    instance : AttackInstance
    limits : Limits
    name : {"l1", "l0"}
        By `budget_of_goal`.
    solve : callable
        Solves the instance within a budget.

    Returns
    -------
    Findings
        With a lower bound on the distance: where budget b was ruled out, at least b.
    """
    result = Findings(instance.levels[None], goal_bounds=[0.0], iterations=0)
    return keep_going(result, partial(_grow, result, instance, limits, name, solve))


def _grow(
    result: Findings,
    instance: AttackInstance,
    limits: Limits,
    name: str,
    solve: Callable[[AttackInstance, Limits], Findings],
) -> None:
    """Fill the findings, budget after budget; what one of them has found is kept at once."""
    deadline = Deadline(limits)
    most = instance.largest_distance(name)
    budget = instance.epsilon if name == "l1" else 1.0
    least, best = 0.0, _smallest(instance, name, result.points)
    while True:
        is_whole, is_last = budget >= most, best < np.inf
        part = instance if is_whole else _within(instance, name, budget)
        if not is_whole and _is_still(part):
            least, budget = _beyond(name, budget), _next(name, budget)
            continue
        found = solve(part, deadline.share(1.0 if is_whole or is_last else SHARE))
        deadline.spend(found.iterations)
        result.iterations = (result.iterations or 0) + (found.iterations or 0)
        result.points = np.vstack([result.points, found.points])
        best = _smallest(instance, name, result.points)
        # Beyond the budget the distance is larger, and nothing is known of margins.
        claim = (found.goal_bounds or [None])[0] or 0.0
        claim = claim if is_whole else min(claim, budget)
        if found.no_flip:
            claim = max(claim, _beyond(name, budget))
        result.goal_bounds = [max(least, claim), *found.goal_bounds[1:]]
        if is_whole:
            result.bound, result.no_flip = found.bound, found.no_flip
        result.size, result.message = found.size, found.message
        result.interrupted, result.cut_off = found.interrupted, deadline.passed
        is_proved = claim >= best * (1.0 - PRECISION)
        is_over = found.interrupted or bool(found.message) or deadline.passed
        if is_whole or is_last or is_proved or is_over:
            return
        if best < np.inf:
            budget = best * (1.0 + PRECISION)  # once more, with what this has shown
            continue
        if found.no_flip:
            least = _beyond(name, budget)
        budget = _next(name, budget)  # also past what stays open


def _is_still(instance: AttackInstance) -> bool:
    """Whether no neuron can flip within the budget, and the image is no flip either."""
    return (
        not len(interval_bounds(instance)[0].unstable)
        and not instance.are_flips(instance.levels[None])[0]
    )


def _smallest(instance: AttackInstance, name: str, points: FloatArray) -> float:
    """The smallest distance of a flip among levels, shape (count, n); infinite if none flips."""
    flips = points[instance.are_flips(points)]
    return min((instance.distances(z)[name] for z in flips), default=np.inf)


def _within(instance: AttackInstance, name: str, budget: float) -> AttackInstance:
    if name == "l0":
        return replace(instance, max_pixels=int(budget))
    return replace(instance, max_l1=budget)


def _beyond(name: str, budget: float) -> float:
    """The least distance of a flip where this budget has none; pixels are whole."""
    return budget + 1.0 if name == "l0" else budget


def _next(name: str, budget: float) -> float:
    larger = GROWTH * budget
    return max(float(np.floor(larger)), budget + 1.0) if name == "l0" else larger

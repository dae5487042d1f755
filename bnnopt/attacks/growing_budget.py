"""The smallest L1 or L0 distance of a flip, by budgets that grow until one has a flip.

Over the whole box most neurons are unstable and the model's relaxation flips for nothing. Within
a small budget few neurons can flip, and the model says quickly that there is no flip; within the
first budget that has one, the smallest distance is that of the whole box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.base import Limits
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings
from bnnopt.bounds import interval_bounds
from bnnopt.goal import Stage
from bnnopt.instance import AttackInstance

__all__ = ["budget_of_goal", "grow_budget"]

GROWTH = 1.5
"""Each budget over the one before: proofs get much harder as it grows, and it may overshoot."""

SHARE = 0.5
"""Of the time left, what a budget may take while no flip is known."""

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
        Solves the instance within a budget; a bound of at most 0 says that it has no flip.

    Returns
    -------
    Findings
        With a lower bound on the distance: where budget b was ruled out, at least b.
    """
    deadline = Deadline(limits.time_limit)
    most, budget = _most(instance, name), instance.epsilon if name == "l1" else 1.0
    points, nodes, least, best = instance.levels[None], 0, 0.0, np.inf
    while True:
        is_whole, is_last = budget >= most, best < np.inf
        part = instance if is_whole else _within(instance, name, budget)
        if not is_whole and not len(interval_bounds(part)[0].unstable):
            least, budget = budget, _next(name, budget)
            continue
        seconds = deadline.left
        if seconds is not None and not (is_whole or is_last):
            seconds *= SHARE
        found = solve(part, replace(limits, time_limit=seconds))
        points, nodes = np.vstack([points, found.points]), nodes + (found.iterations or 0)
        best = _smallest(instance, name, points)
        claim = (found.goal_bounds or [None])[0] or 0.0
        is_proved = claim >= best * (1.0 - PRECISION)
        is_over = found.interrupted or bool(found.message) or deadline.passed
        if is_whole or is_last or is_proved or is_over:
            break
        if best < np.inf:
            budget = best * (1.0 + PRECISION)  # once more, with what this has shown
            continue
        if found.bound is not None and found.bound <= 0.0:
            least = budget
        budget = _next(name, budget)  # also past ties, which a closed model cannot tell from flips
    # Beyond the budget the distance is larger, and nothing is known of margins.
    claim = max(least, claim if is_whole else min(claim, budget))
    return replace(
        found,
        points=points,
        iterations=nodes,
        bound=found.bound if is_whole else None,
        goal_bounds=[claim, *found.goal_bounds[1:]],
    )


def _smallest(instance: AttackInstance, name: str, points: FloatArray) -> float:
    """The smallest distance of a flip among levels, shape (count, n); infinite if none flips."""
    flips = points[instance.margins(points) > 0.0]
    return min((instance.distances(z)[name] for z in flips), default=np.inf)


def _most(instance: AttackInstance, name: str) -> float:
    """The largest distance that the instance allows."""
    low, high = instance.box
    reach = np.maximum(high - instance.levels, instance.levels - low)
    if name == "l0":
        limit = np.inf if instance.max_pixels is None else instance.max_pixels
        return min(float(np.count_nonzero(reach)), limit)
    return min(float(reach.sum()), instance.l1_levels) / instance.network.levels


def _within(instance: AttackInstance, name: str, budget: float) -> AttackInstance:
    if name == "l0":
        return replace(instance, max_pixels=int(budget))
    return replace(instance, max_l1=budget)


def _next(name: str, budget: float) -> float:
    larger = GROWTH * budget
    return max(float(np.floor(larger)), budget + 1.0) if name == "l0" else larger

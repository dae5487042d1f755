"""The smallest distance of a flip: boxes or budgets that have none, down from those that have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings, keep_going
from bnnopt.attacks.limits import Limits
from bnnopt.goal import DISTANCES, Stage
from bnnopt.instance import AttackInstance
from bnnopt.tolerances import BUDGET_LEVELS

__all__ = ["distance_sought", "smallest_budget", "within"]

FloatArray = npt.NDArray[np.float64]
Seek = Callable[[AttackInstance, Limits, FloatArray], Findings]
Approach = Callable[[AttackInstance, str, FloatArray, Limits], FloatArray]

PRECISION = 4e-5
"""Relative; a distance is proved where its bound is within 1e-4 of it."""

CLOSE = 0.01
"""Relative; what is this near is not bisected while other budgets are open wider."""

NEAR = 0.1
"""Relative; flips this near to what is ruled out are moved as near as their pattern allows."""

SHARE = 0.3
"""Of the limits left, what a budget may take until those around it are close."""


def distance_sought(instance: AttackInstance) -> str | None:
    """The distance that is all that the goal minimises, if it is such a goal."""
    stages = instance.sought.stages
    return next((name for name in DISTANCES if stages == (Stage(0.0, {name: 1.0}),)), None)


def smallest_budget(
    instance: AttackInstance,
    name: str,
    limits: Limits,
    starts: FloatArray,
    seek: Seek,
    approach: Approach,
) -> Findings:
    """Look for the smallest box, or budget, with a flip.

    Parameters
    ----------
    instance : AttackInstance
    name : {"linf", "l1", "l0"}
        By `distance_sought`.
    limits : Limits
    starts : array of float, shape (count, n)
    seek : callable
        Looks for any flip within a budget; it may prove that there is none.
    approach : callable
        Takes the instance, the distance, a flip and limits; returns a flip, nearer where it knows
        one.

    Returns
    -------
    Findings
        With a proved lower bound on the distance where each smaller budget was ruled out.
    """
    result = Findings(starts, goal_bounds=[_beyond(instance, name, 0.0)], iterations=0)
    return keep_going(result, partial(_narrow, result, instance, name, limits, seek, approach))


def _narrow(
    result: Findings,
    instance: AttackInstance,
    name: str,
    limits: Limits,
    seek: Seek,
    approach: Approach,
) -> None:
    """Fill the findings, budget after budget; what one of them has found is kept at once."""
    deadline, largest = Deadline(limits), instance.largest_distance(name)
    known, budget, is_last = _Known(_steps(instance, name), largest), largest, False
    if instance.are_flips(instance.levels[None])[0]:  # nothing is nearer than the image itself
        result.goal_bounds = [0.0]
        return
    result.no_flip = largest == 0.0
    nearest = None  # the nearest flip, as long as it has not been moved nearer
    while known.empty < budget:
        if deadline.passed:
            result.cut_off = True
            return
        # A margin within a budget is no objective here, so that nobody is told.
        inside = replace(deadline.share(1.0 if is_last else SHARE), on_incumbent=None)
        found = seek(within(instance, name, budget), inside, result.points)
        deadline.spend(found.iterations)
        result.iterations = (result.iterations or 0) + (found.iterations or 0)
        flips = found.points[instance.are_flips(found.points)]
        if len(flips):
            nearest = min(flips, key=lambda z: instance.distances(z)[name])
            result.points = np.vstack([result.points, nearest[None]])
            known.break_at(min(budget, instance.distances(nearest)[name]))
        elif found.no_flip:
            known.rule_out(budget)
            result.goal_bounds = [_beyond(instance, name, budget)]  # smaller ones lie within
        elif found.cut_off:
            known.undecided.append(budget)
        else:  # sets stay open: there is no more to learn here
            known.leave(budget)
            result.notes = found.notes
        is_stopped = found.interrupted or bool(found.message)
        if nearest is not None and known.is_near and not is_stopped:
            moved, nearest = approach(instance, name, nearest, deadline.share(1.0)), None
            result.points = np.vstack([result.points, moved[None]])
            known.break_at(min(known.broken, instance.distances(moved)[name]))
        if budget == largest and not len(flips):
            result.bound, result.no_flip = found.bound, found.no_flip
        result.interrupted, result.message = found.interrupted, found.message
        if is_stopped or known.is_precise:
            return
        budget, is_last = known.next()


class _Known:
    """What is known of budgets: up to `empty` none has a flip, from `broken` on all have."""

    def __init__(self, steps: int | None, largest: float) -> None:
        self._steps, self._largest = steps, largest
        self.empty, self.broken = 0.0, np.inf
        self.undecided: list[float] = []
        self._tried = 0.0
        """The last budget just below a flip; 0 after another one."""

    def rule_out(self, budget: float) -> None:
        self.empty = budget
        self.undecided = [open_ for open_ in self.undecided if open_ > budget]

    def leave(self, budget: float) -> None:
        """Look elsewhere: below it if it is just below a flip, else above."""
        if budget == self._tried:
            self.break_at(budget)
        else:
            self.rule_out(budget)

    def break_at(self, budget: float) -> None:
        self.broken = budget
        self.undecided = [open_ for open_ in self.undecided if open_ < budget]

    @property
    def is_precise(self) -> bool:
        top = min(self.broken, self._largest)
        return top - self.empty <= PRECISION * top

    @property
    def is_near(self) -> bool:
        """Whether a flip is near to what is ruled out, or as near as is soon decided."""
        if np.isinf(self.broken):
            return False
        return self.broken - self.empty <= NEAR * self.broken or bool(self.undecided)

    def next(self) -> tuple[float, bool]:
        """The next budget, and whether it may take all the time that is left."""
        step = 1.0 / self._steps if self._steps else 0.0
        top = min(self.broken, self._largest)
        close = max(CLOSE * top, 1.5 * step)
        if not self.undecided:
            between = _between(self._steps, self.empty, top)
            return max(between, self._below_flip()), top - self.empty <= close
        least, most = min(self.undecided), max(self.undecided)
        below, above = least - self.empty, top - most
        if max(below, above) <= close:
            return least, True
        if below >= above:
            return _between(self._steps, self.empty, least), False
        return _between(self._steps, most, top), False

    def _below_flip(self) -> float:
        """A little less than a flip that is near, every other time; otherwise 0."""
        if self._tried or not self.is_near:
            self._tried = 0.0
        elif self._steps:
            self._tried = (round(self.broken * self._steps) - 1) / self._steps
        else:
            self._tried = (1.0 - 0.9 * PRECISION) * self.broken
        return self._tried


def within(instance: AttackInstance, name: str, budget: float) -> AttackInstance:
    """The instance within a budget of a distance, and for any flip there."""
    if name == "linf":
        return replace(instance, epsilon=budget, goal="flip")
    if name == "l0":
        return replace(instance, max_pixels=round(budget), goal="flip")
    return replace(instance, max_l1=budget, goal="flip")


def _steps(instance: AttackInstance, name: str) -> int | None:
    """Into how many steps a unit of the distance falls; None if it is continuous."""
    if name == "l0":
        return 1
    return instance.network.levels if instance.domain == "pixels" else None


def _beyond(instance: AttackInstance, name: str, budget: float) -> float:
    """The least distance of a flip where this budget has none."""
    steps = _steps(instance, name)
    if steps is None:
        return budget
    return float(np.floor(budget * steps + BUDGET_LEVELS) + 1.0) / steps


def _between(steps: int | None, empty: float, broken: float) -> float:
    """The next budget to look at; `empty` again if there is none between."""
    if steps is None:
        return (empty + broken) / 2.0
    least = int(np.floor(empty * steps + BUDGET_LEVELS))
    return (least + (round(broken * steps) - least) // 2) / steps

"""The smallest L-infinity distance of a flip, by bisection over boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.base import Limits
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings
from bnnopt.goal import Stage
from bnnopt.instance import ROUNDING, AttackInstance

__all__ = ["seeks_smallest_box", "smallest_box"]

FloatArray = npt.NDArray[np.float64]
Seek = Callable[[AttackInstance, Limits, FloatArray], Findings]

PRECISION = 4e-5
"""Relative; a distance is proved where its bound is within 1e-4 of it."""


def seeks_smallest_box(instance: AttackInstance) -> bool:
    """Whether the goal is the L-infinity distance alone, and the box the only budget."""
    return instance.is_box and instance.sought.stages == (Stage(0.0, {"linf": 1.0}),)


def smallest_box(
    instance: AttackInstance, limits: Limits, starts: FloatArray, seek: Seek
) -> Findings:
    """Bisect for the smallest box with a flip.

    Parameters
    ----------
    instance : AttackInstance
        With the goal ``"linf"``.
    limits : Limits
    starts : array of float, shape (count, n)
    seek : callable
        Looks for any flip in a box; its bound, if it gives one, may prove that there is none.

    Returns
    -------
    Findings
        With a proved lower bound on the distance where each smaller box was ruled out.
    """
    deadline = Deadline(limits.time_limit)
    empty, broken, epsilon = 0.0, np.inf, instance.epsilon
    result = Findings(starts, goal_bounds=[_beyond(instance, 0.0)], iterations=0)
    while epsilon > empty and not deadline.passed:
        box = replace(instance, epsilon=epsilon, goal="flip")
        # A margin of a box is no objective here, so that nobody is told.
        inside = replace(limits, time_limit=deadline.left, on_incumbent=None)
        found = seek(box, inside, result.points)
        result.iterations = (result.iterations or 0) + (found.iterations or 0)
        result.interrupted, result.message = found.interrupted, found.message
        flips = found.points[instance.margins(found.points) > 0.0]
        if len(flips):
            broken = min(epsilon, *(instance.distances(z)["linf"] for z in flips))
            result.points = np.vstack([result.points, flips])
        else:
            empty = epsilon
            if found.bound is not None and found.bound <= 0.0:
                result.goal_bounds = [_beyond(instance, epsilon)]  # smaller boxes lie within
        if not np.isfinite(broken):
            result.bound = found.bound
            break
        if found.interrupted or found.message or broken - empty <= PRECISION * broken:
            break
        epsilon = _between(instance, empty, broken)
    return result


def _beyond(instance: AttackInstance, epsilon: float) -> float:
    """The least distance of a flip where the box of `epsilon` has none."""
    if instance.domain == "continuous":
        return epsilon
    levels = instance.network.levels
    return float(np.floor(epsilon * levels + ROUNDING) + 1.0) / levels


def _between(instance: AttackInstance, empty: float, broken: float) -> float:
    """The next box to look at; `empty` again if there is none between."""
    if instance.domain == "continuous":
        return (empty + broken) / 2.0
    levels = instance.network.levels
    least = int(np.floor(empty * levels + ROUNDING))
    return (least + (round(broken * levels) - least) // 2) / levels

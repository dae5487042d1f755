"""What branch and bound can say of other goals, and of a limit on the number of pixels.

Pixels that change by at most epsilon each, and at most K of them, change by at most K epsilon in
sum. So the box with that L1 budget contains every admissible point: a bound over it holds, and its
points, which change as few pixels as their sum allows, are good ones once they are brought inside.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.findings import Findings
from bnnopt.goal import Stage
from bnnopt.instance import AttackInstance

__all__ = ["carry_over", "fewer_pixels", "l1_relaxation"]

FloatArray = npt.NDArray[np.float64]

DISTANCE_ROUNDING = 1e-9
"""Relative: what a bound on a distance may be off where it became a number of [0, 1] units."""


def l1_relaxation(instance: AttackInstance) -> AttackInstance:
    """The instance with an L1 budget for its pixels, and a goal that branch and bound takes."""
    max_l1 = instance.max_l1
    if instance.max_pixels is not None:
        levels = float(_reaches(instance)[: instance.max_pixels].sum())
        most = levels / instance.network.levels
        max_l1 = most if max_l1 is None else min(most, max_l1)
    # The flip that changes least in sum changes few pixels.
    goal = "l1" if instance.sought.needs_flip else "margin"
    return replace(instance, goal=goal, max_pixels=None, max_l1=max_l1)


def carry_over(instance: AttackInstance, findings: Findings) -> Findings:
    """What findings on `l1_relaxation` say of the instance."""
    stages, bounds = instance.sought.stages, findings.goal_bounds
    carried: list[float | None] = []
    if stages and bounds and bounds[0] is not None and instance.sought.needs_flip:
        if stages[0] == Stage(0.0, {"l1": 1.0}):
            carried = [bounds[0]]
        elif stages[0] == Stage(0.0, {"l0": 1.0}):
            carried = [_fewest(instance, bounds[0])]
    return replace(findings, goal_bounds=carried)


def fewer_pixels(instance: AttackInstance, z: FloatArray) -> FloatArray:
    """Take changes of a flip back as long as it stays one: half of them at a time, then fewer.

    A change costs the same whatever its size, so all go as far as they can first.

    Parameters
    ----------
    instance : AttackInstance
    z : array of float, shape (n,)
        Levels; the same ones come back where they are no flip.
    """
    low, high = instance.point_box
    farthest = np.where(z > instance.levels, high, np.where(z < instance.levels, low, z))
    farthest = instance.snap(farthest)
    ends = [_without(instance, point) for point in (farthest, z)]
    return max(ends, key=instance.rank)


def _without(instance: AttackInstance, z: FloatArray) -> FloatArray:
    if not instance.are_flips(z[None])[0]:
        return z
    changed = np.flatnonzero(z != instance.levels)
    changed = changed[np.argsort(np.abs(z - instance.levels)[changed], kind="stable")]
    size = len(changed)
    while size > 1:
        size = (size + 1) // 2
        while True:
            parts = [changed[at : at + size] for at in range(0, len(changed), size)]
            trials = np.repeat(z[None], len(parts), axis=0)
            for trial, part in zip(trials, parts, strict=True):
                trial[part] = instance.levels[part]
            margins = np.where(instance.are_flips(trials), instance.margins(trials), -np.inf)
            best = int(np.argmax(margins)) if parts else 0
            if not parts or margins[best] == -np.inf:
                break
            z = trials[best]
            changed = np.setdiff1d(changed, parts[best], assume_unique=True)
    return z


def _fewest(instance: AttackInstance, l1: float) -> float:
    """No fewer pixels can change by so much in sum, in [0, 1] units."""
    paid = np.cumsum(_reaches(instance))
    needed = l1 * instance.network.levels * (1.0 - DISTANCE_ROUNDING)
    return float(np.searchsorted(paid, needed) + 1) if needed > 0.0 else 0.0


def _reaches(instance: AttackInstance) -> FloatArray:
    """How far each level can move, the farthest first."""
    return -np.sort(-instance.reach)

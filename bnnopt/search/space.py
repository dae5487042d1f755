r"""Where the search over flips looks for points: a box, or what an L1 budget leaves of it.

With an L1 budget B, a point is ``z = image + p - q``, where p and q, at least 0, are how far each
level goes up and down. They lie in a box again, of up to 2 n coordinates, and the budget is one
more row of weights 1: ``sum (p + q) <= B``. Over that box it is a neuron that every flip set has;
nothing else of the search changes (docs/search.md, "L1 budgets").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from bnnopt.flips import Flips
from bnnopt.instance import AttackInstance
from bnnopt.search.problem import Region, region_of

__all__ = ["BoxSpace", "BudgetSpace", "Space", "space_of"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class BoxSpace:
    """Points ``centre + radius * u``, u in [-1, 1]^m, of the m levels that can move.

    Parameters
    ----------
    instance : AttackInstance
    flips : Flips
    """

    def __init__(self, instance: AttackInstance, flips: Flips) -> None:
        low, high = instance.box
        self._centre, self._moving = (low + high) / 2.0, np.flatnonzero(high > low)
        self.flips = flips
        self.region: Region = region_of(flips)

    def point(self, u: FloatArray) -> FloatArray:
        """The levels of a point, shape (m,) to (n,)."""
        z = self._centre.copy()
        z[self._moving] += self.region.radius * u
        return z

    def unit(self, z: FloatArray) -> FloatArray:
        """What `point` takes for these levels."""
        return np.asarray((z - self._centre)[self._moving] / self.region.radius)

    def inside(self, u: FloatArray) -> FloatArray:
        """A point of the space near one of the box."""
        return u

    def refutes(self, flipped: BoolArray, multipliers: FloatArray) -> bool:
        """Whether multipliers of the rows, shape (k,), prove that a flip set has no point."""
        return self.flips.refutes(flipped, multipliers)


class BudgetSpace:
    """Points of a box within an L1 budget; see above.

    Parameters
    ----------
    instance : AttackInstance
    flips : Flips
    """

    def __init__(self, instance: AttackInstance, flips: Flips) -> None:
        low, high = instance.box
        self._image, self._budget = instance.levels, instance.l1_levels
        up, down = high - instance.levels, instance.levels - low
        self._up, self._down = np.flatnonzero(up > 0), np.flatnonzero(down > 0)
        radius = np.concatenate([up, down]) / 2.0
        weight = np.hstack([flips.weight, -flips.weight])
        least = float(radius.sum()) - self._budget  # that the sum must fall from the centre
        self.flips = Flips(
            np.append(flips.neurons, -1),
            np.append(flips.signs, np.int8(1)),
            np.vstack([weight, np.ones(len(radius))]),
            np.append(flips.demand, least),
            np.append(flips.stay_demand, least),
            radius,
        )
        # The best multiplier of the budget's row is where the levels that sums of so many signs
        # use most are paid for: a quantile of the normal distribution.
        share = min(self._budget / radius.sum(), 1.0)
        self.region: Region = region_of(self.flips, 1, float(ndtri(1.0 - share / 2.0)))

    def point(self, u: FloatArray) -> FloatArray:
        """The levels of a point, shape (m,) to (n,)."""
        z, moved = self._image.copy(), self.region.radius * (1.0 + u)
        z[self._up] += moved[: len(self._up)]
        z[self._down] -= moved[len(self._up) :]
        return z

    def unit(self, z: FloatArray) -> FloatArray:
        """What `point` takes for these levels."""
        change = z - self._image
        moved = np.concatenate([change[self._up], -change[self._down]])
        return np.asarray(np.maximum(moved, 0.0) / self.region.radius - 1.0)

    def inside(self, u: FloatArray) -> FloatArray:
        """A point of the space near one of the box."""
        change = self.point(u) - self._image
        share = self._budget / max(float(np.abs(change).sum()), 1e-9)
        return self.unit(self._image + min(share, 1.0) * change)

    def refutes(self, flipped: BoolArray, multipliers: FloatArray) -> bool:
        """Whether multipliers of the rows, shape (k,), prove that a flip set has no point.

        The budget's own multiplier is the pull of the last level that the budget pays for.
        """
        signed = np.where(flipped, multipliers, -multipliers)
        pull = -(signed @ self.flips.weight[:-1])
        order = np.argsort(-pull)
        paid = np.cumsum(2.0 * self.flips.radius[order])
        last = int(np.searchsorted(paid, self._budget))
        price = max(float(pull[order][min(last, len(pull) - 1)]), 0.0)
        return self.flips.refutes(np.append(flipped, True), np.append(multipliers, price))


Space = BoxSpace | BudgetSpace


def space_of(instance: AttackInstance, flips: Flips) -> Space:
    """A box where the L1 budget reaches all of it."""
    is_whole = bool(instance.reach.sum() <= instance.l1_levels)
    return BoxSpace(instance, flips) if is_whole else BudgetSpace(instance, flips)

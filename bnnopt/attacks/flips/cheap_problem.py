"""The smallest L0 or L1 distance of a flip as the least cost of a set, where flips are free.

So too any flip within a budget, where that leaves few sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.budgets.smallest import distance_sought, within
from bnnopt.instance import AttackInstance
from bnnopt.search.cheap_walk import cheap_flips
from bnnopt.search.position import new_position, target_terms
from bnnopt.search.problem import MarginTerms
from bnnopt.search.space import CutSpace, has_cuts_only
from bnnopt.search.terms import margin_terms

__all__ = ["CheapProblem", "is_cheap"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_FLIPS = 4096
"""Flips that are sorted at most."""

LARGEST_SUM = 2**24
"""Whole numbers up to this are exact in single precision."""

FEW_SETS = 2**23
"""Sets within a budget that are visited rather than searched: half a second or less."""

MOST_SIZE = 24
"""Flips of a set from which on there are too many sets, or fewer flips than that."""

DOUBT = 5e-6
"""In units of the margin: how far below a flip's margin a set is still replayed, exactly."""


def is_cheap(instance: AttackInstance) -> bool:
    """Whether sets in the order of their cost may serve: for the least, or any within a budget.

    Each first-layer neuron looks at one pixel. For the least cost, two layers or more follow: where
    it is one, bounds on its margin end trees early.
    """
    name = _counted(instance)
    is_served = instance.network.depth > 2 if instance.sought.stages else True
    return name is not None and is_served and has_cuts_only(instance)


def _counted(instance: AttackInstance) -> str | None:
    """What sets are sorted by: the distance sought, or what is limited where any flip is."""
    if instance.sought.stages:
        name = distance_sought(instance)
        return name if name in ("l0", "l1") else None
    if instance.max_pixels is not None:
        return "l0"
    return "l1" if instance.max_l1 is not None else None


def _is_small(cost: IntArray, most: int) -> bool:
    """Whether there are so few sets within a budget that no tree need be tried."""
    size = int(np.searchsorted(np.cumsum(cost), most, side="right"))
    return sum(comb(len(cost), count) for count in range(min(size, MOST_SIZE) + 1)) <= FEW_SETS


class CheapProblem:
    """Flips sorted by cost, in pixels or in the steps of the levels, and what sets of them are.

    Attributes
    ----------
    terms : TargetTerms
    flips : CheapFlips
    wanted : array of float64, shape (targets,)
        In units of the margin: sets below are no flips.
    most : int
        The largest cost that the instance allows.
    step : int
        Into how many costs a level falls; 1 in whole levels, and for pixels.
    """

    @classmethod
    def of(cls, instance: AttackInstance) -> CheapProblem | None:
        """One for an instance that `is_cheap`; None if it is too large, or nothing can flip.

        For any flip within a budget, also if its sets are not few.
        """
        name = _counted(instance)
        assert name is not None
        part = within(instance, name, instance.largest_distance(name))
        space = CutSpace(part, MOST_FLIPS)
        of_target = margin_terms(part, space.origin, space.shift)
        if of_target is None or not space.is_complete or not len(space.pixel):
            return None
        terms = next(iter(of_target.values()))
        largest = np.abs(terms.surplus) + np.abs(terms.change).sum(axis=0, dtype=np.float64)
        if largest.max() > LARGEST_SUM:
            return None
        problem = cls(instance, name, space, of_target)
        is_few = _is_small(problem.flips.cost, problem.most)
        return problem if instance.sought.stages or is_few else None

    def __init__(
        self,
        instance: AttackInstance,
        name: str,
        space: CutSpace,
        of_target: dict[int, MarginTerms],
    ) -> None:
        self._instance, self._name, self._space = instance, name, space
        # The goal's own budget is the first one of a space for L1, and the last one for pixels.
        own = 0 if name == "l1" else len(space.region.most) - 1
        others = np.delete(np.arange(len(space.region.most)), own)
        self._order = np.argsort(space.region.cost[:, own], kind="stable")
        cost = space.region.cost[self._order]
        terms = target_terms(list(of_target.values()))
        self.terms = terms._replace(change=np.ascontiguousarray(terms.change[self._order]))
        self.flips = cheap_flips(
            self.terms,
            new_position(self.terms).surplus,
            cost[:, own].astype(np.int64),
            space.pixel[self._order],
            cost[:, others],
            space.region.most[others],
        )
        least, unit = instance.of_margins.least_flip, instance.of_margins.unit
        self.wanted = np.array([least(target) / unit - DOUBT for target in of_target])
        self.most = int(space.region.most[own])
        self.step = int(space.step) if name == "l1" else 1

    def distance(self, cost: int) -> float:
        """The distance of sets of a cost."""
        if self._name == "l0":
            return float(cost)
        return cost / self.step / self._instance.network.levels

    def cost(self, z: FloatArray) -> int:
        """What levels cost, shape (n,)."""
        moved = np.abs(z - self._instance.levels)
        total = np.count_nonzero(moved) if self._name == "l0" else moved.sum() * self.step
        return round(float(total))

    def point(self, members: Iterable[int]) -> FloatArray:
        """Levels where some flips are made, and each pixel moves as little as it must."""
        flipped = np.zeros(len(self._order))
        flipped[self._order[list(members)]] = 1.0
        return self._space.point(flipped)

    def margin(self, z: FloatArray) -> float:
        """The best margin of levels."""
        return float(self._instance.margins(z[None])[0])

    def is_flip(self, z: FloatArray) -> bool:
        """Whether levels are a flip, exactly."""
        return bool(self._instance.are_flips(z[None])[0])

    def is_admissible(self, z: FloatArray) -> bool:
        """Whether they are within all budgets, which proofs count a little wider."""
        return np.array_equal(self._instance.snap(z), z)

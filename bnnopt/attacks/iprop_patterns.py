"""Sign patterns of the first layer: which have a point, and which near one are better."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.iprop_state import State
from bnnopt.attacks.iprop_subsolver import Subsolver
from bnnopt.attacks.reachability import Reachability
from bnnopt.attacks.resources import Resources
from bnnopt.flips import pair_conflicts
from bnnopt.instance import AttackInstance
from bnnopt.search.neighbourhood import better_set, move_to, new_place, worth_of
from bnnopt.search.problem import margin_terms, region_of, sorted_flips
from bnnopt.search.reach import OPEN, REACHED

__all__ = ["Patterns"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
SignArray = npt.NDArray[np.int8]

TESTS = 4
"""Patterns of a neighbourhood that are tested for a point."""

MOST_NEIGHBOURS = 14
"""Most neurons whose sign patterns are enumerated together."""

DEEP_ENOUGH = 1e-7
"""Levels; a pattern with less slack has no point that survives the rounding to the grid."""


class Patterns(Resources):
    """Patterns of the unstable neurons, and what is learnt of those that have no point.

    Parameters
    ----------
    instance : AttackInstance
    subsolver : Subsolver
    neighbours : int
        Neurons whose sign patterns are enumerated together, all 2**neighbours.
    kernel : bool
        Whether compiled code tests patterns for a point; else linear programs do.
    """

    def __init__(
        self, instance: AttackInstance, subsolver: Subsolver, neighbours: int, kernel: bool
    ) -> None:
        super().__init__()
        self._instance, self._subsolver, self._count = instance, subsolver, neighbours
        self.flips = sorted_flips(instance)
        self._pairs = pair_conflicts(self.flips)
        self._settles = kernel and instance.max_l1 is None
        self._region = region_of(self.flips)
        terms = [margin_terms(instance, self.flips, c) for c in instance.targets]
        self._worth = worth_of(self._region, terms)
        self._place = new_place(self._worth)
        low, high = instance.box
        self._centre, self._moves = (low + high) / 2.0, high > low

    @cached_property
    def _reachability(self) -> Reachability:
        limit = self._instance.l1_levels
        return self.held.enter_context(
            Reachability(
                self._instance, self.flips.neurons, self._subsolver.adapter.name, max_l1=limit
            )
        )

    def close(self) -> None:
        """Close the linear program; it is built anew when it is next needed."""
        vars(self).pop("_reachability", None)
        super().close()

    def better(
        self, state: State, rng: np.random.Generator, target: SignArray | None = None
    ) -> FloatArray:
        """A point with a better pattern near the incumbent's, if one is found.

        All sign patterns of a few neurons are enumerated, the others as they are: those that the
        target would change, then random ones. What a pattern is worth, a forward pass says; the
        most promising that no conflict excludes are tested for a point.

        Parameters
        ----------
        state : State
        rng : numpy Generator
        target : array of int8, shape (width,), optional
            First-layer activations, from (9).

        Returns
        -------
        array of float, shape (count, n)
            Levels; at most one point.
        """
        present = state.activations[0][self.flips.neurons]
        wanted = present if target is None else target[self.flips.neurons]
        place, region, worth = self._place, self._region, self._worth
        move_to(region, worth, place, present != self.flips.signs)
        u = np.zeros(len(region.radius))
        moving = self._neighbours(rng, wanted != present)
        distance = np.abs(state.slacks[0])[self.flips.neurons]
        status = better_set(
            region, worth, place, moving, self._pairs, distance, TESTS, self._settles, u
        )
        if status == REACHED:
            z = self._centre.copy()
            z[self._moves] += region.radius * u
            if self._has_pattern(self._instance.snap(z)):
                return z[None]
        elif status != OPEN:
            return np.zeros((0, self._instance.network.num_inputs))
        return self._ask()

    def _neighbours(self, rng: np.random.Generator, changed: BoolArray) -> IntArray:
        """The neurons to enumerate: those that (9) changes, then random ones."""
        order = rng.permutation(len(changed))
        order = order[np.argsort(~changed[order], kind="stable")]
        return order[: min(max(self._count, int(changed.sum())), MOST_NEIGHBOURS)]

    def _has_pattern(self, z: FloatArray) -> bool:
        """Whether levels, shape (n,), have the pattern that was found."""
        signs = self._instance.network.hidden[0](z[None])[0][self.flips.neurons]
        return np.array_equal(signs != self.flips.signs, self._place.flipped)

    def _ask(self) -> FloatArray:
        """Ask a linear program for a point of the pattern that was found."""
        place = self._place
        signs = np.where(place.flipped, -self.flips.signs, self.flips.signs)
        reach = self._reachability.test(signs, self._subsolver.seconds)
        if reach.interrupted:
            raise KeyboardInterrupt
        if reach.point is None or reach.slack is None or reach.slack < DEEP_ENOUGH:
            place.without[place.key[0] % len(place.without)] = place.key[0]
            return np.zeros((0, self._instance.network.num_inputs))
        return reach.point[None]

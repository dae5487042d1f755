"""Sign patterns of the first layer: which have a point, and which near one are better."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.flips.flip_search import space_and_terms
from bnnopt.attacks.flips.near_patterns import NearPatterns
from bnnopt.attacks.iprop.state import State
from bnnopt.attacks.iprop.subsolver import Subsolver
from bnnopt.attacks.reachability import Reachability
from bnnopt.attacks.resources import Resources
from bnnopt.instance import AttackInstance
from bnnopt.search.reach import OPEN, REACHED
from bnnopt.search.space import neuron_space

__all__ = ["Patterns"]

FloatArray = npt.NDArray[np.float64]
SignArray = npt.NDArray[np.int8]
BoolArray = npt.NDArray[np.bool_]

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
        self._settles = kernel
        self._space, terms = space_and_terms(instance, neuron_space)
        self.flips = self._space.flips
        self._always = np.ones(self._space.region.always, dtype=bool)
        self._near = NearPatterns(self._space, list(terms.values()))

    @cached_property
    def _reachability(self) -> Reachability:
        limit = self._instance.l1_point_levels
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
        target would change, then others at random. What a pattern is worth, a forward pass says;
        the most promising that no conflict excludes are tested for a point.

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
        changed = wanted != present
        status, u = self._near.better(
            rng,
            np.append(present != self.flips.signs, self._always),
            np.abs(state.slacks[0])[self.flips.neurons],
            min(max(self._count, int(changed.sum())), MOST_NEIGHBOURS),
            first=changed,
            settles=self._settles,
        )
        if status == REACHED:
            z = self._space.point(u)
            if self._has_pattern(self._instance.snap(z)):
                return z[None]
        elif status != OPEN:
            return np.zeros((0, self._instance.network.num_inputs))
        return self._ask()

    @property
    def _flipped(self) -> BoolArray:
        """The pattern that was found, as flips of the unstable neurons, shape (k,)."""
        return self._near.flipped[: len(self.flips.neurons)]

    def _has_pattern(self, z: FloatArray) -> bool:
        """Whether levels, shape (n,), have the pattern that was found."""
        signs = self._instance.network.hidden[0](z[None])[0][self.flips.neurons]
        return np.array_equal(signs != self.flips.signs, self._flipped)

    def _ask(self) -> FloatArray:
        """Ask a linear program for a point of the pattern that was found."""
        signs = np.where(self._flipped, -self.flips.signs, self.flips.signs)
        reach = self._reachability.test(signs, self._subsolver.seconds)
        if reach.interrupted:
            raise KeyboardInterrupt
        if reach.point is None or reach.slack is None or reach.slack < DEEP_ENOUGH:
            if reach.most_slack is not None and reach.most_slack < DEEP_ENOUGH:
                self._near.exclude()  # a stopped solver says nothing of other points
            return np.zeros((0, self._instance.network.num_inputs))
        return reach.point[None]

"""Sign patterns of the first layer: which have a point, and which near one are better."""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.iprop_state import State
from bnnopt.attacks.iprop_subsolver import Subsolver
from bnnopt.attacks.reachability import Reach, Reachability
from bnnopt.flips import first_layer_flips, pair_conflicts
from bnnopt.instance import AttackInstance

__all__ = ["Patterns"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
SignArray = npt.NDArray[np.int8]

TESTS = 4
"""Patterns of a neighbourhood that are tested for a point."""

EASY = 50.0
"""Levels that a pattern's sums move for nothing, as far as the order of tests is concerned."""

DEEP_ENOUGH = 1e-7
"""Levels; a pattern with less slack has no point that survives the rounding to the grid."""


class Patterns:
    """Patterns of the unstable neurons, and what is learnt of those that have no point.

    Parameters
    ----------
    instance : AttackInstance
    subsolver : Subsolver
    neighbours : int
        Neurons whose sign patterns are enumerated together, all 2**neighbours.
    """

    def __init__(self, instance: AttackInstance, subsolver: Subsolver, neighbours: int) -> None:
        self._instance, self._subsolver, self._count = instance, subsolver, neighbours
        self.flips = first_layer_flips(instance)
        self.neurons = self.flips.neurons
        self._pairs = pair_conflicts(self.flips).astype(np.float32)
        self._conflicts = np.zeros((0, len(self.neurons)), dtype=np.float32)
        self._tested: set[bytes] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if "_reachability" in vars(self):
            self._reachability.__exit__(kind, error, trace)

    @cached_property
    def _reachability(self) -> Reachability:
        """Its linear programs need duals, so they run on HiGHS whatever the solver."""
        return Reachability(self._instance, self.neurons, "highs", max_l1=self._instance.l1_levels)

    def better(
        self, state: State, rng: np.random.Generator, target: SignArray | None = None
    ) -> FloatArray:
        """A point with a better pattern near the incumbent's, if one is found.

        All sign patterns of a few neurons are enumerated, the others as they are: those that the
        target would change, then random ones. What a pattern is worth, a forward pass says; the
        most promising that no known conflict excludes are tested for a point.

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
        tests = 0
        for pattern in self._promising(state, self._neighbours(state, rng, target)):
            if pattern.tobytes() in self._tested or not self._may_have_points(pattern[None])[0]:
                continue
            if tests == TESTS:
                break
            tests += 1
            self._tested.add(pattern.tobytes())
            reach = self._test(pattern)
            if reach.point is not None:
                return reach.point[None]
        return np.zeros((0, self._instance.network.num_inputs))

    def _neighbours(
        self, state: State, rng: np.random.Generator, target: SignArray | None
    ) -> SignArray:
        """Patterns near the present one, shape (count, k), that may have a point."""
        present = state.activations[0][self.neurons]
        order = rng.permutation(len(self.neurons))
        asked = np.zeros_like(present) if target is None else target[self.neurons]
        wanted = np.where(asked == 0, present, asked)
        order = order[np.argsort(wanted[order] == present[order], kind="stable")]
        moving = order[: self._count]
        bits = (np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving))) & 1
        signs = np.tile(present, (len(bits) + 1, 1))
        signs[:-1, moving] = 2 * bits - 1
        signs[-1] = wanted
        return signs[self._may_have_points(signs)]

    def _promising(self, state: State, signs: SignArray) -> SignArray:
        """The better patterns of some, by what they gain a level that sums must move for them.

        Those of the largest margin hardly ever have a point.
        """
        gain = self._margins(state, signs) - state.margin
        better = np.flatnonzero(gain > 0)
        first = self._instance.network.hidden[0]
        distance = np.abs(first.pre_activation(state.z[None])[0] - first.threshold)[self.neurons]
        effort = (signs[better] != state.activations[0][self.neurons]) @ distance
        order = np.argsort(-gain[better] / (effort + EASY), kind="stable")
        return signs[better[order]]

    def _margins(self, state: State, signs: SignArray) -> FloatArray:
        """The margins of patterns, shape (count, k) to (count,)."""
        values = np.tile(state.activations[0].astype(np.float64), (len(signs), 1))
        values[:, self.neurons] = signs
        for layer in self._instance.network.hidden[1:]:
            values = layer(values)
        logits = self._instance.network.output(values)
        margins: FloatArray = (
            logits[:, list(self._instance.targets)].max(axis=1) - logits[:, self._instance.source]
        )
        return margins

    def _may_have_points(self, signs: SignArray) -> BoolArray:
        """Which patterns no known conflict excludes."""
        flipped = (signs != self.flips.signs).astype(np.float32)
        alone = ((flipped @ self._pairs) * flipped).sum(axis=1) == 0
        agreement = signs.astype(np.float32) @ self._conflicts.T
        together: BoolArray = (agreement == np.abs(self._conflicts).sum(axis=1)).any(axis=1)
        return np.asarray(alone & ~together)

    def _test(self, signs: SignArray) -> Reach:
        """Ask for a point; what proves that there is none is kept."""
        reach = self._reachability.test(signs, self._subsolver.seconds)
        if reach.interrupted:
            raise KeyboardInterrupt
        if reach.slack is not None and reach.slack < DEEP_ENOUGH:
            if self.flips.refutes(signs != self.flips.signs, reach.multipliers):
                members = reach.multipliers > 1e-9 * reach.multipliers.max()
                row = np.where(members, signs, 0).astype(np.float32)
                self._conflicts = np.vstack([self._conflicts, row])
            return Reach(reach.slack, None, reach.multipliers)
        return reach

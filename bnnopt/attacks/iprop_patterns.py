"""Sign patterns of the first layer: which have a point, and which near one are better."""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.iprop_letter import Subsolver
from bnnopt.attacks.iprop_state import State
from bnnopt.attacks.reachability import Reach, Reachability
from bnnopt.flips import first_layer_flips, pair_conflicts
from bnnopt.instance import AttackInstance

__all__ = ["Patterns"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
SignArray = npt.NDArray[np.int8]

NEIGHBOURS = 10
"""Neurons whose sign patterns are enumerated together, all 2**10."""

TESTS = 4
"""Patterns of a neighbourhood that are tested for a point."""

DEEP_ENOUGH = 1e-7
"""Levels; a pattern with less slack has no point that survives the rounding to the grid."""


class Patterns:
    """Patterns of the unstable neurons, and what is learnt of those that have no point.

    Parameters
    ----------
    instance : AttackInstance
    subsolver : Subsolver
    """

    def __init__(self, instance: AttackInstance, subsolver: Subsolver) -> None:
        self._instance, self._subsolver = instance, subsolver
        self.flips = first_layer_flips(instance)
        self.neurons = self.flips.neurons
        self._pairs = pair_conflicts(self.flips).astype(np.float32)
        self._conflicts = np.zeros((0, len(self.neurons)), dtype=np.float32)

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
        return Reachability(
            self._instance, self.neurons, "highs", max_l1=self._instance.l1_levels
        )

    def nearest(self, target: SignArray, activations: SignArray) -> FloatArray:
        """A point that meets first-layer targets, all of them if the box has one that does.

        If not, targets that the linear program's dual blames are dropped until it has: those only
        that the incumbent does not meet.

        Parameters
        ----------
        target, activations : array of int8, shape (width,)
            Targets, 0 where anything will do, and the incumbent's activations.

        Returns
        -------
        array of float, shape (count, n)
            Levels; at most one point.
        """
        wanted, present = target[self.neurons].copy(), activations[self.neurons]
        while True:
            reach = self._test(wanted)
            if reach.point is not None:
                return reach.point[None]
            blame = np.where((wanted != 0) & (wanted != present), reach.multipliers, 0.0)
            if not blame.any():
                return np.zeros((0, self._instance.network.num_inputs))
            wanted[int(np.argmax(blame))] = 0

    def better_neighbours(self, state: State, rng: np.random.Generator) -> FloatArray:
        """Try every sign of a few random neurons, others as they are; at most one point."""
        count = min(NEIGHBOURS, len(self.neurons))
        moving = rng.choice(len(self.neurons), count, replace=False)
        bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        signs = np.tile(state.activations[0][self.neurons], (len(bits), 1))
        signs[:, moving] = 2 * bits - 1
        signs = signs[self._may_have_points(signs)]
        margins = self._margins(state, signs)
        order = np.argsort(-margins, kind="stable")
        tests = 0
        for signs_, margin in zip(signs[order], margins[order], strict=True):
            if margin <= state.margin or tests == TESTS:
                break
            if not self._may_have_points(signs_[None])[0]:
                continue
            tests += 1
            reach = self._test(signs_)
            if reach.point is not None:
                return reach.point[None]
        return np.zeros((0, self._instance.network.num_inputs))

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

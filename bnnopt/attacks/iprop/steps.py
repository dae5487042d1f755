"""How many neurons IProp asks for at once, which, and when it has asked for all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.draws import weighted
from bnnopt.attacks.iprop.state import State
from bnnopt.errors import InputError

__all__ = ["PATIENCE", "Sampler", "StepSize", "easy_first", "uniform"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PATIENCE = 5
"""Iterations without a better incumbent after which an adaptive step is halved."""

FIRST_SHARE = 20
"""An adaptive step starts at a 20th, 5 %, of the width."""


class StepSize:
    """The step size S and what was tried with its smallest value.

    Adaptive: 5 % of the width, at least 1; halved, never below 1, after every 5 iterations in a
    row without a better incumbent. Constant: as given.

    Parameters
    ----------
    step : "adaptive" or int
    width : int
        Of the last hidden layer.

    Raises
    ------
    InputError
        If `step` is neither.
    """

    def __init__(self, step: str | int, width: int) -> None:
        self._is_adaptive = step == "adaptive"
        if not self._is_adaptive and (not isinstance(step, int | np.integer) or step < 1):
            raise InputError(f"step must be 'adaptive' or a positive whole number, not {step!r}")
        self._first = max(width // FIRST_SHARE, 1) if isinstance(step, str) else int(step)
        self.restart()

    def restart(self) -> None:
        """Begin anew, at another incumbent."""
        self.size = self._first
        self._failures = 0
        self.tried: set[int] = set()

    def report(self, chosen: IntArray, improved: bool) -> None:
        """Take note of an iteration: its set G, and whether the incumbent is better."""
        if improved:
            self._failures = 0
            self.tried = set()
            return
        self._failures += 1
        if self.is_smallest:
            self.tried |= set(chosen.tolist())
        elif self._failures % PATIENCE == 0:
            self.size //= 2

    @property
    def is_smallest(self) -> bool:
        """Whether the step will not get smaller."""
        return self.size == 1 or not self._is_adaptive

    def candidates(self, unmet: IntArray) -> IntArray:
        """The neurons to sample from; a single one is not tried twice, as nothing would change."""
        if self.size > 1:
            return unmet
        return np.array([j for j in unmet.tolist() if j not in self.tried], dtype=np.int64)

    def at_local_optimum(self, unmet: IntArray) -> bool:
        """Whether every neuron that is not ideal has been tried since the last improvement.

        Only tries with the smallest step count: that is 1 for the adaptive step, so that each
        neuron was asked for by itself.
        """
        return self.tried.issuperset(unmet.tolist())


Sampler = Callable[[np.random.Generator, State, IntArray, int], IntArray]
"""(generator, state, candidates, size) to the set G, a part of the candidates."""


def uniform(rng: np.random.Generator, state: State, candidates: IntArray, size: int) -> IntArray:
    """Every subset of the size with the same probability (the paper's choice)."""
    return rng.choice(candidates, min(size, len(candidates)), replace=False)


def easy_first(rng: np.random.Generator, state: State, candidates: IntArray, size: int) -> IntArray:
    """Neurons near their thresholds with a higher probability, falling as 1 / (1 + distance)."""
    distance = np.abs(state.slacks[-1][candidates])
    return weighted(rng, candidates, -np.log1p(distance), size)

"""What margins an instance can have: their unit, their lattices, and which are flips.

A margin is the logit of a target less that of the source. Logits lie on the head's grid
(`OutputLayer.on_grid`), so that every statement here is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from bnnopt.network.layers import OutputLayer
from bnnopt.tolerances import (
    MARGIN_GAP,
    SMALLEST_LATTICE,
    SOLVER_GAP,
    SOLVER_GAP_SHARE,
    SOLVER_LATTICE_SHARE,
)

__all__ = ["TIES", "Margins", "Ties"]

Ties = Literal["lowest", "never", "always"]
TIES: tuple[Ties, ...] = get_args(Ties)
FloatArray = npt.NDArray[np.float64]


LEAST_MARGIN = 2.0**-60
"""In units: less than every positive margin, as the head's grid is 2^-50 of the largest logit."""


class Margins:
    """The margins of some targets over one source.

    Parameters
    ----------
    output : OutputLayer
        On its grid.
    source : int
    targets : sequence of int
    ties : {"lowest", "never", "always"}
        When a target beats the source at a margin of 0.
    """

    def __init__(
        self, output: OutputLayer, source: int, targets: Sequence[int], ties: Ties
    ) -> None:
        self._source, self._targets, self._ties = source, tuple(targets), ties
        self._terms = {c: output.gain(c, source) for c in targets}

    def terms(self, target: int) -> tuple[FloatArray, float]:
        """Gain and constant: a margin is ``gain @ h + constant``, h the last activations of ±1."""
        return self._terms[target]

    @cached_property
    def unit(self) -> float:
        """A power of two such that the largest gain is above 1 and at most 2 of it.

        Searches and models count margins in it, so that no tolerance depends on a file's units;
        1 for the integer head.
        """
        largest = max(float(np.abs(gain).max()) for gain, _ in self._terms.values())
        if largest == 0.0:
            largest = max(abs(constant) for _, constant in self._terms.values()) or 2.0
        mantissa, exponent = np.frexp(largest)
        return float(2.0 ** (exponent - (2 if mantissa == 0.5 else 1)))

    def wins_ties(self, target: int) -> bool:
        """Whether a target beats the source at a margin of 0."""
        return self._ties == "always" or (self._ties == "lowest" and target < self._source)

    def best(self, logits: FloatArray) -> Any:
        """The margin of the best target, for logits of shape (..., C)."""
        return logits[..., list(self._targets)].max(axis=-1) - logits[..., self._source]

    def is_flip(self, logits: FloatArray) -> Any:
        """Whether some target beats the source, for logits of shape (..., C)."""
        margins = logits[..., list(self._targets)] - logits[..., self._source, None]
        wins = np.array([self.wins_ties(c) for c in self._targets])
        return ((margins > 0.0) | (wins & (margins == 0.0))).any(axis=-1)

    def lattice(self, target: int) -> tuple[float, float] | None:
        """(offset, step) such that every margin of `target` is offset + step * integer.

        Where all gains are multiples of one number, margins move in steps of twice that; with
        the integer head in steps of 4. None where the step would be too fine to be of use, or
        where no activation counts.
        """
        return self._lattices[target]

    @cached_property
    def _lattices(self) -> dict[int, tuple[float, float] | None]:
        return {c: self._find_lattice(*terms) for c, terms in self._terms.items()}

    def _find_lattice(self, gain: FloatArray, constant: float) -> tuple[float, float] | None:
        sizes = np.unique(np.abs(gain[gain != 0.0]))
        if not len(sizes):
            return None
        # As whole numbers: float64 has 53 bits, and the grid of the head fits them.
        grid = 2.0 ** (np.frexp(sizes[-1])[1] - 53)
        common = float(np.gcd.reduce(np.round(sizes / grid).astype(np.int64))) * grid
        step = 2.0 * common
        if step < SMALLEST_LATTICE * self.unit or np.any(sizes % common != 0.0):
            return None
        return float(gain.sum() + constant), step

    def least_flip(self, target: int) -> float:
        """The smallest margin with which a target beats the source.

        Where it has no lattice, and ties do not count, a number between 0 and all such margins.
        """
        lattice = self.lattice(target)
        if lattice is None:
            return 0.0 if self.wins_ties(target) else LEAST_MARGIN * self.unit
        offset, step = lattice
        least = offset + step * np.ceil(-offset / step)
        if least < 0.0:  # the quotient was rounded to a whole number
            least += step
        return float(least + step if least == 0.0 and not self.wins_ties(target) else least)

    def excludes_flip(self, bound: float) -> bool:
        """Whether no target beats the source where no margin exceeds `bound`, a solver's claim."""
        return all(bound < self.least_flip(c) - self._doubt(c) for c in self._targets)

    def _doubt(self, target: int) -> float:
        """By how much a solver's bound may be too low."""
        lattice = self.lattice(target)
        return self.gap if lattice is None else SOLVER_LATTICE_SHARE * lattice[1]

    @property
    def most_without_flip(self) -> float:
        """The largest margin that any point has where no target beats the source."""
        return max(self._most_without_flip(c) for c in self._targets)

    def _most_without_flip(self, target: int) -> float:
        lattice = self.lattice(target)
        return 0.0 if lattice is None else self.least_flip(target) - lattice[1]

    def round_bound(self, bound: float) -> float:
        """The largest margin that any point can have, given that none exceeds `bound`.

        The margin of the best target lies on that target's lattice. Solvers prove a bound up
        to their tolerance only, so a value just below a lattice value counts as on it.
        """
        return max(self._round_bound(c, bound) for c in self._targets)

    def _round_bound(self, target: int, bound: float) -> float:
        lattice, (gain, constant) = self.lattice(target), self._terms[target]
        if not gain.any():  # a single margin
            return constant if bound >= constant - self.gap else -np.inf
        if lattice is None:
            return bound
        offset, step = lattice
        return float(offset + step * np.floor((bound - offset) / step + SOLVER_LATTICE_SHARE))

    @property
    def gap(self) -> float:
        """How near a bound must be to a margin to prove it."""
        return MARGIN_GAP * self.unit

    @property
    def solver_gap(self) -> float:
        """In units, the gap at which a solver may stop: where all targets share a lattice, a step.

        A bound above the objective by less than a step is the objective.
        """
        shared = {
            None if lattice is None else (lattice[0] % lattice[1], lattice[1])
            for lattice in self._lattices.values()
        }
        (first, *others) = shared
        if others or first is None:
            return SOLVER_GAP
        return SOLVER_GAP_SHARE * first[1] / self.unit

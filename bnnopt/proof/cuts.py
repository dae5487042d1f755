"""Why a set of flips has no image: whole multipliers, from those that the search finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.proof.statement import Geometry
from bnnopt.search.reach import decide_pattern
from bnnopt.search.rows import zeros

__all__ = ["Cuts", "NoCutError"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

PRECISIONS = (6, 12, 20, 40)
"""Bits of the largest multiplier; the fewest that refute a set are taken."""

SLACK, ENOUGH = 0.5, 1e9
"""Levels that are aimed at; and such as no point has, so that only multipliers end the work."""


class NoCutError(Exception):
    """A set of flips that nothing here refutes."""


class Cuts:
    """The cuts of one box.

    Parameters
    ----------
    geometry : Geometry

    Attributes
    ----------
    apart : array of bool, shape (k, k)
        Which two flips exclude each other.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry, self._region = geometry, geometry.region()
        self.apart = geometry.pairs()
        self._known: list[tuple[Array, str]] = []

    def of(self, flipped: BoolArray) -> tuple[Array, str]:
        """A cut of a set, as 1, -1 and 0 of flips, neurons that stay and others; and its line.

        Raises
        ------
        NoCutError
            If none is found.
        """
        for cut, line in self._known:
            if np.all(flipped[cut > 0]) and not np.any(flipped[cut < 0]):
                return cut, line
        multipliers = self._equal(flipped)
        if multipliers is None:
            multipliers = self._weighted(flipped)
        words = " ".join(_words(multipliers, self.geometry.neurons))
        self._known.append((np.sign(multipliers).astype(np.int8), f"cut {words}"))
        return self._known[-1]

    def beside(
        self, flipped: BoolArray, kept: IntArray, apart: BoolArray
    ) -> Iterator[tuple[Array, str]]:
        """Cuts of a set with one or two more of the flips in `kept`, which are not apart yet."""
        pairs = self.geometry.pairs_beside(flipped, kept)
        alone = pairs[:, 0] == pairs[:, 1]
        closed = pairs[alone, 0]
        fresh = ~alone & ~np.isin(pairs, closed).any(axis=1) & ~apart[pairs[:, 0], pairs[:, 1]]
        for pair in [*closed[:, None], *pairs[fresh]]:
            cut = flipped.astype(np.int8)
            cut[pair] = 1
            yield cut, f"cut {' '.join(_words(cut, self.geometry.neurons))}"

    def _equal(self, flipped: BoolArray) -> IntArray | None:
        """Ones for as few flips as refute each other so."""
        multipliers = flipped.astype(np.int64)
        if not self.geometry.refutes(multipliers):
            return None
        for j in np.flatnonzero(flipped):
            multipliers[j] = 0
            if not self.geometry.refutes(multipliers):
                multipliers[j] = 1
        return multipliers

    def _weighted(self, flipped: BoolArray) -> IntArray:
        """The multipliers of projected gradients, or else of a linear program, as whole numbers."""
        for find in (self._projected, self._program):
            found = find(flipped)
            largest = float(found.max(initial=0.0))
            if largest <= 0.0:
                continue
            signed = np.where(flipped, found, -found) / largest
            for bits in PRECISIONS:
                multipliers = np.round(signed * 2.0**bits).astype(np.int64)
                if self.geometry.refutes(multipliers):
                    return multipliers
        neurons = self.geometry.neurons[flipped].tolist()
        raise NoCutError(f"no multipliers refute flips {neurons}, whose margin is too large")

    def _projected(self, flipped: BoolArray) -> FloatArray:
        """What is violated where a point of the box comes nearest to a set."""
        found: FloatArray = zeros(len(flipped))
        if self.geometry.budget is None:
            u = zeros(len(self.geometry.width))
            decide_pattern(self._region, flipped, SLACK, ENOUGH, u, found)
        return found

    def _program(self, flipped: BoolArray) -> FloatArray:
        """The dual of a linear program: changes within the budget, in doubled levels."""
        from scipy.optimize import linprog  # slow to import, and seldom needed

        geometry = self.geometry
        unit, m = 2.0 * geometry.level, len(geometry.width)
        side = np.where(flipped, 1.0, -1.0)[:, None] * geometry.rows
        needed = np.where(flipped, geometry.demand, geometry.keep) - side @ geometry.image
        up, down = (
            (geometry.width - geometry.image) / unit,
            (geometry.width + geometry.image) / unit,
        )
        rows = np.hstack([-side, side, np.ones((len(side), 1))])
        limits = -needed / unit
        if geometry.budget is not None:
            rows = np.vstack([rows, np.r_[np.ones(2 * m), 0.0]])
            limits = np.append(limits, geometry.budget / geometry.level)
        room = [(0.0, most) for most in np.concatenate([up, down]).tolist()]
        goal = np.r_[np.zeros(2 * m), -1.0]
        solved = linprog(goal, A_ub=rows, b_ub=limits, bounds=[*room, (None, 1.0)])
        if solved.status != 0:
            return np.zeros(len(flipped))
        return np.maximum(-np.asarray(solved.ineqlin.marginals)[: len(flipped)], 0.0)

    def lines(self) -> list[str]:
        """Of the pairs that exclude each other."""
        pairs = np.argwhere(np.triu(self.apart))
        return [f"cut {a} {b}" for a, b in self.geometry.neurons[pairs].tolist()]


def _words(multipliers: Array, neurons: IntArray) -> list[str]:
    words = []
    for j in np.flatnonzero(multipliers):
        times = abs(int(multipliers[j]))
        words.append(
            f"{'-' if multipliers[j] < 0 else ''}{neurons[j]}{f'*{times}' if times > 1 else ''}"
        )
    return words

"""Why a set of flips has no image: whole multipliers, from those that the search finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.proof.statement import Geometry
from bnnopt.search.reach import decide_pattern
from bnnopt.search.rows import zeros

__all__ = ["Cuts", "NoCutError"]

Array = npt.NDArray[Any]
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
    found : list of array of int64, shape (k,)
        Multipliers of all further cuts, below 0 for neurons that stay.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry, self._region = geometry, geometry.region()
        self.apart = geometry.pairs()
        self.found: list[IntArray] = []

    def of(self, flipped: BoolArray) -> Array:
        """A cut of a set, as -1, 0 and 1 of each neuron.

        Raises
        ------
        NoCutError
            If none is found.
        """
        multipliers = self._equal(flipped)
        if multipliers is None:
            multipliers = self._projected(flipped)
        self.found.append(multipliers)
        return np.sign(multipliers).astype(np.int8)

    def _equal(self, flipped: BoolArray) -> IntArray | None:
        """Ones for as few flips as refute each other so."""
        multipliers = flipped.astype(np.int64)
        if not self._geometry.refutes(multipliers):
            return None
        for j in np.flatnonzero(flipped):
            multipliers[j] = 0
            if not self._geometry.refutes(multipliers):
                multipliers[j] = 1
        return multipliers

    def _projected(self, flipped: BoolArray) -> IntArray:
        """What projected gradients leave where a pattern has no point."""
        found = zeros(len(flipped))
        u = zeros(len(self._geometry.width))
        decide_pattern(self._region, flipped, SLACK, ENOUGH, u, found)
        signed = np.where(flipped, found, -found) / max(float(found.max(initial=0.0)), 1e-300)
        for bits in PRECISIONS:
            multipliers = np.round(signed * 2.0**bits).astype(np.int64)
            if self._geometry.refutes(multipliers):
                return multipliers
        raise NoCutError(f"nothing refutes flips {self._geometry.neurons[flipped].tolist()}")

    def lines(self, neurons: IntArray) -> list[str]:
        """Pairs first."""
        pairs = [f"cut {neurons[i]} {neurons[j]}" for i, j in np.argwhere(np.triu(self.apart))]
        return pairs + ["cut " + " ".join(_words(cut, neurons)) for cut in self.found]


def _words(multipliers: IntArray, neurons: IntArray) -> list[str]:
    words = []
    for j in np.flatnonzero(multipliers):
        times = abs(int(multipliers[j]))
        words.append(f"{'-' if multipliers[j] < 0 else ''}{neurons[j]}{f'*{times}' if times > 1 else ''}")
    return words

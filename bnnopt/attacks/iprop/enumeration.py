"""Problem (9) of one layer by enumeration of what a few of its neurons may do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array

from bnnopt.attacks.iprop.most_met import most_met
from bnnopt.flips import Flips, pair_conflicts
from bnnopt.network import HiddenLayer

__all__ = ["MOST_MOVING", "EnumeratedProblem"]

IntArray = npt.NDArray[np.int64]
SignArray = npt.NDArray[np.int8]
FloatMatrix = npt.NDArray[np.float32] | csr_array

MOST_MOVING = 14
"""Neurons whose 2**14 subsets are visited within about a millisecond."""


class EnumeratedProblem:
    """As `bnnopt.attacks.iprop.layer.LayerProblem`, with the same optima, without a solver.

    Parameters
    ----------
    layer : HiddenLayer
        The next one.
    sides : array of int64, shape (count, 2)
        (j, sign): what can be asked of the next layer.
    flips : Flips, optional
        For the first layer: no two neurons move whose flips exclude each other.
    """

    def __init__(self, layer: HiddenLayer, sides: IntArray, flips: Flips | None = None) -> None:
        self._layer, self._sides, self._flips = layer, sides, flips
        neurons, sign = sides.T
        self._weight = _signed(layer, neurons, sign)
        # Sums have the parity of the threshold, and so do all numbers here: single precision has
        # them up to 2^25.
        threshold = layer.threshold[neurons]
        self._needed = np.where(sign > 0, threshold, 2 - threshold).astype(np.float32)
        if flips is not None:
            self._pairs = pair_conflicts(flips).astype(np.int64)
            self._places = np.zeros(layer.shape[1], dtype=np.int64)
            self._places[flips.neurons] = np.arange(len(flips.neurons))

    def solve(self, target: SignArray, incumbent: SignArray, moving: IntArray) -> SignArray:
        """Solve (9) within a neighbourhood; arguments as for `LayerProblem.solve`."""
        asked = np.flatnonzero(target[self._sides[:, 0]] == self._sides[:, 1])
        present = incumbent.astype(np.float32)
        lead = (present @ self._weight - self._needed)[asked]
        weight = self._weight[moving]
        weight = weight if isinstance(weight, np.ndarray) else weight.toarray()
        move = np.float32(-2.0) * present[moving, None] * weight[:, asked]
        moved = most_met(lead, move, *self._clashes(incumbent, moving))
        found = incumbent.copy()
        found[moving[moved]] *= -1
        return found

    def _clashes(self, incumbent: SignArray, moving: IntArray) -> tuple[IntArray, IntArray]:
        """Which of the moving neurons are flipped, and which flips exclude each other."""
        count = len(moving)
        if self._flips is None:
            return np.zeros(count, dtype=np.int64), np.zeros((count, count), dtype=np.int64)
        flipped = (incumbent[self._flips.neurons] != self._flips.signs).astype(np.int64)
        at = self._places[moving]
        pairs = self._pairs[np.ix_(at, at)]
        staying = flipped.copy()
        staying[at] = 0
        np.fill_diagonal(pairs, self._pairs[at] @ staying)
        return flipped[at], pairs


def _signed(layer: HiddenLayer, neurons: IntArray, sign: IntArray) -> FloatMatrix:
    """Rows of some neurons times their signs, transposed, shape (in, count)."""
    if isinstance(layer.weight, np.ndarray):
        return layer.weight[neurons].T.astype(np.float32) * sign.astype(np.float32)
    rows = diags_array(sign.astype(np.float32)) @ layer.weight[neurons].astype(np.float32)
    return csr_array(rows.T)

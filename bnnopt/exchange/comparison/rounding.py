"""Which neurons a file may have otherwise, as it rounds its sums."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.exchange.imported import Imported
from bnnopt.exchange.traced.tensor import Block, Pixels

__all__ = ["SLACK", "Rounding", "unit_of"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SLACK = 4.0
"""Times what independent roundings come to: sums of n terms are off by about sqrt(n) of them."""

OPERATIONS = 16
"""Roundings of a sum beside those of its terms: of a scale, a norm and the pixels themselves."""

GRID = 2.4
"""Times what independent errors of weights, at most that large each, come to: four deviations."""


def unit_of(imported: Imported) -> float:
    """The largest relative error of one rounding in the file's precision."""
    return float(np.finfo(imported.precision).eps) / 2.0


class Rounding:
    """Roundings of the sums of some images.

    Parameters
    ----------
    imported : Imported
    activations : list of array of float64, shape (images, neurons) each
        Levels, then the activations of the layers so far; it grows.
    known : collection of Block
        Neurons that are compared themselves: what is behind them goes on from the file's.
    """

    def __init__(
        self, imported: Imported, activations: list[FloatArray], known: Collection[Block]
    ) -> None:
        self._activations, self._known = activations, known
        self._unit, self._places = unit_of(imported), imported.layers.places()
        low, high = (float(limit) for limit in imported.limits)
        shift = (low - imported.spread_mean()) * imported.network.levels / (high - low)
        self._shift = np.broadcast_to(shift, imported.about.shape).ravel()
        self._largest = float(imported.network.levels + np.abs(shift).max())

    def may_differ(self, block: Any, images: IntArray, rows: IntArray) -> Array:
        """Whether neurons of a block, one for each image listed, are near enough to their bounds.

        Parameters
        ----------
        block : Block
        images, rows : array of int64, shape (count,)

        Returns
        -------
        array of bool, shape (count,)
        """
        found = np.zeros(len(rows), dtype=bool)
        for row in np.unique(rows).tolist():
            mine = rows == row
            found[mine] = self._row_may_differ(block, row, images[mine])
        return found

    def _row_may_differ(self, block: Block, row: int, images: IntArray) -> Array:
        weights: Any = block.layer.rows([row])
        found = np.zeros(len(images), dtype=bool)
        inputs = np.zeros((len(images), len(weights.indices)))
        start = 0
        for part in block.base:
            inside = (weights.indices >= start) & (weights.indices < start + part.size)
            own = weights.indices[inside] - start
            inputs[:, inside] = self._of(part)[images][:, own]
            if isinstance(part, Block) and part not in self._known:
                for inner in own.tolist():
                    found |= self._row_may_differ(part, inner, images)
            start += part.size
        if block.is_pooling or not np.isfinite(block.bound[row]):
            return found
        is_first = isinstance(block.base[0], Pixels)
        shift = self._shift[weights.indices] if is_first else np.zeros(len(weights.indices))
        allowed = self._allowed(weights.data, inputs, shift, self._largest if is_first else 1.0)
        allowed += OPERATIONS * self._unit * abs(block.bound[row])
        allowed += _grid(block.slack[row], inputs)
        return np.asarray(found | (np.abs(inputs @ weights.data - block.bound[row]) <= allowed))

    def _of(self, part: Any) -> FloatArray:
        if isinstance(part, Pixels):
            return self._activations[0]
        number, neurons = self._places[part]
        return np.asarray(self._activations[number + 1][:, neurons])

    def _allowed(
        self, weights: FloatArray, inputs: FloatArray, shift: FloatArray, largest: float
    ) -> FloatArray:
        """How far sums may be off, from their partial sums: those of pixels, and of their shift."""
        partial = np.abs(np.cumsum(weights * inputs, axis=1)).max(axis=1, initial=0.0)
        partial += np.abs(np.cumsum(weights * shift)).max(initial=0.0)
        partial += largest * float(np.sqrt(weights @ weights))
        return np.asarray(SLACK * self._unit * np.sqrt(len(weights) + OPERATIONS) * partial)


def _grid(slack: float, inputs: FloatArray) -> FloatArray:
    """How far sums are off whose weights are off by at most so much each."""
    most, likely = np.abs(inputs).sum(axis=1), GRID * np.sqrt((inputs * inputs).sum(axis=1))
    return np.asarray(slack * np.minimum(most, likely))

"""In what unit the sums of a neuron are: about the size of its weights, a power of two.

Weights of ±1 have the unit 1. Sums of larger ones are divided by theirs, which no rounding
disturbs, where a slack, a clip or a solver's tolerance is meant in levels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from bnnopt.network import BinarizedNetwork, HiddenLayer

__all__ = ["layer_scales", "layer_units", "row_units"]

FloatArray = npt.NDArray[np.float64]


def row_units(rows: csr_array) -> FloatArray:
    """The power of two at or below the root mean square of each row's weights that are not zero.

    Parameters
    ----------
    rows : csr_array, shape (count, in)
        Without zeros.

    Returns
    -------
    array of float, shape (count,)
        1 for a row without weights.
    """
    squares, counts = _squares(rows), np.diff(rows.indptr)
    mean = squares / np.maximum(counts, 1)
    return np.asarray(np.where(counts > 0, 2.0 ** ((np.frexp(mean)[1] - 1) // 2), 1.0))


def layer_units(layer: HiddenLayer) -> FloatArray:
    """`row_units` of a layer, shape (out,)."""
    rows = _kernel(layer)
    if rows is None:
        return np.ones(layer.shape[0])
    return row_units(rows).repeat(layer.shape[0] // rows.shape[0])


def layer_scales(network: BinarizedNetwork) -> tuple[float, ...]:
    """What the surrogate takes as 1 in each hidden layer, in its `row_units`.

    It is about the spread of the layer's sums. The standard deviation of a sum of m random signs
    is sqrt(m), or the root of the sum of squared weights. Pixels of the shipped data sets are
    correlated and far from full, and half of that times the levels is what was measured.

    Parameters
    ----------
    network : BinarizedNetwork
        Whose layers are asked about.
    """
    spreads = [_spread(layer) for layer in network.hidden]
    return (network.levels * spreads[0] / 2.0, *spreads[1:])


def _spread(layer: HiddenLayer) -> float:
    rows = _kernel(layer)
    if rows is None:
        return float(np.sqrt(layer.shape[1]))
    return float(np.sqrt((_squares(rows) / row_units(rows) ** 2).mean())) or 1.0


def _kernel(layer: HiddenLayer) -> csr_array | None:
    """The different rows of a layer, borders of a convolution aside; None where all are ±1."""
    if layer.convolution is not None:
        kernel = layer.convolution.kernel
        return csr_array(kernel.reshape(len(kernel), -1))
    return None if isinstance(layer.weight, np.ndarray) else layer.weight


def _squares(rows: csr_array) -> FloatArray:
    """The sum of each row's squared weights."""
    squares = csr_array((rows.data.astype(np.float64) ** 2, rows.indices, rows.indptr), rows.shape)
    return np.asarray(squares.sum(axis=1))

"""Real weights as whole numbers with a scale for each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.network.checks import MAX_SINGLE, MAX_WEIGHT

__all__ = ["LARGEST_LEVEL_SUM", "RealWeightsError", "WholeRows", "whole_rows"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LARGEST_LEVEL_SUM = 2**33 - 1
"""Of a row's absolute weights times levels: float64 has such sums exactly on the grid."""

RATIO = 3e-7
"""Relative: two weights of float32 are in a whole ratio if they are within this."""

TINY = 1e-300

DENOMINATORS = 64
"""Whole numbers by which the smallest weight of a row may be divided."""


class RealWeightsError(NetworkFormatError):
    """Rows of signs have real weights: only a head may."""


@dataclass(frozen=True)
class WholeRows:
    """``weight`` is nearly ``scale * whole``, row by row.

    Parameters
    ----------
    whole : array of int64, shape (count,)
        In the order of the weights given.
    scale : array of float64, shape (rows,)
        Above 0.
    is_rounded : array of bool, shape (rows,)
        Rows that are no whole multiples and were put on a grid.
    error : float
        The largest error of a weight, as a share of its row's largest.
    off : array of float64, shape (rows,)
        The most that a row's weights were changed by, in units of its `scale`.
    """

    whole: IntArray
    scale: FloatArray
    is_rounded: Array
    error: float
    off: FloatArray


def whole_rows(weight: FloatArray, row: IntArray, rows: int, levels: int | None) -> WholeRows:
    """Find the whole numbers that rows of weights are multiples of.

    Parameters
    ----------
    weight : array of float64, shape (count,)
    row : array of int64, shape (count,)
        Each one's row, 0 to `rows` - 1, in order.
    rows : int
    levels : int or None
        Of the pixels that the rows see; None if they see signs.

    Raises
    ------
    NetworkFormatError
        If a weight is not finite.
    RealWeightsError
        If rows of signs are no whole multiples.
    """
    if not np.isfinite(weight).all():
        raise NetworkFormatError("its weights are not all finite")
    size = np.abs(weight)
    smallest = _extreme(np.minimum, np.where(size > 0, size, np.inf), row, rows, np.inf)
    smallest[np.isinf(smallest)] = 1.0
    divisor = np.zeros(rows)
    for candidate in range(1, DENOMINATORS + 1):
        left = divisor == 0
        if not left.any():
            break
        mine = left[row]
        ratio = size[mine] * candidate / smallest[row[mine]]
        off = np.abs(ratio - np.rint(ratio)) > RATIO * ratio
        fits = left.copy()
        fits[row[mine][off]] = False
        divisor[fits] = candidate
    is_real = divisor == 0
    scale = smallest / np.where(is_real, 1.0, divisor)
    largest = _extreme(np.maximum, size, row, rows, TINY)
    total = np.bincount(row, weights=size, minlength=rows).astype(np.float64)
    if levels is not None:  # whole multiples of too little a number are put on a grid, too
        is_real |= np.maximum(largest / MAX_WEIGHT, total * levels / LARGEST_LEVEL_SUM) > scale
    if is_real.any():
        scale[is_real] = _steps(largest, total, is_real, levels)
    whole = np.rint(weight / scale[row])
    _check_sizes(whole, row, rows, levels)
    change = np.abs(weight - whole * scale[row])
    share = change / largest[row]
    off = _extreme(np.maximum, change / scale[row], row, rows, 0.0)
    return WholeRows(whole.astype(np.int64), scale, is_real, float(share.max(initial=0.0)), off)


def _extreme(
    ufunc: np.ufunc, values: FloatArray, row: IntArray, rows: int, empty: float
) -> FloatArray:
    found = np.full(rows, empty)
    ufunc.at(found, row, values)
    return found


def _steps(
    largest: FloatArray, total: FloatArray, is_real: Array, levels: int | None
) -> FloatArray:
    """The grid's steps of rows of real weights: powers of 2 that keep every sum exact."""
    if levels is None:
        raise RealWeightsError(
            f"{int(is_real.sum())} of its rows have real weights that are no whole multiples of "
            "one number, behind signs: only weights such as -1, 0 and +1, times a scale a row, fit"
        )
    step = np.maximum(largest / MAX_WEIGHT, total * levels / LARGEST_LEVEL_SUM)[is_real]
    return np.asarray(2.0 ** np.ceil(np.log2(step * (1 + 1e-3))))


def _check_sizes(whole: FloatArray, row: IntArray, rows: int, levels: int | None) -> None:
    sums = np.bincount(row, weights=np.abs(whole), minlength=rows).max(initial=0)
    most = MAX_SINGLE - 1 if levels is None else LARGEST_LEVEL_SUM // levels
    largest = np.abs(whole).max(initial=0)
    if largest > MAX_WEIGHT or sums > most:
        kind = RealWeightsError if levels is None else NetworkFormatError
        raise kind(
            f"its weights are whole multiples of one number, up to {int(largest)} of it, "
            f"{int(sums)} in a row: at most {MAX_WEIGHT} and {most} fit"
        )

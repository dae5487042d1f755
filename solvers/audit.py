"""Checking what a solver returned: a point, its objective, its bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

__all__ = ["BOUND_TOLERANCE", "FEASIBILITY_TOLERANCE", "contradiction", "violation"]

FloatArray = npt.NDArray[np.float64]

FEASIBILITY_TOLERANCE = 1e-5
"""Largest violation that still passes; solvers aim at 1e-6 before they undo their scaling."""

BOUND_TOLERANCE = 1e-5
"""A bound that is beyond the objective by more than this, relatively, is a false one."""


def violation(
    x: FloatArray,
    integer: npt.NDArray[np.bool_],
    columns: tuple[FloatArray, FloatArray],
    matrix: Any,
    rows: tuple[FloatArray, FloatArray],
) -> float:
    """The largest violation of a point.

    Parameters
    ----------
    x : array of float, shape (n,)
    integer : array of bool, shape (n,)
    columns, rows : pair of arrays
        Lower and upper bounds.
    matrix : csr_array, shape (m, n)

    Returns
    -------
    float
        The largest distance from an integer, and distance outside a bound or row divided by
        the larger of 1 and the size of the largest term of that row; inf if x is not finite.
    """
    if not np.all(np.isfinite(x)):
        return float("inf")
    whole = np.abs(x - np.round(x))[integer]
    scale = np.maximum(1.0, np.abs(x))
    outside = np.maximum(columns[0] - x, x - columns[1]) / scale
    activity = matrix @ x
    row_scale = np.maximum(1.0, _row_maxima(matrix, x))
    off = np.maximum(rows[0] - activity, activity - rows[1]) / row_scale
    return max([0.0, *(float(part.max()) for part in (whole, outside, off) if part.size)])


def _row_maxima(matrix: csr_array, x: FloatArray) -> FloatArray:
    terms = np.abs(matrix.data * x[matrix.indices])
    maxima = np.zeros(matrix.shape[0])
    filled = np.flatnonzero(np.diff(matrix.indptr))
    if filled.size:
        maxima[filled] = np.maximum.reduceat(terms, matrix.indptr[filled])
    return maxima


def contradiction(
    integer: npt.NDArray[np.bool_],
    columns: tuple[FloatArray, FloatArray],
    matrix: Any,
    rows: tuple[FloatArray, FloatArray],
) -> str:
    """Why the bounds alone admit no point (an empty range, an empty row); else ``""``."""
    lower = np.where(integer, np.ceil(columns[0] - FEASIBILITY_TOLERANCE), columns[0])
    upper = np.where(integer, np.floor(columns[1] + FEASIBILITY_TOLERANCE), columns[1])
    crossed = np.flatnonzero(lower > upper)
    if crossed.size:
        return f"column {crossed[0]} has its lower bound above its upper bound"
    empty = np.diff(matrix.indptr) == 0
    crossed = np.flatnonzero((rows[0] > rows[1]) | (empty & ((rows[0] > 0) | (rows[1] < 0))))
    if crossed.size:
        return f"row {crossed[0]} cannot hold for any point"
    return ""

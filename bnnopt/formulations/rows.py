"""Rows of sparse matrices: as terms of a model, how far they reach, in which units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pyomo.core.expr import LinearExpression
from scipy.sparse import csr_array

from bnnopt.row_units import row_units

__all__ = ["Variables", "divided", "reach", "row_factors", "vector", "weighted_sum"]

FloatArray = npt.NDArray[np.float64]
Variables = npt.NDArray[np.object_]
"""Pyomo's, shape (count,)."""


def vector(variables: Iterable[Any]) -> Variables:
    """Variables in an array."""
    listed = list(variables)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def weighted_sum(
    rows: csr_array,
    row: int,
    variables: Variables,
    others: Sequence[tuple[Any, float]] = (),
    constant: float = 0.0,
) -> Any:
    """A row times its variables, and other terms; none has the coefficient 0.

    Parameters
    ----------
    rows : csr_array, shape (count, len(variables))
        Without zeros.
    row : int
    variables : Variables
    others : sequence of (pyomo variable, float)
    constant : float
    """
    part = slice(rows.indptr[row], rows.indptr[row + 1])
    chosen, factors = variables[rows.indices[part]].tolist(), rows.data[part].tolist()
    for variable, factor in others:
        if factor != 0.0:
            chosen.append(variable)
            factors.append(float(factor))
    return LinearExpression(constant=constant, linear_vars=chosen, linear_coefs=factors)


def reach(rows: csr_array) -> tuple[FloatArray, FloatArray]:
    """The least and greatest sum of each row over variables from 0 to 1."""
    total, size = rows.sum(axis=1), abs(rows).sum(axis=1)
    return np.asarray((total - size) / 2.0), np.asarray((total + size) / 2.0)


def row_factors(rows: csr_array, *, is_whole: bool) -> FloatArray:
    """What to divide rows of whole numbers by, shape (count,); 1 for weights of ±1.

    Parameters
    ----------
    rows : csr_array
        Without zeros.
    is_whole : bool
        Whether the variables are whole: then what a row's weights have in common, so that its
        sums are one apart; else `row_units`.
    """
    if not is_whole:
        return row_units(rows)
    factors = np.ones(rows.shape[0])
    filled = np.diff(rows.indptr) > 0
    if filled.any():
        whole = np.abs(rows.data).astype(np.int64)
        factors[filled] = np.gcd.reduceat(whole, rows.indptr[:-1][filled])
    return factors


def divided(rows: csr_array, factors: FloatArray) -> csr_array:
    """Each row over its factor."""
    if np.all(factors == 1.0):
        return rows
    data = rows.data / np.repeat(factors, np.diff(rows.indptr))
    return csr_array((data, rows.indices, rows.indptr), shape=rows.shape)

"""What is reachable, as the kernel has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, issparse

from bnnopt.flips import Flips, first_layer_flips, flip_origin
from bnnopt.instance import AttackInstance
from bnnopt.search.problem import BINARY, LARGE, TERNARY, Region
from bnnopt.tolerances import SUM_ROUNDING

__all__ = ["free_region", "region_of", "sorted_flips"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MOST_EXACT = 256
"""Flips up to which the largest eigenvalue is found by LAPACK."""


def sorted_flips(instance: AttackInstance, most: int | None = None) -> Flips:
    """The unstable neurons of an instance, hardest to flip first: the easiest so many of them."""
    flips = first_layer_flips(instance)
    low, high = instance.box
    at_origin = flips.demand + flips.weight @ (flip_origin(instance) - (low + high) / 2.0)
    first = 0 if most is None else max(len(at_origin) - most, 0)
    order = np.argsort(-at_origin, kind="stable")[first:]
    return Flips(
        flips.neurons[order],
        flips.signs[order],
        flips.weight[order],
        flips.demand[order],
        flips.stay_demand[order],
        flips.radius,
    )


def region_of(flips: Flips, always: int = 0, rate: float = 0.0) -> Region:
    """Collect what reachability needs; the last two as for `Region`."""
    moving, is_sparse = flips.radius > 0, issparse(flips.weight)
    columns: Any = flips.weight[:, moving]
    weight = columns.toarray() if is_sparse else np.ascontiguousarray(columns)
    radius = flips.radius[moving]
    largest = float(np.abs(weight).max(initial=0.0))
    k = len(weight)
    nonzeros = csr_array(columns) if is_sparse else csr_array(weight.shape)
    return Region(
        weight=weight,
        first=nonzeros.indptr.astype(np.int64),
        column=nonzeros.indices.astype(np.int64),
        radius=radius,
        demand=flips.demand,
        stay_demand=flips.stay_demand,
        curvature=_largest_eigenvalue(weight * radius),
        always=always,
        rate=rate,
        rounding=2.0 * SUM_ROUNDING * float(radius.sum()) * max(largest, 1.0),
        entries=LARGE if largest > 1.0 else TERNARY if is_sparse else BINARY,
        excludes=np.zeros((k, k), dtype=np.bool_),
        cost=np.zeros((k, 0)),
        most=np.zeros(0),
    )


def _largest_eigenvalue(rows: FloatArray) -> float:
    """At least that of ``rows @ rows.T``; projected gradients take steps of one over it."""
    if rows.size == 0:
        return 1.0
    gram = rows @ rows.T
    if len(gram) <= MOST_EXACT:
        return 1.001 * float(np.linalg.eigvalsh(gram)[-1])
    from scipy.sparse.linalg import eigsh  # slow to import, and few need it

    values = eigsh(gram, k=1, tol=1e-3, v0=np.ones(len(gram)), return_eigenvectors=False)
    return 1.01 * float(values[0])


def free_region(excludes: BoolArray, cost: FloatArray, most: FloatArray) -> Region:
    """A region without geometry: flips exclude each other, or cost too much together.

    Parameters
    ----------
    excludes : array of bool, shape (k, k)
    cost : array of float, shape (k, budgets)
    most : array of float, shape (budgets,)
    """
    k = len(excludes)
    return Region(
        weight=np.zeros((k, 0)),
        first=np.zeros(k + 1, dtype=np.int64),
        column=np.zeros(0, dtype=np.int64),
        radius=np.zeros(0),
        demand=np.full(k, -1.0),  # any point meets it, by a level
        stay_demand=np.ones(k),
        curvature=1.0,
        always=0,
        rate=0.0,
        rounding=0.0,
        entries=BINARY,
        excludes=excludes,
        cost=cost,
        most=most,
    )

"""What every number of a network is asked, and the bounds on sizes: it may come from anywhere."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import InputError, NetworkFormatError
from bnnopt.images import as_array

__all__ = [
    "MAX_NONZEROS",
    "MAX_SINGLE",
    "MAX_WEIGHT",
    "MAX_WIDTH",
    "check_nonzeros",
    "check_width",
    "frozen",
    "is_sparse",
    "numbers",
    "whole",
]

Array = npt.NDArray[Any]

MAX_WIDTH = 2**20
"""Most inputs or neurons of a layer."""

MAX_NONZEROS = 2**26
"""Most weights of a layer that are not zero."""

MAX_WEIGHT = 2**15 - 1
"""Largest size of a weight."""

MAX_SINGLE = 2**24
"""Whole sums below this are exact in single precision, in any order."""


def frozen(array: Array) -> Array:
    """A read-only copy."""
    array = np.array(array, order="C")
    array.setflags(write=False)
    return array


def numbers(values: Any, what: str) -> Array:
    """An array of whole or real numbers, from numpy, torch or lists.

    Raises
    ------
    NetworkFormatError
        Its message calls them `what`.
    """
    try:
        array = as_array(values, what)
    except InputError as error:
        raise NetworkFormatError(str(error)) from None
    if array.dtype.kind not in "iuf":
        raise NetworkFormatError(f"{what} must hold numbers, not {array.dtype}")
    return array


def whole(values: Array, largest: int, what: str, remedy: str) -> Array:
    """Numbers in the smallest type of signed integers that holds them.

    Raises
    ------
    NetworkFormatError
        If one is not whole, or above `largest` in size.
    """
    if values.dtype.kind == "f":
        broken = values != np.rint(values)
        if np.any(broken):
            raise NetworkFormatError(
                f"{what} must be whole numbers, not {values[broken].flat[0]}: {remedy}"
            )
    low, high = values.min(initial=0), values.max(initial=0)
    size = max(-float(low), float(high))
    if size > largest:
        raise NetworkFormatError(f"{what} must be at most {largest} in size, not {size:.17g}")
    kinds = (np.int8, np.int16, np.int32, np.int64)
    return values.astype(next(kind for kind in kinds if size <= np.iinfo(kind).max))


def check_width(shape: tuple[int, ...], where: str) -> None:
    """Raise `NetworkFormatError` unless this is the shape of a matrix of bounded size."""
    if len(shape) != 2 or 0 in shape or max(shape) > MAX_WIDTH:
        raise NetworkFormatError(
            f"{where}: weight has shape {tuple(shape)}; it must be a matrix (out, in) "
            f"with 1 to {MAX_WIDTH} rows and columns"
        )


def check_nonzeros(count: int, where: str) -> None:
    """Raise `NetworkFormatError` if a layer cannot have so many weights."""
    if count > MAX_NONZEROS:
        raise NetworkFormatError(f"{where}: it has {count} weights; at most {MAX_NONZEROS} fit")


def is_sparse(weight: Any) -> bool:
    """Whether it is a sparse matrix of scipy's; that package is slow to import, and often idle."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(weight))

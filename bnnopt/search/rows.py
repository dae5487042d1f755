"""Rows of numbers, changed in loops that become vector instructions.

Compiled. Assignments to slices and terms of whole arrays do the same, and take far longer to
compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.compiled import compiled

__all__ = ["add_row", "copy_row", "exceeds", "move_row", "product", "zeros"]

Array = Any
Scalar = Any


@compiled
def zeros(size: int) -> Array:
    """A row of zeros."""
    row = np.empty(size)
    row[:] = 0.0
    return row


@compiled
def add_row(total: Array, row: Array, sign: Scalar) -> None:
    """Add a row, times `sign`."""
    for j in range(len(total)):
        total[j] += sign * row[j]


@compiled
def copy_row(row: Array, to: Array) -> None:
    """Copy a row to the beginning of another one."""
    for j in range(len(row)):
        to[j] = row[j]


@compiled
def move_row(row: Array, to: Array, share: float) -> None:
    """Move a row a share of the way to another one."""
    for j in range(len(row)):
        row[j] += share * (to[j] - row[j])


@compiled
def product(row: Array, other: Array) -> float:
    """Of two rows of the same length."""
    total = 0.0
    for j in range(len(row)):
        total += row[j] * other[j]
    return total


@compiled
def exceeds(spent: Array, most: Array) -> bool:
    """Whether an entry is larger than it may be."""
    is_more = False
    for b in range(len(most)):
        is_more |= spent[b] > most[b]
    return is_more

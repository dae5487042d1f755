"""Problem (9) of the paper by enumeration: all the ways in which a few neurons may move.

Compiled. Subsets are visited in Gray code order, one neuron after the other, so that each costs
one addition a target.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.gray_code import turning
from bnnopt.search.rows import add_row
from bnnopt.search.warm_up import compile_by_running

__all__ = ["most_met", "warm_up_most_met"]

Array = Any


@compiled
def _met(lead: Array) -> int:
    met = 0
    for j in range(len(lead)):
        met += lead[j] >= 0.0
    return met


@compiled
def most_met(lead: Array, move: Array, flipped: Array, pairs: Array) -> Array:
    """Which neurons move, so that most targets are met; of those subsets, a smallest one.

    Parameters
    ----------
    lead : array of float32, shape (targets,)
        By how much the incumbent meets each target; it is met where this is at least 0.
    move : array of float32, shape (m, targets)
        What each of m neurons adds to it by moving.
    flipped : array of int64, shape (m,)
        1 where the incumbent has a neuron flipped, 0 where not.
    pairs : array of int64, shape (m, m)
        1 where two neurons cannot be flipped both; on the diagonal, the number of those others
        that stay flipped and exclude one.

    Returns
    -------
    array of bool, shape (m,)
    """
    m = len(move)
    lead, flipped = lead.copy(), flipped.copy()
    moved = np.zeros(m, dtype=np.bool_)
    best = moved.copy()
    most = _met(lead)
    smallest = size = conflicts = 0
    for turn in range(1, 1 << m):
        i = turning(turn)
        sign = -1 if moved[i] else 1
        moved[i] = not moved[i]
        size += sign
        clashes = pairs[i, i]
        for other in range(m):
            if other != i:
                clashes += pairs[i, other] * flipped[other]
        conflicts += clashes if flipped[i] == 0 else -clashes
        flipped[i] = 1 - flipped[i]
        add_row(lead, move[i], np.float32(sign))
        if conflicts > 0:
            continue
        met = _met(lead)
        if met > most or (met == most and size < smallest):
            most, smallest = met, size
            best[:] = moved
    return best


@cache
def warm_up_most_met() -> None:
    """Compile `most_met`, or load it from numba's cache, by running it on one neuron."""
    compile_by_running(_run_on_one_neuron)


def _run_on_one_neuron() -> None:
    one, zero = np.ones((1, 1), dtype=np.float32), np.zeros((1, 1), dtype=np.int64)
    most_met(one[0], one, zero[0], zero)

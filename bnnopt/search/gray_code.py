"""Subsets in Gray code order, in which each differs from the one before in one place."""

from __future__ import annotations

from typing import Any

from bnnopt.search.compiled import compiled

__all__ = ["add_row", "is_in_subset", "turning"]

Array = Any
Scalar = Any


@compiled
def add_row(total: Array, row: Array, sign: Scalar) -> None:
    """Add a row; a function of its own, so that it becomes vector instructions."""
    for j in range(len(total)):
        total[j] += sign * row[j]


@compiled
def turning(step: int) -> int:
    """The place that turns from subset ``step - 1`` to subset `step`."""
    place = 0
    while (step >> place) & 1 == 0:
        place += 1
    return place


@compiled
def is_in_subset(step: int, place: int) -> bool:
    """Whether the subset of a step has a place."""
    return ((step ^ (step >> 1)) >> place) & 1 == 1

"""Subsets in Gray code order, in which each differs from the one before in one place."""

from __future__ import annotations

from bnnopt.search.compiled import compiled

__all__ = ["is_in_subset", "turning"]


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

"""Better flip sets near one: all the ways in which a few neurons may turn, and which has a point.

Compiled. Subsets of the neurons are visited in Gray code order, one neuron after the other. The
better sets that pass the tests of pairs and of sums (`bnnopt.search.tree`) are settled, the most
promising first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.compiled import as_int, compiled
from bnnopt.search.gray_code import is_in_subset
from bnnopt.search.position import (
    Position,
    TargetTerms,
    exclude,
    move_to,
    passes_sum_test,
    turn,
    walk,
)
from bnnopt.search.problem import Region
from bnnopt.search.reach import OPEN, REACHED, REFUTED, decide_pattern
from bnnopt.search.rows import zeros

__all__ = ["better_set"]

Array = Any

SLACK, ENOUGH = 0.5, 0.05
"""Levels that a point's slacks aim at, and levels that suffice."""

LAST_SLACK, LAST_ENOUGH = 0.02, 2e-3
"""Likewise for a set that those leave open, where no other is better; the grid needs 1e-3."""

EASY = 50.0
"""Levels that a set's sums move for nothing, as far as the order of tests is concerned."""


@compiled
def _may_have_point(region: Region, position: Position, moving: Array, pairs: Array) -> bool:
    """Whether neither memory nor the tests of pairs and of sums exclude the present set."""
    if position.without[position.key[0] % len(position.without)] == position.key[0]:
        return False
    flipped, clashes = position.flipped, False
    for i in moving:
        if flipped[i]:
            for j in range(len(flipped)):
                clashes |= pairs[i, j] & flipped[j]
    if clashes:
        return False
    return passes_sum_test(region, flipped)


@compiled
def _promise(
    region: Region,
    terms: TargetTerms,
    position: Position,
    moving: Array,
    pairs: Array,
    distance: Array,
) -> Array:
    """What each subset of `moving`, by its step, gains a level that sums must move; 0: nothing."""
    promise, step = zeros(1 << len(moving)), as_int(0)
    margin = position.margin
    floor, better = margin[_place_of_largest(margin)], np.empty(len(margin))
    better[:] = np.nextafter(floor, np.inf)
    while True:
        step = walk(terms, position, moving, (step + 1, len(promise)), better)
        if step == len(promise):
            break
        if _may_have_point(region, position, moving, pairs):
            effort = EASY
            for at in range(len(moving)):
                if is_in_subset(step, at):
                    effort += distance[moving[at]]
            promise[step] = (margin[_place_of_largest(margin)] - floor) / effort
    turn(terms, position, moving[len(moving) - 1])  # the last subset is it alone
    return promise


@compiled
def _place_of_largest(row: Array) -> int:
    place = 0
    for j in range(1, len(row)):
        if row[j] > row[place]:
            place = j
    return place


@compiled
def _go(terms: TargetTerms, position: Position, moving: Array, step: int) -> None:
    """Turn the subset of `moving` that comes at `step`; again, to go back."""
    for at in range(len(moving)):
        if is_in_subset(step, at):
            turn(terms, position, moving[at])


@compiled
def _decide(region: Region, position: Position, slack: float, enough: float, u: Array) -> int:
    """Settle the present set, and remember it if it has no point."""
    multipliers = zeros(len(position.flipped))
    status = decide_pattern(region, position.flipped, slack, enough, u, multipliers)
    if status == REFUTED:
        exclude(position)
    return status


@compiled
def better_set(
    region: Region,
    terms: TargetTerms,
    position: Position,
    present: Array,
    moving: Array,
    pairs: Array,
    distance: Array,
    tests: int,
    settles: bool,
    u: Array,
) -> int:
    """Look for a better flip set that differs from a present one in `moving` only.

    Parameters
    ----------
    region : Region
    terms : TargetTerms
    position : Position
        Moves to the set; to the present one if there is none.
    present : array of bool, shape (k,)
    moving : array of int64, shape (count,)
        Neurons, by their place in the flips.
    pairs : array of bool, shape (k, k)
        Which two neurons cannot flip together.
    distance : array of float64, shape (k,)
        Levels between each sum at the present point and its threshold.
    tests : int
        Sets that are settled, at most.
    settles : bool
        Whether to; else the first set is OPEN.
    u : array of float64, shape (m,)
        Becomes the point, in units of the radius.

    Returns
    -------
    REACHED, OPEN (a set that has neither a point nor a certificate) or REFUTED (nothing)
    """
    move_to(terms, position, present)
    if len(moving) == 0:
        return REFUTED
    promise = _promise(region, terms, position, moving, pairs, distance)
    unclear = as_int(0)
    for _ in range(tests):
        step = _place_of_largest(promise)
        if promise[step] == 0.0:
            break
        promise[step] = 0.0
        _go(terms, position, moving, step)
        if not settles:
            return OPEN
        status = _decide(region, position, SLACK, ENOUGH, u)
        if status == REACHED:
            return REACHED
        if status == OPEN and unclear == 0:
            unclear = step
        _go(terms, position, moving, step)
    if unclear == 0:
        return REFUTED
    _go(terms, position, moving, unclear)
    status = _decide(region, position, LAST_SLACK, LAST_ENOUGH, u)
    if status == REFUTED:
        _go(terms, position, moving, unclear)
    return status

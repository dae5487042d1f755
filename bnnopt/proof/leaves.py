"""The search that a leaf of a proof leaves to the checker, as the writer counts it.

Compiled. It sees the same sets as ``check.Node.search``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.proof.functions import LARGE, join, matrix_of
from bnnopt.proof.statement import Problem
from bnnopt.search.compiled import compiled

__all__ = ["DONE", "FOUND", "LEFT", "margin_at", "search"]

Array = Any

DONE, FOUND, LEFT = 0, 1, 2


@compiled
def margin_at(problem: Problem, surplus: Array) -> int:
    """The margin, in steps, where the second layer has this surplus."""
    on = surplus >= 0
    for layer in range(1, len(problem.block)):
        weight, first = matrix_of(problem, layer), problem.start[layer]
        after = np.empty(weight.shape[0], dtype=np.bool_)
        for j in range(len(after)):
            total = problem.base[first + j]
            for i in range(len(on)):
                if on[i]:
                    total += weight[j, i]
            after[j] = total >= 0
        on = after
    margin: int = problem.constant
    for j in range(len(on)):
        if on[j]:
            margin += problem.gain[j]
    return margin


@compiled
def _is_cut(cuts: Array, flipped: Array) -> bool:
    """Whether some row of -1, 0 and 1 asks for flips that are made and neurons that stay."""
    for c in range(len(cuts)):
        holds = True
        for j in range(cuts.shape[1]):
            if (cuts[c, j] > 0 and not flipped[j]) or (cuts[c, j] < 0 and flipped[j]):
                holds = False
                break
        if holds:
            return True
    return False


@compiled
def search(
    problem: Problem,
    surplus: Array,
    flipped: Array,
    kept: Array,
    wanted: int,
    goal: int,
    value: int,
    order: Array,
    alone: Array,
    pairs: Array,
    gains: Array,
    cuts: Array,
    limit: int,
) -> tuple[int, int, int]:
    """Look for a wanted set that is not cut: by the last member in the order, the first one first.

    Parameters
    ----------
    flipped : array of bool, shape (k,)
        The node's own flips; where FOUND, the set.
    kept : array of int64, shape (n,)
    wanted, goal : int
        The margin, in steps, and what the function must reach.
    value, order, alone, pairs, gains
        The function, by `stated` and `ordered`.
    cuts : array of int8, shape (count, k)
    limit : int
        Sets after which it gives up.

    Returns
    -------
    (verdict, place, sets)
        DONE, FOUND or LEFT; where LEFT, sets whose last member is before the place are done.
    """
    n, seen = len(kept), 0
    if margin_at(problem, surplus) >= wanted and not _is_cut(cuts, flipped):
        return FOUND, 0, seen
    adds = np.empty((n + 1, n + 1), dtype=np.int64)
    at_set = np.empty((n + 1, len(surplus)), dtype=np.int64)
    at_set[0], adds[0, :n], below = surplus, alone, 0
    for last in range(n):
        most = alone[last] + gains[last]
        if value + most + below >= goal:
            verdict, seen = _search_below(
                problem,
                flipped,
                kept,
                wanted,
                goal,
                value + alone[last],
                order,
                last,
                pairs,
                gains,
                cuts,
                limit,
                seen,
                adds,
                at_set,
            )
            if verdict != DONE:
                return verdict, last, seen
        below += max(most, 0)
    return DONE, n, seen


@compiled
def _join_surplus(at_set: Array, depth: int, change: Array, flip: int, gain: Array) -> int:
    """Add a flip to the surplus of a depth, into the next row; the gains of those that are on."""
    total = 0
    for j in range(at_set.shape[1]):
        at_set[depth + 1, j] = at_set[depth, j] + change[flip, j]
    for j in range(len(gain)):
        total += gain[j] if at_set[depth + 1, j] >= 0 else 0
    return total


@compiled
def _search_below(
    problem: Problem,
    flipped: Array,
    kept: Array,
    wanted: int,
    goal: int,
    value: int,
    order: Array,
    last: int,
    pairs: Array,
    gains: Array,
    cuts: Array,
    limit: int,
    seen: int,
    adds: Array,
    at_set: Array,
) -> tuple[int, int]:
    """The sets with a last member; the function is `value` where it is the only one."""
    # Fields of named tuples are counted references, and so are rows of tables: none in the loop.
    is_shallow, rows = len(problem.block) == 1, len(adds)
    change, constant = problem.change, problem.constant
    gain = problem.gain if is_shallow else problem.gain[:0]
    reach, values = np.zeros(rows, dtype=np.int64), np.empty(rows, dtype=np.int64)
    places, path = np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.int64)
    at, new, depth = last, value, 0
    while True:
        seen += 1
        flip = kept[order[at]]
        path[depth] = at
        flipped[flip] = True
        margin = constant + _join_surplus(at_set, depth, change, flip, gain)
        is_wanted = new >= goal and (
            margin >= wanted if is_shallow else margin_at(problem, at_set[depth + 1]) >= wanted
        )
        if is_wanted and not _is_cut(cuts, flipped):
            return FOUND, seen
        reach[depth + 1] = join(adds, depth, pairs, gains, at)
        depth += 1
        values[depth], places[depth] = new, at - 1
        at = -1
        while at < 0 and depth > 0:  # the next set
            at = places[depth]
            if seen >= limit or at < 0 or values[depth] + reach[depth] < goal:
                depth -= 1
                flipped[kept[order[path[depth]]]] = False
                at = -1
                continue
            places[depth] -= 1
            if adds[depth, at] == -LARGE:
                at = -1
                continue
            most = adds[depth, at] + gains[at]
            reach[depth] -= max(most, 0)
            if values[depth] + most + reach[depth] < goal:
                at = -1
                continue
            new = values[depth] + adds[depth, at]
        if depth == 0:
            return LEFT if seen >= limit else DONE, seen

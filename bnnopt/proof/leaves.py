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
    total = problem.constant
    for j in range(len(on)):
        if on[j]:
            total += problem.gain[j]
    return total


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
    problem: Problem, surplus: Array, flipped: Array, kept: Array, wanted: int, goal: int,
    value: int, order: Array, alone: Array, pairs: Array, gains: Array, cuts: Array, limit: int,
) -> tuple[int, int]:
    """Whether every wanted set of a node is cut: DONE, FOUND (`flipped` is one), or LEFT.

    Parameters
    ----------
    flipped : array of bool, shape (k,)
        The node's own flips.
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
    (verdict, sets)
    """
    n, r, seen = len(kept), len(surplus), 0
    if margin_at(problem, surplus) >= wanted and not _is_cut(cuts, flipped):
        return FOUND, seen
    adds, reach = np.empty((n + 1, n + 1), dtype=np.int64), np.zeros(n + 1, dtype=np.int64)
    values, places = np.empty(n + 1, dtype=np.int64), np.empty(n + 1, dtype=np.int64)
    path, at_set = np.empty(n + 1, dtype=np.int64), np.empty((n + 1, r), dtype=np.int64)
    at_set[0], adds[0, :n], depth = surplus, alone, 0
    values[0], places[0] = value, n - 1
    for b in range(n):
        reach[0] += max(adds[0, b] + gains[b], 0)
    while depth >= 0:
        at = places[depth]
        if at < 0 or values[depth] + reach[depth] < goal:
            depth -= 1
            if depth >= 0:
                flipped[kept[order[path[depth]]]] = False
            continue
        places[depth] -= 1
        if adds[depth, at] == -LARGE:
            continue
        most = adds[depth, at] + gains[at]
        reach[depth] -= max(most, 0)
        if values[depth] + most + reach[depth] < goal:
            continue
        seen += 1
        if seen > limit:
            for b in range(depth):
                flipped[kept[order[path[b]]]] = False
            return LEFT, seen
        new, change = values[depth] + adds[depth, at], problem.change[kept[order[at]]]
        for j in range(r):
            at_set[depth + 1, j] = at_set[depth, j] + change[j]
        path[depth] = at
        flipped[kept[order[at]]] = True
        if new >= goal and margin_at(problem, at_set[depth + 1]) >= wanted:
            if not _is_cut(cuts, flipped):
                return FOUND, seen
        join(at, adds[depth], pairs[at], adds[depth + 1])
        depth += 1
        values[depth], places[depth], reach[depth] = new, at - 1, 0
        for b in range(at):
            if adds[depth, b] != -LARGE:
                reach[depth] += max(adds[depth, b] + gains[b], 0)
    return DONE, seen

r"""Which two candidates of a node cannot both join its set.

Compiled. Conflicts are inherited from the parent; new ones cost far more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.problem import LARGE, TERNARY, Region, budget_multiplier, certain_by
from bnnopt.search.rows import add_row, copy_row
from bnnopt.search.tree_state import Tree

__all__ = ["add_falls", "find_conflicts", "inherit_conflicts"]

Array = Any


@compiled
def add_falls(region: Region, tree: Tree) -> None:
    """Sum the present set; only nodes that no inherited bound ends need it."""
    depth = tree.depth[0]
    size = depth - tree.root[0]
    if size > 0:
        new = tree.flipped[depth]
        copy_row(tree.falls[depth - 1], tree.falls[depth])
        add_row(tree.falls[depth], region.weight[new], 1.0)
        tree.demand[depth] = tree.demand[depth - 1] + region.demand[new]
        more = budget_multiplier(region, size) - budget_multiplier(region, size - 1)
        if more != 0.0:
            add_row(tree.falls[depth], region.weight[-1], more)
            tree.demand[depth] += more * region.demand[-1]


@compiled
def _find_spare(region: Region, tree: Tree, kept: Array, size: int, spare: Array) -> float:
    """By how much the sum of the present set and each candidate does not fail, and its own."""
    depth = tree.depth[0]
    falls, radius = tree.falls[depth], region.radius
    here = -tree.demand[depth]
    for i in range(len(falls)):
        here += radius[i] * abs(falls[i])
    for a in range(size):
        row = region.weight[kept[a]]
        most = -tree.demand[depth] - region.demand[kept[a]]
        for i in range(len(falls)):
            most += radius[i] * abs(falls[i] + row[i])
        spare[a] = most
    return float(here)


@compiled
def _beyond_singles(region: Region, falls: Array, kept: Array, size: int) -> Array:
    """What two candidates reach together beyond what each of them does, shape (size, size).

    With s a pixel's part of the present sum, v and w those of two candidates, all whole:
    ``|s + v + w| - |s + v| - |s + w| + |s|``. For v and w of -1, 0 and +1 that is
    ``v w - |v| |w|`` where s = 0, 2 where |s| = 1 and v = w = -s, and else 0.
    """
    if region.entries == LARGE:
        return _beyond_singles_one_by_one(region, falls, kept, size)
    zero, one = _places_of(0.0, falls), _places_of(1.0, falls)
    sides = np.empty((size, len(zero) + len(one)))
    scaled = np.empty((size, len(zero) + len(one)))
    for a in range(size):
        row = region.weight[kept[a]]
        for b in range(len(zero)):
            sides[a, b] = row[zero[b]]
            scaled[a, b] = row[zero[b]] * region.radius[zero[b]]
        for b in range(len(one)):
            i, at = one[b], len(zero) + b
            sides[a, at] = 1.0 if row[i] * falls[i] < 0.0 else 0.0
            scaled[a, at] = 2.0 * sides[a, at] * region.radius[i]
    together = np.dot(sides, scaled.T)
    if region.entries == TERNARY:
        sizes, scaled_sizes = np.empty((size, len(zero))), np.empty((size, len(zero)))
        for a in range(size):
            for b in range(len(zero)):
                sizes[a, b], scaled_sizes[a, b] = abs(sides[a, b]), abs(scaled[a, b])
        both = np.dot(sizes, scaled_sizes.T)
        for a in range(size):
            add_row(together[a], both[a], -1.0)
    else:
        total, radius = 0.0, region.radius
        for i in zero:
            total += radius[i]
        for a in range(size):
            for b in range(size):
                together[a, b] -= total
    return together


@compiled
def _places_of(size: float, falls: Array) -> Array:
    """Where the sum is of this size."""
    places, count = np.empty(len(falls), dtype=np.int64), 0
    for i in range(len(falls)):
        if abs(falls[i]) == size:
            places[count] = i
            count += 1
    return places[:count]


@compiled
def _beyond_singles_one_by_one(region: Region, falls: Array, kept: Array, size: int) -> Array:
    together = np.empty((size, size))
    for a in range(size):
        first = region.weight[kept[a]]
        for b in range(a + 1):
            second, total = region.weight[kept[b]], 0.0
            for i in range(len(falls)):
                s, v, w = falls[i], first[i], second[i]
                beyond = abs(s + v + w) - abs(s + v) - abs(s + w) + abs(s)
                total += region.radius[i] * beyond
            together[a, b] = together[b, a] = total
    return together


@compiled
def inherit_conflicts(tree: Tree, kept: Array, size: int, conflict: Array) -> None:
    """Pairs of candidates that could not join an ancestor's set together, shape (k, k)."""
    depth = tree.depth[0]
    before = tree.conflict[max(min(depth, len(tree.conflict)) - 1, 0)]
    for a in range(size):
        for b in range(a + 1):
            conflict[a, b] = conflict[b, a] = before[kept[a], kept[b]]


@compiled
def find_conflicts(
    region: Region, tree: Tree, kept: Array, spare: Array, size: int, conflict: Array
) -> None:
    """Add the pairs that fail together with the present set."""
    depth = tree.depth[0]
    here = _find_spare(region, tree, kept, size, spare)
    together = _beyond_singles(region, tree.falls[depth], kept, size)
    keeps, members = depth < len(tree.conflict), depth - tree.root[0]
    # The budget's row counts as so many, the pair as two; each of three sums has the node's own.
    certain = certain_by(region, 3.0 * (members + budget_multiplier(region, members) + 2.0))
    for a in range(size):
        for b in range(a + 1):
            fails = spare[a] + spare[b] - here + together[a, b] < -certain
            fails = fails or conflict[a, b]
            conflict[a, b] = conflict[b, a] = fails
            if keeps:
                i, j = kept[a], kept[b]
                tree.conflict[depth, i, j] = tree.conflict[depth, j, i] = fails

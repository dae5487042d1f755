r"""Which two candidates of a node cannot both join its set.

Compiled. Conflicts are inherited from the parent; new ones cost far more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.problem import Region, budget_multiplier, certain_by
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
        tree.falls[depth] = tree.falls[depth - 1] + region.weight[new]
        tree.demand[depth] = tree.demand[depth - 1] + region.demand[new]
        more = budget_multiplier(region, size) - budget_multiplier(region, size - 1)
        if more != 0.0:
            tree.falls[depth] += more * region.weight[-1]
            tree.demand[depth] += more * region.demand[-1]


@compiled
def _find_spare(region: Region, tree: Tree, kept: Array, size: int, spare: Array) -> float:
    """By how much the sum of the present set and each candidate does not fail, and its own.

    Sums s of weights are whole, so ``|s + v| = |s| + v sign(s)`` for v in {-1, +1}, and 1 where
    s = 0; the 1 is in what is returned.
    """
    depth = tree.depth[0]
    falls = tree.falls[depth]
    m = len(falls)
    pull = np.empty(m)
    here = -tree.demand[depth]
    for i in range(m):
        pull[i] = region.radius[i] * np.sign(falls[i])
        here += region.radius[i] * (abs(falls[i]) if falls[i] != 0.0 else 1.0)
    for a in range(size):
        row = region.weight[kept[a]]
        most = here - region.demand[kept[a]]
        for i in range(m):
            most += row[i] * pull[i]
        spare[a] = most
    return float(here)


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
    """Add the pairs that fail together with the present set.

    The sums are all of one parity. Beyond both single terms, ``|s + v + w|`` has ``1 + v w`` where
    s = 0, less the 1 that each counted, and 2 where |s| = 1 and v = w = -sign(s).
    """
    depth = tree.depth[0]
    falls = tree.falls[depth]
    even = len(falls) == 0 or abs(falls[0]) % 2.0 == 0.0
    near = np.flatnonzero(np.abs(falls) <= 1.0)
    sides, scaled = np.empty((size, len(near))), np.empty((size, len(near)))
    here = _find_spare(region, tree, kept, size, spare)
    for a in range(size):
        row = region.weight[kept[a]]
        for b in range(len(near)):
            i = near[b]
            value = row[i] if even else (1.0 if row[i] * falls[i] < 0.0 else 0.0)
            sides[a, b] = value
            scaled[a, b] = value * region.radius[i] * (1.0 if even else 2.0)
    together = np.dot(sides, scaled.T)
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

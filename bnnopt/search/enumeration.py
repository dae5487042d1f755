r"""Subtrees of a few candidates, set by set: there that costs less than any bound.

Compiled. Subsets of the candidates are visited in Gray code order, which can stop and go on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.position import move_to, passes_sum_test, walk
from bnnopt.search.problem import Region
from bnnopt.search.tree_state import OVER, Tree

__all__ = ["next_set"]

Array = Any


@compiled
def next_set(region: Region, tree: Tree, wanted: float) -> bool:
    """Go to the next set of the present node's subtree that is worth it: ``tree.at``.

    Sets that fail the tests of pairs and of sums are left out. ``tree.step`` is OVER after the
    last one.
    """
    depth, position = tree.depth[0], tree.at
    order = tree.order[depth, : tree.count[depth]]
    end, least = 1 << len(order), np.full(1, wanted)
    if tree.step[0] == 0:
        flipped = np.zeros(len(position.flipped), dtype=np.bool_)
        for d in range(1, depth + 1):
            flipped[tree.flipped[d]] = True
        move_to(region, tree.terms, position, flipped)
        tree.step[0] = 1
        if position.margin[0] >= wanted and _may_have_point(region, tree, order):
            return True
    while tree.step[0] < end:
        step = walk(region, tree.terms, position, order, (tree.step[0], end), least)
        tree.step[0] = step + 1
        if step < end and _may_have_point(region, tree, order):
            return True
    tree.step[0] = OVER
    return False


@compiled
def _may_have_point(region: Region, tree: Tree, candidates: Array) -> bool:
    """Whether the tests of pairs and of sums let the candidates that flip join."""
    flipped = tree.at.flipped
    conflict = tree.conflict[min(tree.depth[0] - 1, len(tree.conflict) - 1)]
    for i in candidates:
        for j in candidates:
            if flipped[i] and flipped[j] and conflict[i, j]:
                return False
    return passes_sum_test(region, tree.at)

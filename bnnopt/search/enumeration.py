"""Subtrees of a few candidates, decided one by one, where that costs less than better bounds.

Compiled. It can stop at a set and go on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.descent import begin_descent, descend
from bnnopt.search.position import passes_sum_test
from bnnopt.search.problem import Region
from bnnopt.search.tree_state import Tree

__all__ = ["begin_sets", "next_set"]

Array = Any


@compiled
def begin_sets(region: Region, tree: Tree) -> None:
    """Begin with the sets of the present node's subtree."""
    depth = tree.depth[0]
    flipped = np.empty(len(tree.found), dtype=np.bool_)
    flipped[:] = False
    for d in range(1, depth + 1):
        flipped[tree.flipped[d]] = True
    begin_descent(region, tree.terms, tree.at, flipped, tree.order[depth, : tree.count[depth]])


@compiled
def next_set(region: Region, tree: Tree, wanted: float, end: int) -> bool:
    """Go to the next of those sets that is worth it and passes the sum test: ``tree.at``.

    Stops without one when all are visited, or `end` nodes of the descent so far.
    """
    conflict = tree.conflict[min(tree.depth[0] - 1, len(tree.conflict) - 1)]
    least = np.empty(1)
    least[0] = wanted
    nodes = tree.at.nodes
    while descend(region, tree.terms, tree.at, conflict, least, end - nodes[0]):
        if passes_sum_test(region, tree.at.flipped):
            return True
    return False

r"""Depth-first search over flip sets, pruned by what is reachable and by what is worth it.

Compiled. A node is a flip set F with candidates C; its subtree is every set between F and F + C.
Each child adds one candidate and keeps those after it. Four tests end a branch, all of them
proofs:

- *pairs*: two neurons that cannot flip together;
- *sum*: F cannot flip together if ``sum_i r_i |sum_{j in F} v_ji| < sum_{j in F} demand_j``, a
  Farkas certificate with equal multipliers that costs one product a candidate;
- *certificate*: a set worth having that `settle_pattern` refutes by its flips alone;
- *value*: no set of the subtree has a margin of at least `worth`.

The search stops at every set of that margin that it cannot refute, so that its caller can replay
a point, and goes on where it stopped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.bound import margin_of
from bnnopt.search.children import bound_children
from bnnopt.search.compiled import compiled
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.reach import OPEN, REACHED, REFUTED, settle_pattern
from bnnopt.search.room import new_room
from bnnopt.search.tree_state import Tree

__all__ = ["DONE", "FOUND", "PAUSED", "UNCLEAR", "advance"]

Array = Any

DONE, PAUSED, FOUND, UNCLEAR = 0, 1, 2, 3

SLACK, ENOUGH = 0.5, 0.05
"""Levels that a point's slacks aim at, and levels that suffice."""


@compiled
def advance(region: Region, terms: MarginTerms, tree: Tree, worth: float, budget: int) -> int:
    """Go on until a set of margin `worth` is found, `budget` nodes are visited, or none is left.

    Returns
    -------
    DONE, PAUSED, FOUND (``tree.u`` has the pattern) or UNCLEAR (neither point nor certificate)
    """
    k = len(region.demand)
    end = tree.nodes[0] + budget
    room = new_room(region, terms)
    while tree.depth[0] >= 0:
        depth = tree.depth[0]
        if tree.entering[0]:
            tree.entering[0] = False
            bound_children(region, terms, tree, worth, room)
        at = tree.position[depth]
        if at < 0 or tree.reach[depth, at] < worth:
            tree.depth[0] -= 1
            if depth > 0:
                tree.position[depth - 1] -= 1
            continue
        if tree.most[depth, at] < worth:
            tree.position[depth] -= 1
            continue
        _add_child(terms, tree)
        is_worth = margin_of(terms, tree.surplus[depth + 1]) >= worth
        if not is_worth and tree.count[depth + 1] == 0:
            tree.position[depth] -= 1
            continue
        _step_down(tree)
        if is_worth:
            verdict = _settle(region, tree, k)
            if verdict == REACHED:
                return FOUND
            if verdict == OPEN:
                return UNCLEAR
        if tree.nodes[0] >= end:
            return PAUSED
    return DONE


@compiled
def _add_child(terms: MarginTerms, tree: Tree) -> None:
    """State the child at work; its candidates are those before it that it tolerates."""
    depth = tree.depth[0]
    child = depth + 1
    at = tree.position[depth]
    new = tree.order[depth, at]
    tree.surplus[child] = tree.surplus[depth] + terms.change[new]
    tree.flipped[child] = new
    conflict = tree.conflict[min(depth, len(tree.conflict) - 1), new]
    size = 0
    for b in range(at):
        other = tree.order[depth, b]
        if not conflict[other]:
            tree.order[child, size] = other
            size += 1
    tree.count[child] = size
    tree.nodes[0] += 1


@compiled
def _step_down(tree: Tree) -> None:
    """Make the child the present node."""
    depth = tree.depth[0]
    child = depth + 1
    tree.level[child] = tree.level[depth]
    tree.slope[child] = tree.slope[depth]
    tree.curve[child] = tree.curve[depth]
    tree.activation[child] = tree.activation[depth]
    tree.fitted[child] = True
    tree.position[child] = -1
    tree.depth[0] = child
    tree.entering[0] = True


@compiled
def _settle(region: Region, tree: Tree, k: int) -> int:
    """Decide the present set; where its flips alone are refuted, its supersets are too."""
    depth = tree.depth[0]
    flipped, multipliers = np.zeros(k, dtype=np.bool_), np.zeros(k)
    for d in range(1, depth + 1):
        flipped[tree.flipped[d]] = True
    verdict = settle_pattern(region, flipped, SLACK, ENOUGH, tree.u, multipliers)
    if verdict == REFUTED:
        by_flips = True
        for j in range(k):
            if multipliers[j] > 0.0 and not flipped[j]:
                by_flips = False
        if by_flips:
            tree.entering[0] = False  # no children
    return verdict

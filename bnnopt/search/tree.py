r"""Depth-first search over flip sets, pruned by what is reachable and by what is worth it.

Compiled. A node is a flip set F with candidates C; its subtree is every set between F and F + C.
Each child adds one candidate and keeps those after it. Four tests end a branch, all of them
proofs:

- *pairs*: two neurons that cannot flip together;
- *sum*: F cannot flip together if ``sum_i r_i |sum_{j in F} v_ji| < sum_{j in F} demand_j``, a
  Farkas certificate with equal multipliers (but for a budget's) that costs one product a candidate;
- *certificate*: a set worth having that `decide_pattern` refutes by its flips alone;
- *value*: no set of the subtree has a margin of at least `wanted`.

Where few candidates are left, their sets are enumerated instead (`bnnopt.search.enumeration`).

The search stops at every set of that margin that it cannot refute, so that its caller can replay
a point, and goes on where it stopped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.bound import margin_of
from bnnopt.search.children import bound_children, may_have_wanted_set
from bnnopt.search.compiled import compiled
from bnnopt.search.descent import NODES_A_VISIT, is_over
from bnnopt.search.enumeration import begin_sets, next_set
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.reach import REACHED, REFUTED, decide_pattern
from bnnopt.search.rows import add_row, copy_row, exceeds, zeros
from bnnopt.search.tree_state import Tree
from bnnopt.search.workspace import Workspace

__all__ = ["DONE", "FOUND", "FULL", "PAUSED", "UNCLEAR", "advance"]

Array = Any

DONE, PAUSED, FOUND, UNCLEAR, FULL = 0, 1, 2, 3, 4

SLACK, ENOUGH = 0.5, 0.05
"""Levels that a point's slacks aim at, and levels that suffice."""


@compiled
def advance(
    region: Region,
    terms: MarginTerms,
    tree: Tree,
    space: Workspace,
    wanted: float,
    budget: int,
) -> int:
    """Go on until a set of margin `wanted` is found, `budget` nodes are visited, or none is left.

    Or so many nodes of descents that these take about as long.

    Returns
    -------
    DONE, PAUSED, FOUND (``tree.u`` has the set ``tree.found``), UNCLEAR (neither a point of that
    set nor a certificate) or FULL (the tree has no row for the next depth: `deepened`)
    """
    nodes, sets = tree.nodes, tree.at.nodes
    end, end_of_sets = nodes[0] + budget, sets[0] + NODES_A_VISIT * budget
    while tree.depth[0] >= tree.root[0]:
        if nodes[0] >= end or sets[0] >= end_of_sets:
            return PAUSED
        if tree.depth[0] + 1 == len(tree.count) and len(tree.count) <= len(tree.found):
            return FULL
        if not is_over(tree.at):
            if next_set(region, tree, wanted, end_of_sets):
                verdict = _decide(region, tree, tree.at.flipped, zeros(len(tree.found)))
                if verdict != REFUTED:
                    tree.pending[0] = True
                    return FOUND if verdict == REACHED else UNCLEAR
            elif is_over(tree.at):
                _step_up(tree)
            continue
        depth = tree.depth[0]
        if tree.entering[0]:
            tree.entering[0] = False
            bound_children(region, terms, tree, wanted, space)
        at = tree.position[depth]
        if at < 0 or tree.reach[depth, at] < wanted:
            _step_up(tree)
        elif tree.most[depth, at] < wanted:
            tree.position[depth] -= 1
        else:
            verdict = _visit(region, terms, tree, wanted, space)
            if verdict != REFUTED:
                tree.pending[0] = True
                return FOUND if verdict == REACHED else UNCLEAR
    return DONE


@compiled
def _visit(region: Region, terms: MarginTerms, tree: Tree, wanted: float, space: Workspace) -> int:
    """Go to the child at work, unless it is not worth it; settle its own set where that is."""
    _step_down(region, tree)
    count = tree.count[tree.depth[0]]
    if count > tree.enumerated[0]:
        _inherit(terms, tree)
        if not may_have_wanted_set(terms, tree, wanted, space):
            _step_up(tree)
            return REFUTED
    if count <= (tree.enumerated[2] if _kept_all(tree, wanted) else tree.enumerated[1]):
        begin_sets(region, tree)
        return REFUTED
    tree.entering[0] = True
    if margin_of(terms, tree.surplus[tree.depth[0]]) < wanted:
        return REFUTED
    return _decide_node(region, tree)


@compiled
def _kept_all(tree: Tree, wanted: float) -> bool:
    """Whether no child of the present node's parent was ruled out."""
    parent = tree.depth[0] - 1
    kept_all = True
    for a in range(tree.count[parent]):
        kept_all &= tree.most[parent, a] >= wanted
    return kept_all


@compiled
def _step_down(region: Region, tree: Tree) -> None:
    """Make the child at work the present node; its candidates are those that it tolerates."""
    depth = tree.depth[0]
    child = depth + 1
    at = tree.position[depth]
    new = tree.order[depth, at]
    tree.flipped[child] = new
    conflict = tree.conflict[min(depth, len(tree.conflict) - 1), new]
    copy_row(tree.spent[depth], tree.spent[child])
    add_row(tree.spent[child], region.cost[new], 1.0)
    left = region.most.copy()
    add_row(left, tree.spent[child], -1.0)
    size = 0
    for b in range(at):
        other = tree.order[depth, b]
        if not conflict[other] and not exceeds(region.cost[other], left):
            tree.order[child, size] = other
            size += 1
    tree.count[child] = size
    tree.depth[0] = child
    tree.nodes[0] += 1


@compiled
def _step_up(tree: Tree) -> None:
    """Make the parent the present node, and its next child the one at work."""
    tree.depth[0] -= 1
    if tree.depth[0] >= tree.root[0]:
        tree.position[tree.depth[0]] -= 1


@compiled
def _inherit(terms: MarginTerms, tree: Tree) -> None:
    """State the present node as far as its parent's state tells."""
    child = tree.depth[0]
    depth = child - 1
    copy_row(tree.surplus[depth], tree.surplus[child])
    add_row(tree.surplus[child], terms.change[tree.flipped[child]], np.float32(1.0))
    tree.level[child] = tree.level[depth]
    tree.size[child] = tree.size[depth]
    copy_row(tree.slope[depth], tree.slope[child])
    copy_row(tree.curve[depth], tree.curve[child])
    copy_row(tree.activation[depth], tree.activation[child])


@compiled
def _decide_node(region: Region, tree: Tree) -> int:
    """Decide the present set; where its flips alone are refuted, its supersets are too."""
    flipped, multipliers = np.empty(len(tree.found), dtype=np.bool_), zeros(len(tree.found))
    flipped[:] = False
    for d in range(1, tree.depth[0] + 1):
        flipped[tree.flipped[d]] = True
    verdict = _decide(region, tree, flipped, multipliers)
    needs_others = False
    for i in range(len(flipped)):
        needs_others |= multipliers[i] > 0.0 and not flipped[i]
    if verdict == REFUTED and not needs_others:
        tree.entering[0] = False  # no children
        tree.position[tree.depth[0]] = -1
    return verdict


@compiled
def _decide(region: Region, tree: Tree, flipped: Array, multipliers: Array) -> int:
    """Decide a set; keep it, and its point."""
    copy_row(flipped, tree.found)
    return decide_pattern(region, flipped, SLACK, ENOUGH, tree.u, multipliers)

r"""What a node and its children may bring: bounds by intervals and by a quadratic function.

Compiled. What the parent knew is tried first; it ends most nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.bound import cardinality_colours, surplus_ranges
from bnnopt.search.compiled import compiled
from bnnopt.search.conflicts import add_falls, find_conflicts, inherit_conflicts
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.quadratic import fit, fit_lines, wanted_candidates
from bnnopt.search.rows import copy_row, zeros
from bnnopt.search.sets import NONE
from bnnopt.search.tree_state import Tree
from bnnopt.search.workspace import Workspace

__all__ = ["bound_children", "may_have_wanted_set"]

Array = Any


@compiled
def bound_children(
    region: Region, terms: MarginTerms, tree: Tree, wanted: float, space: Workspace
) -> None:
    """Order the candidates, and bound what each and those before it may bring."""
    depth = tree.depth[0]
    tree.position[depth] = -1
    order, kept, size = tree.order[depth], space.kept, tree.count[depth]
    copy_row(order[:size], kept)
    inherit_conflicts(tree, kept, size, space.conflict)
    add_falls(region, tree)
    find_conflicts(region, tree, kept, space.spare, size, space.conflict)
    groups, interval = _interval_bound(terms, tree, size, space)
    if interval < wanted:
        return
    linear, single = interval, zeros(size)
    if depth == tree.root[0]:
        linear = fit_lines(terms, tree, size, groups, space)
        copy_row(space.by_single[:size], single)
    if fit(terms, tree, size, groups, wanted, space) == 0:
        return
    most, reach, so_far = tree.most[depth], tree.reach[depth], -np.inf
    gained = zeros(groups)
    for a in range(size):
        i = order[a]
        c = space.group[i]
        linear += max(single[i] - gained[c], 0.0)
        gained[c] = max(gained[c], single[i])
        order[a] = kept[i]
        most[a] = min(most[a], interval, linear)
        so_far = max(so_far, most[a])
        reach[a] = so_far
    tree.position[depth] = size - 1


@compiled
def may_have_wanted_set(terms: MarginTerms, tree: Tree, wanted: float, space: Workspace) -> bool:
    """Whether what the parent knew leaves a set of the present node's subtree.

    Candidates that no such set needs are dropped.
    """
    depth = tree.depth[0]
    order, kept, size = tree.order[depth], space.kept, tree.count[depth]
    copy_row(order[:size], kept)
    inherit_conflicts(tree, kept, size, space.conflict)
    _, interval = _interval_bound(terms, tree, size, space)
    if interval < wanted:
        return False
    left = wanted_candidates(terms, tree, size, wanted, space)
    if left == NONE:
        return False
    is_left = np.empty(size, dtype=np.bool_)
    for a in range(size):
        is_left[order[a]] = a < left
    left = 0
    for a in range(size):
        if is_left[a]:
            order[left] = kept[a]
            left += 1
    tree.count[depth] = left
    return True


@compiled
def _interval_bound(
    terms: MarginTerms, tree: Tree, size: int, space: Workspace
) -> tuple[int, float]:
    """Ranges of all surpluses, by classes of which one member flips: their number; the bound."""
    classes = cardinality_colours(space.conflict, size, space.group)
    surplus = tree.surplus[tree.depth[0]]
    surplus_ranges(terms, surplus, size, classes, space)
    total, last = terms.constant, terms.start[-2]
    for j in range(len(terms.gain)):
        if space.low[last + j] >= 0.0:
            total += terms.gain[j]
        elif space.high[last + j] >= 0.0:
            total += max(terms.gain[j], 0.0)
    return classes, total

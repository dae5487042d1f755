r"""What a node and its children may bring: bounds by intervals and by a quadratic function.

Compiled. What the parent knew is tried first; it ends most nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.above import fit, fit_lines, is_worth_it
from bnnopt.search.bound import cardinality_colours, surplus_ranges
from bnnopt.search.compiled import compiled
from bnnopt.search.conflicts import add_falls, find_conflicts, inherit_conflicts
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.room import Room
from bnnopt.search.tree_state import Tree

__all__ = ["bound_children", "may_be_worth_it"]

Array = Any


@compiled
def bound_children(
    region: Region, terms: MarginTerms, tree: Tree, worth: float, room: Room
) -> None:
    """Order the candidates, and bound what each and those before it may bring."""
    depth = tree.depth[0]
    tree.position[depth] = -1
    order, kept, size = tree.order[depth], room.kept, tree.count[depth]
    kept[:size] = order[:size]
    inherit_conflicts(tree, kept, size, room.conflict)
    add_falls(region, tree)
    find_conflicts(region, tree, kept, room.spare, size, room.conflict)
    groups, interval = _interval_bound(terms, tree, size, room)
    if interval < worth:
        return
    linear, single = interval, np.zeros(size)
    if depth == tree.root[0]:
        linear = fit_lines(terms, tree, size, groups, room)
        single[:] = room.by_single[:size]
    if fit(terms, tree, size, groups, worth, room) == 0:
        return
    most, reach, so_far = tree.most[depth], tree.reach[depth], -np.inf
    gained = np.zeros(groups)
    for a in range(size):
        i = order[a]
        c = room.group[i]
        linear += max(single[i] - gained[c], 0.0)
        gained[c] = max(gained[c], single[i])
        order[a] = kept[i]
        most[a] = min(most[a], interval, linear)
        so_far = max(so_far, most[a])
        reach[a] = so_far
    tree.position[depth] = size - 1


@compiled
def may_be_worth_it(terms: MarginTerms, tree: Tree, worth: float, room: Room) -> bool:
    """Whether what the parent knew leaves a set of the present node's subtree."""
    depth = tree.depth[0]
    order, kept, size = tree.order[depth], room.kept, tree.count[depth]
    kept[:size] = order[:size]
    inherit_conflicts(tree, kept, size, room.conflict)
    _, interval = _interval_bound(terms, tree, size, room)
    if interval < worth or not is_worth_it(terms, tree, size, worth, room):
        return False
    order[:size] = kept[:size]
    return True


@compiled
def _interval_bound(terms: MarginTerms, tree: Tree, size: int, room: Room) -> tuple[int, float]:
    """Ranges of all surpluses, by classes of which one member flips: their number; the bound."""
    classes = cardinality_colours(room.conflict, size, room.group)
    surplus = tree.surplus[tree.depth[0]]
    surplus_ranges(
        terms,
        surplus,
        room.kept,
        room.group,
        size,
        classes,
        room.least,
        room.most,
        room.low,
        room.high,
    )
    total = terms.constant
    for j in range(len(terms.gain)):
        if room.low[-1, j] >= 0.0:
            total += terms.gain[j]
        elif room.high[-1, j] >= 0.0:
            total += max(terms.gain[j], 0.0)
    return classes, total

r"""A function above the margin that is quadratic in the second layer's surplus, for one node.

Compiled. Each neuron of the second layer gets the line or parabola above its activation whose
mean over a distribution of sets is lowest; deeper layers get lines. The distribution is that of
the sets at which the functions so far are large, which pushes the next one down there
(fictitious play; docs/search.md). Any distribution gives a valid function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.bound import deeper_lines, second_curves
from bnnopt.search.compiled import as_bool, as_int, compiled
from bnnopt.search.problem import MarginTerms
from bnnopt.search.rows import copy_row, move_row
from bnnopt.search.sets import NONE, find_set, sort_candidates, walk_sets
from bnnopt.search.tree_state import Tree
from bnnopt.search.workspace import Workspace
from bnnopt.tolerances import SUM_ROUNDING

__all__ = ["fit", "fit_lines", "wanted_candidates"]

Array = Any

STEPS, LINEAR_STEPS = 12, 30
"""Functions that are averaged at a node, at most; linear ones at the root, where 200 saved hardly a
node and took a sixth of an easy instance's time."""

PROGRESS = 0.8
"""Steps end, after the first two, where one leaves more than this share of the children."""

LIMIT, ALL = 500, 15_000
"""Sets seen before a search for one gives up, and before those of all children do together."""

WIDEST, WALKED = 512, 15
"""Neurons of the second layer up to which sets are looked at before a function is fitted; how many,
times those neurons."""


@compiled
def fit(
    terms: MarginTerms, tree: Tree, size: int, groups: int, wanted: float, space: Workspace
) -> int:
    """Fit the node's function: the number of children that have a set worth it by the function.

    ``tree.most`` gets the bounds of the children, by places in ``tree.order``.
    """
    _spread(terms, tree, size, groups, space)
    before = size
    for step in range(STEPS):
        _average(terms, tree, 3.0 / (step + 3.0), as_bool(True), space)
        alive = _bound_by_sets(terms, tree, size, wanted, 1.0 / (step + 3.0), space)
        if alive == 0 or (step >= 2 and alive > PROGRESS * before):
            return alive
        before = alive
    return before


@compiled
def fit_lines(terms: MarginTerms, tree: Tree, size: int, groups: int, space: Workspace) -> float:
    """Fit a linear function, whose maximum is easily bounded: its value, ``space.by_single``.

    The distribution moves to the largest candidates of the classes.
    """
    _spread(terms, tree, size, groups, space)
    depth, largest, value = tree.depth[0], np.empty(groups, dtype=np.int64), 0.0
    for a in range(size):
        tree.order[depth, a] = a
    for step in range(LINEAR_STEPS):
        _average(terms, tree, 2.0 / (step + 2.0), as_bool(False), space)
        value = _by_flips(terms, tree, size, as_bool(False), space)
        largest[:] = -1
        for a in range(size):
            c, single = space.group[a], space.by_single[a]
            if single > 0.0 and (largest[c] < 0 or single > space.by_single[largest[c]]):
                largest[c] = a
        chosen = as_int(0)
        for place in largest:
            if place >= 0:
                space.path[chosen] = place
                chosen += 1
        space.seen[:] = 0.0
        space.seen_square[:] = 0.0
        _add_moments(terms, tree, chosen, space)
        _move_moments(2.0 / (step + 2.0), as_int(1), space)
    return value


@compiled
def wanted_candidates(
    terms: MarginTerms, tree: Tree, size: int, wanted: float, space: Workspace
) -> int:
    """How many of the first in ``tree.order`` may have a set that is worth it, or `NONE`.

    By the function that the node has from its parent; with two wide layers a set that it allows
    is looked at itself, as far as `WALKED` go. ``tree.order`` becomes places in ``space.kept``.
    """
    depth = tree.depth[0]
    surplus, order = tree.surplus[depth], tree.order[depth, :size]
    value = _by_flips(terms, tree, size, as_bool(True), space)
    sort_candidates(size, order, space)
    if len(terms.block) == 1 and len(surplus) <= WIDEST:
        limit = WALKED * len(surplus)
        return walk_sets(terms, surplus, order, value, wanted, limit, space)
    if value >= wanted:
        return size
    for last in range(size - 1, -1, -1):
        if value + space.reach[last] < wanted:
            return NONE
        if find_set(value, last, wanted, min(LIMIT, ALL // size), space) != 0:
            return last + 1
    return NONE


@compiled
def _by_flips(terms: MarginTerms, tree: Tree, size: int, bends: bool, space: Workspace) -> float:
    """State the node's function in the flips: its value, ``space.by_single``, ``space.by_pair``.

    Without `bends`, it has no pairs, and `space.by_pair` is left alone.
    """
    depth = tree.depth[0]
    surplus, slope, curve = tree.surplus[depth], tree.slope[depth], tree.curve[depth]
    rows, scaled, by_single, kept = space.rows, space.scaled, space.by_single, space.kept
    r = len(surplus)
    value, terms_size = tree.level[depth], tree.size[depth]
    for j in range(r):
        value += surplus[j] * (slope[j] + curve[j] * surplus[j])
        most = abs(surplus[j]) + size * terms.step
        terms_size += most * (abs(slope[j]) + abs(curve[j]) * most)
    value += SUM_ROUNDING * terms_size  # what all the sums of the function can be off
    for a in range(size):
        change = terms.change[kept[a]]
        total = 0.0
        for j in range(r):
            step = float(change[j])
            rows[a, j] = step
            scaled[a, j] = 2.0 * curve[j] * step
            total += step * (slope[j] + curve[j] * (2.0 * surplus[j] + step))
        by_single[a] = total
    if bends:
        products = np.dot(rows[:size], scaled[:size].T)
        for a in range(size):
            copy_row(products[a], space.by_pair[a])
    return float(value)


@compiled
def _spread(terms: MarginTerms, tree: Tree, size: int, groups: int, space: Workspace) -> None:
    """Moments where classes flip independently, and the members of one equally likely."""
    mean, square, part = space.mean, space.square, space.rows
    count = np.empty(groups)
    count[:] = 1.0
    for a in range(size):
        count[space.group[a]] += 1.0
    copy_row(tree.surplus[tree.depth[0]], mean)
    square[:] = 0.0
    part[:groups] = 0.0
    for a in range(size):
        c = space.group[a]
        change, own, share = terms.change[space.kept[a]], part[c], 1.0 / count[c]
        for j in range(len(mean)):
            own[j] += share * change[j]
            square[j] += share * change[j] * change[j]
    for c in range(groups):
        own = part[c]
        for j in range(len(mean)):
            mean[j] += own[j]
            square[j] -= own[j] * own[j]
    for j in range(len(mean)):
        square[j] += mean[j] * mean[j]


@compiled
def _average(terms: MarginTerms, tree: Tree, weight: float, bends: bool, space: Workspace) -> None:
    """Average the function that is lowest at the present moments into the node's."""
    depth = tree.depth[0]
    activation = tree.activation[depth]
    level, size, gain = terms.constant, abs(terms.constant), terms.gain
    if len(terms.block) > 1:
        copy_row(activation, space.activation)
        level, size = deeper_lines(terms, space)
        gain = space.push[: terms.start[1]]
    for g in gain:
        size += 4.0 * abs(g)  # at most four terms a neuron, none above its gain
    level += second_curves(gain, bends, space)
    tree.level[depth] += weight * (level - tree.level[depth])
    tree.size[depth] += weight * (size - tree.size[depth])
    move_row(tree.slope[depth], space.slope, weight)
    move_row(tree.curve[depth], space.curve, weight)
    if len(terms.block) > 1:
        move_row(activation, space.activation, weight)


@compiled
def _bound_by_sets(
    terms: MarginTerms, tree: Tree, size: int, wanted: float, weight: float, space: Workspace
) -> int:
    """Bound the children, and average the moments of a set of each into those so far."""
    depth = tree.depth[0]
    order, most = tree.order[depth], tree.most[depth]
    value = _by_flips(terms, tree, size, as_bool(True), space)
    sort_candidates(size, order, space)
    most[:size] = -np.inf
    space.seen[:] = 0.0
    space.seen_square[:] = 0.0
    alive = found = as_int(0)
    for last in range(size - 1, -1, -1):
        most_of_all = value + space.reach[last]
        if most_of_all < wanted:
            break
        members = find_set(value, last, wanted, min(LIMIT, ALL // size), space)
        if members != 0:
            most[last] = most_of_all
            alive += 1
        if members > 0:
            found += 1
            _add_moments(terms, tree, members, space)
    if found > 0:
        _move_moments(weight, found, space)
    return alive


@compiled
def _add_moments(terms: MarginTerms, tree: Tree, members: int, space: Workspace) -> None:
    """Of the set in ``space.path``."""
    depth = tree.depth[0]
    surplus = tree.surplus[depth].copy()
    for b in range(members):
        change = terms.change[space.kept[tree.order[depth, space.path[b]]]]
        for j in range(len(surplus)):
            surplus[j] += change[j]
    for j in range(len(surplus)):
        space.seen[j] += surplus[j]
        space.seen_square[j] += surplus[j] * surplus[j]


@compiled
def _move_moments(weight: float, found: int, space: Workspace) -> None:
    """Move the distribution towards the sets found last."""
    for j in range(len(space.mean)):
        space.mean[j] += weight * (space.seen[j] / found - space.mean[j])
        space.square[j] += weight * (space.seen_square[j] / found - space.square[j])

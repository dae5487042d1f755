r"""What the children of a node may bring: conflicts of its candidates, and bounds.

Compiled. Conflicts between candidates and the joint bound's average are inherited from the parent;
new ones are sought only where those do not end the node.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.bound import (
    cardinality_colours,
    colour_bound,
    compiled,
    deeper_lines,
    orient,
    second_lines,
    surplus_ranges,
)
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.tree_state import Tree

__all__ = ["Room", "add_falls", "bound_children", "new_room"]

Array = Any
Room = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array, Array, Array, Array]

MARGIN = 1e-6
"""Levels by which a sum must fail, as in `bnnopt.flips`; float64 is exact to far less."""

STEPS, ROOT_STEPS = 16, 400
"""Linear functions of a joint bound, at most."""

STALL = 0.8
"""Steps end where four leave more than this share of what the bound exceeds `worth` by."""


@compiled
def new_room(region: Region, terms: MarginTerms) -> Room:
    """Arrays for the work at one node."""
    k, layers, r = len(region.demand), len(terms.weight), len(terms.surplus)
    shape = (layers + 1, r)
    return (
        np.zeros(shape, dtype=np.float32),  # low
        np.zeros(shape, dtype=np.float32),  # high
        np.zeros((k, r), dtype=np.float32),  # least
        np.zeros((k, r), dtype=np.float32),  # most
        np.zeros(shape),  # slope
        np.zeros(k),  # coefficient
        np.zeros(k),  # fresh
        np.zeros(k, dtype=np.int64),  # kept
        np.zeros(k, dtype=np.int64),  # group
        np.zeros(k, dtype=np.int64),  # chosen
        np.zeros((k, k), dtype=np.bool_),  # conflict
        np.zeros(k),  # spare
    )


@compiled
def add_falls(region: Region, tree: Tree) -> None:
    """Sum the present set; only nodes that no inherited bound ends need it."""
    depth = tree.depth[0]
    if depth > 0:
        new = tree.flipped[depth]
        tree.falls[depth] = tree.falls[depth - 1] + region.weight[new]
        tree.demand[depth] = tree.demand[depth - 1] + region.demand[new]


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
def _inherit_conflicts(tree: Tree, kept: Array, size: int, conflict: Array) -> None:
    """Pairs of candidates that could not join an ancestor's set together, shape (k, k)."""
    depth = tree.depth[0]
    before = tree.conflict[max(min(depth, len(tree.conflict)) - 1, 0)]
    for a in range(size):
        for b in range(a + 1):
            conflict[a, b] = conflict[b, a] = before[kept[a], kept[b]]


@compiled
def _find_conflicts(
    region: Region, tree: Tree, kept: Array, spare: Array, size: int, conflict: Array
) -> None:
    """Add the pairs that fail together with the present set.

    The sums are all of one parity. Beyond both single terms, ``|s + v + w|`` has ``1 + v w`` where
    s = 0, less the 1 that each counted, and 2 where |s| = 1 and v = w = -sign(s).
    """
    depth = tree.depth[0]
    falls, even = tree.falls[depth], (tree.base.sum() + depth) % 2 == 0
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
    keeps = depth < len(tree.conflict)
    for a in range(size):
        for b in range(a + 1):
            fails = spare[a] + spare[b] - here + together[a, b] < -MARGIN
            fails = fails or conflict[a, b]
            conflict[a, b] = conflict[b, a] = fails
            if keeps:
                i, j = kept[a], kept[b]
                tree.conflict[depth, i, j] = tree.conflict[depth, j, i] = fails


@compiled
def _interval_bound(terms: MarginTerms, tree: Tree, size: int, room: Room) -> tuple[int, float]:
    """Ranges of all surpluses, by classes of which one member flips: their number; the bound."""
    low, high, least, most, _, _, _, kept, group, _, conflict, _ = room
    classes = cardinality_colours(conflict, size, group)
    surplus = tree.surplus[tree.depth[0]]
    surplus_ranges(terms, surplus, kept, group, size, classes, least, most, low, high)
    total = terms.constant
    for j in range(len(terms.gain)):
        if low[-1, j] >= 0.0:
            total += terms.gain[j]
        elif high[-1, j] >= 0.0:
            total += max(terms.gain[j], 0.0)
    return classes, total


@compiled
def _joint_bound(
    terms: MarginTerms, tree: Tree, size: int, groups: int, worth: float, steps: int, room: Room
) -> float:
    """Average linear functions above the margin until it is not worth it, or they stall.

    Each is tight at the average of the sets that maximise the averages so far (fictitious play).
    """
    low, high, least, most, slope, coefficient, fresh, kept, group, chosen, conflict, _ = room
    depth = tree.depth[0]
    share, activation = np.empty(size), tree.activation[depth]
    order, reach, colour = tree.order[depth], tree.reach[depth], tree.colour[depth]
    for a in range(size):
        share[a] = tree.share[depth, kept[a]]
        coefficient[a] = tree.coefficient[depth, kept[a]]
    deep = len(terms.weight) > 0
    gain, on = terms.gain.copy(), activation[0].copy()
    now = activation.copy()
    sign = np.empty(len(gain), dtype=np.float32)
    base, width = np.empty_like(least[:groups]), np.empty_like(most[:groups])
    best = before = np.inf
    for step in range(steps):
        constant = terms.constant
        if deep:
            constant = deeper_lines(terms, low, high, now, slope)
            gain[:] = slope[0]
        if deep or step == 0:
            orient(gain, groups, least, most, sign, base, width)
        constant += second_lines(
            gain,
            terms.change,
            kept,
            group,
            size,
            groups,
            sign,
            base,
            width,
            low[0],
            high[0],
            share,
            on,
            fresh,
        )
        weight = 2.0 / (tree.steps[depth] + 2.0)
        tree.steps[depth] += 1.0
        tree.start[depth] += weight * (constant - tree.start[depth])
        coefficient[:size] += weight * (fresh[:size] - coefficient[:size])
        if deep:
            now[0] = on
            activation += weight * (now - activation)
            now[:] = activation
        classes = colour_bound(coefficient, conflict, size, order, reach, colour, chosen)
        share *= 1.0 - weight
        for c in range(classes):
            share[chosen[c]] += weight
        best = tree.start[depth] + reach[size - 1]
        if best < worth:
            break
        if step % 4 == 3:
            if best - worth > STALL * before:
                break
            before = best - worth
    for a in range(size):
        tree.share[depth, kept[a]] = share[a]
        tree.coefficient[depth, kept[a]] = coefficient[a]
    return best


@compiled
def bound_children(
    region: Region, terms: MarginTerms, tree: Tree, worth: float, room: Room
) -> None:
    """Order the candidates, and bound what each and those before it may bring."""
    kept, conflict, spare = room[7], room[10], room[11]
    depth = tree.depth[0]
    tree.position[depth] = -1
    size = tree.count[depth]
    if size == 0:
        return
    order, reach = tree.order[depth], tree.reach[depth]
    kept[:size] = order[:size]
    _inherit_conflicts(tree, kept, size, conflict)
    groups, interval = _interval_bound(terms, tree, size, room)
    if interval < worth or _joint_bound(terms, tree, size, groups, worth, 1, room) < worth:
        return
    # Most nodes end by inherited conflicts; new ones cost far more.
    add_falls(region, tree)
    _find_conflicts(region, tree, kept, spare, size, conflict)
    groups, interval = _interval_bound(terms, tree, size, room)
    if interval < worth:
        return
    steps = ROOT_STEPS if depth == 0 and not tree.base.any() else STEPS
    if _joint_bound(terms, tree, size, groups, worth, steps, room) < worth:
        return
    for a in range(size):
        order[a] = kept[order[a]]
        reach[a] = min(reach[a] + tree.start[depth], interval)
    tree.position[depth] = size - 1

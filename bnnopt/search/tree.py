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

from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.bound import (
    cardinality_colours,
    colour_bound,
    compiled,
    joint_bound,
    margin_of,
    mixture_step,
    surplus_ranges,
)
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.reach import OPEN, REACHED, REFUTED, settle_pattern

__all__ = ["DONE", "FOUND", "PAUSED", "UNCLEAR", "Tree", "advance", "new_tree"]

Array = Any
Room = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array]

DONE, PAUSED, FOUND, UNCLEAR = 0, 1, 2, 3
MARGIN = 1e-6
"""Levels by which a sum must fail, as in `bnnopt.flips`; float64 is exact to far less."""

STEPS = 8
"""Subgradient steps of a joint bound."""

STALL = 0.8
"""Steps end where one leaves more than this share of what the bound exceeds `worth` by."""

LEVELS = 48
"""Depths that keep conflicts of their own, which bounds the memory."""

SLACK, ENOUGH = 0.5, 0.05
"""Levels that a point's slacks aim at, and levels that suffice."""


class Tree(NamedTuple):
    """The path from the root to the present node; rows are depths, 0 the root.

    Parameters
    ----------
    depth : array of int64, shape (1,)
    nodes : array of int64, shape (1,)
        Visited so far.
    entering : array of bool, shape (1,)
        Whether the present node is new: its candidates are not bounded yet.
    falls : array of float64, shape (k + 1, m)
        Sum of the weights of the flips.
    demand : array of float64, shape (k + 1,)
        Sum of their demands.
    surplus : array of float64, shape (k + 1, r)
    flipped : array of int64, shape (k + 1,)
        The flip that each depth adds.
    order : array of int64, shape (k + 1, k)
        Candidates, by ascending use; children take them from the end.
    reach : array of float64, shape (k + 1, k)
        Bound on the margin over the subtrees of the children up to each.
    start : array of float64, shape (k + 1,)
    coefficient : array of float64, shape (k + 1, k)
    colour : array of int64, shape (k + 1, k)
        The joint bound's constant, and coefficients and classes of `order`.
    position : array of int64, shape (k + 1,)
        The child at work.
    count : array of int64, shape (k + 1,)
        Number of candidates.
    mixture : array of float64, shape (k + 1, 1 + layers, r)
        See `joint_bound`.
    conflict : array of bool, shape (levels, k, k)
        Which two candidates cannot both join the present set; deeper nodes use the last level.
    u : array of float64, shape (m,)
        The point of the last set found, in units of the radius.
    """

    depth: Array
    nodes: Array
    entering: Array
    falls: Array
    demand: Array
    surplus: Array
    flipped: Array
    order: Array
    reach: Array
    start: Array
    coefficient: Array
    colour: Array
    position: Array
    count: Array
    mixture: Array
    conflict: Array
    u: Array


def new_tree(region: Region, terms: MarginTerms) -> Tree:
    """A tree at its root, which stands for all flip sets."""
    (k, m), (layers, r) = region.weight.shape, terms.needed.shape
    tree = Tree(
        depth=np.zeros(1, dtype=np.int64),
        nodes=np.zeros(1, dtype=np.int64),
        entering=np.ones(1, dtype=np.bool_),
        falls=np.zeros((k + 1, m)),
        demand=np.zeros(k + 1),
        surplus=np.zeros((k + 1, r)),
        flipped=np.full(k + 1, -1),
        order=np.zeros((k + 1, k), dtype=np.int64),
        reach=np.full((k + 1, k), np.inf),
        start=np.zeros(k + 1),
        coefficient=np.zeros((k + 1, k)),
        colour=np.zeros((k + 1, k), dtype=np.int64),
        position=np.full(k + 1, -1),
        count=np.zeros(k + 1, dtype=np.int64),
        mixture=np.full((k + 1, layers + 1, r), 0.5),
        conflict=np.zeros((min(k + 1, LEVELS), k, k), dtype=np.bool_),
        u=np.zeros(m),
    )
    tree.surplus[0] = terms.surplus
    tree.order[0] = np.arange(k)
    tree.count[0] = k
    return tree


@compiled
def advance(region: Region, terms: MarginTerms, tree: Tree, worth: float, budget: int) -> int:
    """Go on until a set of margin `worth` is found, `budget` nodes are visited, or none is left.

    Returns
    -------
    DONE, PAUSED, FOUND (``tree.u`` has the pattern) or UNCLEAR (neither point nor certificate)
    """
    k = len(region.demand)
    end = tree.nodes[0] + budget
    room = _room(region, terms)
    while tree.depth[0] >= 0:
        depth = tree.depth[0]
        if tree.entering[0]:
            tree.entering[0] = False
            _bound_children(region, terms, tree, worth, room)
        at = tree.position[depth]
        if at < 0 or tree.reach[depth, at] < worth:
            tree.depth[0] -= 1
            if depth > 0:
                tree.position[depth - 1] -= 1
            continue
        if _child_bound(tree) < worth:
            tree.position[depth] -= 1
            continue
        _add_child(terms, tree)
        is_worth = margin_of(terms, tree.surplus[depth + 1]) >= worth
        if not is_worth and tree.count[depth + 1] == 0:
            tree.position[depth] -= 1
            continue
        _step_down(region, tree)
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
def _room(region: Region, terms: MarginTerms) -> Room:
    """Arrays for the work at one node."""
    k, layers, r = len(region.demand), len(terms.weight), len(terms.surplus)
    whole = np.zeros(k, dtype=np.int64)
    shape = (layers + 1, r)
    conflict = np.zeros((k, k), dtype=np.bool_)
    return (
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(k),
        whole,
        whole.copy(),
        whole.copy(),
        conflict,
        np.zeros(k),
    )


@compiled
def _child_bound(tree: Tree) -> float:
    """The parent's joint bound over the child at work and what it tolerates."""
    depth = tree.depth[0]
    at = tree.position[depth]
    conflict = tree.conflict[min(depth, len(tree.conflict) - 1), tree.order[depth, at]]
    total = tree.start[depth] + tree.coefficient[depth, at]
    largest = np.zeros(at + 1)
    for b in range(at):
        c = tree.colour[depth, b]
        if c >= 0 and not conflict[tree.order[depth, b]]:
            largest[c] = max(largest[c], tree.coefficient[depth, b])
    return float(total + largest.sum())


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
def _step_down(region: Region, tree: Tree) -> None:
    """Make the child the present node."""
    depth = tree.depth[0]
    child = depth + 1
    new = tree.flipped[child]
    tree.falls[child] = tree.falls[depth] + region.weight[new]
    tree.demand[child] = tree.demand[depth] + region.demand[new]
    tree.mixture[child] = tree.mixture[depth]
    tree.position[child] = -1
    tree.depth[0] = child
    tree.entering[0] = True


@compiled
def _settle(region: Region, tree: Tree, k: int) -> int:
    """Decide the present set; where its flips alone are refuted, its supersets are too."""
    depth = tree.depth[0]
    flipped = np.zeros(k, dtype=np.bool_)
    for d in range(1, depth + 1):
        flipped[tree.flipped[d]] = True
    multipliers = np.zeros(k)
    for i in range(len(tree.u)):
        tree.u[i] = -np.sign(tree.falls[depth, i])
    verdict = settle_pattern(region, flipped, SLACK, ENOUGH, tree.u, multipliers)
    if verdict == REFUTED:
        by_flips = True
        for j in range(k):
            if multipliers[j] > 0.0 and not flipped[j]:
                by_flips = False
        if by_flips:
            tree.entering[0] = False  # no children
    return verdict


@compiled
def _tolerated(region: Region, tree: Tree, kept: Array, spare: Array) -> int:
    """The candidates whose sum with the present set does not fail; their number.

    ``spare[a]`` gets by how much the sum of ``kept[a]`` and the present set does not fail. Sums s
    of weights are whole, so ``|s + v| = |s| + v sign(s)`` for v in {-1, +1}, and 1 where s = 0.
    """
    depth = tree.depth[0]
    falls = tree.falls[depth]
    m = len(falls)
    pull = np.empty(m)
    here = -tree.demand[depth]
    for i in range(m):
        pull[i] = region.radius[i] * np.sign(falls[i])
        here += region.radius[i] * (abs(falls[i]) if falls[i] != 0.0 else 1.0)
    size = 0
    for a in range(tree.count[depth]):
        c = tree.order[depth, a]
        most = here - region.demand[c]
        for i in range(m):
            most += region.weight[c, i] * pull[i]
        if most >= -MARGIN:
            kept[size], spare[size] = c, most
            size += 1
    return size


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
    falls, even = tree.falls[depth], tree.depth[0] % 2 == 0
    near = np.flatnonzero(np.abs(falls) <= 1.0)
    sides, scaled = np.empty((size, len(near))), np.empty((size, len(near)))
    here = -tree.demand[depth]
    for i in range(len(falls)):
        here += region.radius[i] * (abs(falls[i]) if falls[i] != 0.0 else 1.0)
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
def _interval_bound(terms: MarginTerms, tree: Tree, size: int, room: Room) -> float:
    """Ranges of all surpluses, by classes of which one member flips, and the margin's bound."""
    low, high, _, _, chosen, kept, colour, conflict, _ = room
    depth = tree.depth[0]
    order = tree.order[depth]
    classes = cardinality_colours(conflict, size, colour)
    at = 0
    for c in range(classes):
        for a in range(size):
            if colour[a] == c:
                order[at] = kept[a]
                chosen[at] = c
                at += 1
    surplus_ranges(terms, tree.surplus[depth], order, chosen, size, low, high)
    total = terms.constant
    for j in range(len(terms.gain)):
        if low[-1, j] >= 0.0:
            total += terms.gain[j]
        elif high[-1, j] >= 0.0:
            total += max(terms.gain[j], 0.0)
    return total


@compiled
def _bound_children(
    region: Region, terms: MarginTerms, tree: Tree, worth: float, room: Room
) -> None:
    """Drop candidates that cannot join, order the rest, and bound what they may bring."""
    low, high, slope, coefficient, chosen, kept, _, conflict, spare = room
    depth = tree.depth[0]
    tree.position[depth] = -1
    size = _tolerated(region, tree, kept, spare)
    if size == 0:
        return
    surplus, mixture = tree.surplus[depth], tree.mixture[depth]
    order, reach, colour = tree.order[depth], tree.reach[depth], tree.colour[depth]
    start = interval = 0.0
    # Most nodes end by inherited conflicts and mixtures; new ones cost far more.
    for steps in (0, STEPS):
        if steps == 0:
            _inherit_conflicts(tree, kept, size, conflict)
        else:
            _find_conflicts(region, tree, kept, spare, size, conflict)
        interval = _interval_bound(terms, tree, size, room)
        if interval < worth:
            return
        before = np.inf
        for step in range(steps + 1):
            start = joint_bound(terms, surplus, kept, size, low, high, mixture, coefficient, slope)
            classes = colour_bound(coefficient, conflict, size, order, reach, colour, chosen)
            excess = start + reach[size - 1] - worth
            if excess < 0.0:
                return
            if step == steps or excess > STALL * before:
                break
            before = excess
            if not mixture_step(
                terms, surplus, kept, chosen, classes, low, high, mixture, slope, excess
            ):
                break
    tree.start[depth] = start
    for a in range(size):
        tree.coefficient[depth, a] = coefficient[order[a]]
        order[a] = kept[order[a]]
        reach[a] = min(reach[a] + start, interval)
    tree.count[depth] = size
    tree.position[depth] = size - 1

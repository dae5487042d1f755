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
    deeper_lines,
    margin_of,
    orient,
    second_lines,
    surplus_ranges,
)
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.reach import OPEN, REACHED, REFUTED, settle_pattern

__all__ = ["DONE", "FOUND", "PAUSED", "UNCLEAR", "Tree", "advance", "new_tree"]

Array = Any
Room = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array, Array, Array, Array]

DONE, PAUSED, FOUND, UNCLEAR = 0, 1, 2, 3
MARGIN = 1e-6
"""Levels by which a sum must fail, as in `bnnopt.flips`; float64 is exact to far less."""

STEPS, ROOT_STEPS = 16, 400
"""Linear functions of a joint bound, at most."""

INHERITED = 8.0
"""As how many the parent's average counts."""

STALL = 0.8
"""Steps end where four leave more than this share of what the bound exceeds `worth` by."""

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
        The joint bound's constant, its coefficients by flips, and classes of `order`.
    position : array of int64, shape (k + 1,)
        The child at work.
    count : array of int64, shape (k + 1,)
        Number of candidates.
    share : array of float64, shape (k + 1, k)
    activation : array of float64, shape (k + 1, 1 + layers, r)
        The fractional set at which `linear_bound` is tight, by flips, and its activations.
    steps : array of float64, shape (k + 1,)
        How many linear functions the joint bound averages.
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
    share: Array
    activation: Array
    steps: Array
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
        surplus=np.zeros((k + 1, r), dtype=np.float32),
        flipped=np.full(k + 1, -1),
        order=np.zeros((k + 1, k), dtype=np.int64),
        reach=np.full((k + 1, k), np.inf),
        start=np.zeros(k + 1),
        coefficient=np.zeros((k + 1, k)),
        colour=np.zeros((k + 1, k), dtype=np.int64),
        position=np.full(k + 1, -1),
        count=np.zeros(k + 1, dtype=np.int64),
        share=np.full((k + 1, k), 0.5),
        activation=np.full((k + 1, layers + 1, r), 0.5),
        steps=np.zeros(k + 1),
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
def _room(region: Region, terms: MarginTerms) -> Room:
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
def _child_bound(tree: Tree) -> float:
    """The parent's joint bound over the child at work and what it tolerates."""
    depth = tree.depth[0]
    at = tree.position[depth]
    conflict = tree.conflict[min(depth, len(tree.conflict) - 1), tree.order[depth, at]]
    total = tree.start[depth] + tree.coefficient[depth, tree.order[depth, at]]
    largest = np.zeros(at + 1)
    for b in range(at):
        c, other = tree.colour[depth, b], tree.order[depth, b]
        if c >= 0 and not conflict[other]:
            largest[c] = max(largest[c], tree.coefficient[depth, other])
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
def _step_down(tree: Tree) -> None:
    """Make the child the present node."""
    depth = tree.depth[0]
    child = depth + 1
    new = tree.flipped[child]
    tree.start[child] = tree.start[depth] + tree.coefficient[depth, new]
    tree.coefficient[child] = tree.coefficient[depth]
    tree.share[child] = tree.share[depth]
    tree.activation[child] = tree.activation[depth]
    tree.steps[child] = min(tree.steps[depth], INHERITED)
    tree.position[child] = -1
    tree.depth[0] = child
    tree.entering[0] = True


@compiled
def _settle(region: Region, tree: Tree, k: int) -> int:
    """Decide the present set; where its flips alone are refuted, its supersets are too."""
    depth = tree.depth[0]
    flipped = np.zeros(k, dtype=np.bool_)
    _add_falls(region, tree)
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
def _add_falls(region: Region, tree: Tree) -> None:
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
    falls, even = tree.falls[depth], tree.depth[0] % 2 == 0
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
        for a in range(size):
            coefficient[a] += weight * (fresh[a] - coefficient[a])
            share[a] -= weight * share[a]
        if deep:
            now[0] = on
            activation += weight * (now - activation)
            now[:] = activation
        classes = colour_bound(coefficient, conflict, size, order, reach, colour, chosen)
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
def _bound_children(
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
    _add_falls(region, tree)
    _find_conflicts(region, tree, kept, spare, size, conflict)
    groups, interval = _interval_bound(terms, tree, size, room)
    if interval < worth:
        return
    steps = STEPS if depth > 0 else ROOT_STEPS
    if _joint_bound(terms, tree, size, groups, worth, steps, room) < worth:
        return
    for a in range(size):
        order[a] = kept[order[a]]
        reach[a] = min(reach[a] + tree.start[depth], interval)
    tree.position[depth] = size - 1

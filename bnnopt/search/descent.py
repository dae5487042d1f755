r"""All subsets of a few flips, one flip decided after the other, pruned by interval arithmetic.

Compiled. A node has decided the first flips of an order; the others may or may not be made. It
keeps the range of every layer's surplus, which each decision shrinks: a neuron is decided where
its range does not contain both signs, and what that does to the layer after it is a row added to
its ranges. A node ends where no target's margin can be as large as wanted. So it costs about what
a set costs in Gray code order, and near the leaves most nodes end; where bounds by functions are
weak, in deep networks, no other search over a few flips was as fast (docs/search.md).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.compiled import compiled, inlined
from bnnopt.search.position import TargetTerms
from bnnopt.search.problem import Region
from bnnopt.search.rows import add_row, copy_row

__all__ = [
    "NODES_A_VISIT",
    "Descent",
    "begin_descent",
    "copied",
    "descend",
    "is_over",
    "new_descent",
]

Array = Any

NODES_A_VISIT = 2**8
"""How many nodes take as long as one of a tree, which effort and reports count."""


class Descent(NamedTuple):
    """Where a descent stands; rows are depths, the first that of no decision.

    Parameters
    ----------
    depth : array of int64, shape (1,)
        Of the node whose children are visited; -1 where all sets have been.
    order : array of int64, shape (most,)
        The flips.
    count : array of int64, shape (1,)
        How many of them there are.
    choice : array of int64, shape (most,)
        Of each depth the next decision: 0 (not made), 1 (made) or 2 (both were visited).
    flipped : array of bool, shape (k,)
        The present set; the one that was found, after `descend`.
    nodes : array of int64, shape (1,)
        Visited so far.
    low, high : array of float32, shape (most + 1, neurons)
        Ranges of the surplus.
    alive : array of bool, shape (most + 1, targets)
        Whose margin may still be as large as wanted.
    spent : array of float64, shape (most + 1, budgets)
    decided : array of uint8, shape (neurons,)
        Which neurons the present decision decides: room for the work at one node.
    eights : array of uint64, shape (neurons / 8,)
        The latter, eight at a time.
    found : array of int64, shape (neurons + 8,)
        The places of those of one layer.
    """

    depth: Array
    order: Array
    count: Array
    choice: Array
    flipped: Array
    nodes: Array
    low: Array
    high: Array
    alive: Array
    spent: Array
    decided: Array
    eights: Array
    found: Array


def new_descent(region: Region, terms: TargetTerms, most: int) -> Descent:
    """One that is over, with room for so many flips."""
    neurons, (_, targets) = len(terms.needed), terms.gain.shape
    decided = np.zeros(neurons, dtype=np.uint8)
    return Descent(
        depth=np.full(1, -1),
        order=np.zeros(most, dtype=np.int64),
        count=np.zeros(1, dtype=np.int64),
        choice=np.zeros(most + 1, dtype=np.int64),
        flipped=np.zeros(len(region.demand), dtype=np.bool_),
        nodes=np.zeros(1, dtype=np.int64),
        low=np.zeros((most + 1, neurons), dtype=np.float32),
        high=np.zeros((most + 1, neurons), dtype=np.float32),
        alive=np.zeros((most + 1, targets), dtype=np.bool_),
        spent=np.zeros((most + 1, len(region.most))),
        decided=decided,
        eights=decided.view(np.uint64),
        found=np.zeros(neurons + 8, dtype=np.int64),
    )


def copied(descent: Descent) -> Descent:
    """Another one at the same place."""
    other = Descent(*map(np.copy, descent))
    return other._replace(eights=other.decided.view(np.uint64))


@compiled
def is_over(descent: Descent) -> bool:
    """Whether all sets have been visited."""
    return bool(descent.depth[0] < 0)


@compiled
def begin_descent(
    region: Region, terms: TargetTerms, descent: Descent, flipped: Array, order: Array
) -> None:
    """Begin with the sets of some flips, shape (k,), and any of others, shape (count,)."""
    low, high, start = descent.low[0], descent.high[0], terms.start
    needed, change = terms.needed, terms.change
    for j in range(len(low)):
        low[j] = -needed[j]
    copy_row(terms.surplus, low)
    copy_row(low, high)
    copy_row(flipped, descent.flipped)
    descent.spent[0] = 0.0
    for i in range(len(flipped)):
        if flipped[i]:
            add_row(descent.spent[0], region.cost[i], 1.0)
            for j in range(start[1]):
                low[j] += change[i, j]
                high[j] += change[i, j]
    for i in order:
        for j in range(start[1]):
            low[j] += min(change[i, j], np.float32(0.0))
            high[j] += max(change[i, j], np.float32(0.0))
    for layer in range(len(terms.block) - 1):
        _begin_layer(terms, layer, low, high)
    copy_row(order, descent.order)
    descent.count[0] = len(order)
    descent.depth[0] = 0
    descent.choice[0] = 0
    descent.alive[0] = True


@compiled
def _begin_layer(terms: TargetTerms, layer: int, low: Array, high: Array) -> None:
    """Ranges of the layer after one, by the one's."""
    first, end, last = terms.start[layer], terms.start[layer + 1], terms.start[layer + 2]
    width = last - end
    for j in range(end - first):
        if high[first + j] < 0.0:
            continue
        at, is_sure = terms.block[layer] + j * width, low[first + j] >= 0.0
        for i in range(width):
            w = terms.weight[at + i]
            low[end + i] += w if is_sure else min(w, np.float32(0.0))
            high[end + i] += w if is_sure else max(w, np.float32(0.0))


@compiled
def descend(
    region: Region,
    terms: TargetTerms,
    descent: Descent,
    conflict: Array,
    wanted: Array,
    budget: int,
) -> bool:
    """Go on until a set is found that is wanted, `budget` nodes are visited, or none is left.

    Parameters
    ----------
    region : Region
    terms : TargetTerms
    descent : Descent
    conflict : array of bool, shape (k, k)
        Which two of the flips cannot both be made.
    wanted : array of float64, shape (targets,)
        Margins from which on a set is wanted.
    budget : int

    Returns
    -------
    bool
        Whether one is found: ``descent.flipped``.

    Notes
    -----
    Fields of named tuples are counted references, so that no loop here may ask for one.
    """
    flipped, choice, order, count = descent.flipped, descent.choice, descent.order, descent.count[0]
    spent, cost, most, alive = descent.spent, region.cost, region.most, descent.alive
    neurons, targets = descent.low.shape[1], len(wanted)
    low, high = descent.low.reshape(-1), descent.high.reshape(-1)
    room, layers = (descent.decided, descent.eights, descent.found), (terms.start, terms.block)
    change, weight = terms.change.reshape(-1), terms.weight
    gain, last, width = terms.gain_above, terms.start[-2], terms.start[1]
    unit, constant = terms.gain_unit, terms.constant
    depth, nodes, is_found = descent.depth[0], 0, False
    if count == 0 and depth == 0:  # one set only
        is_new = choice[0] == 0
        choice[0] = 2
        if is_new and _keep_alive(gain, unit, constant, low, high, last, wanted, alive, 0):
            return True
        descent.depth[0] = -1
        return False
    while depth >= 0 and nodes < budget and not is_found:
        i, made = order[depth], choice[depth] == 1
        if choice[depth] == 2:
            flipped[i] = False
            depth -= 1
            continue
        choice[depth] += 1
        after = depth + 1
        if made and _conflicts(conflict, i, order, depth, flipped):
            continue
        if _exceeds(spent, depth, cost, i, made, most):
            continue
        flipped[i] = made
        nodes += 1
        for t in range(targets):
            alive[after, t] = alive[depth, t]
        before, then = depth * neurons, after * neurons
        _copy_part(low, before, neurons)
        _copy_part(high, before, neurons)
        _tell(low, high, then, change, i * width, width, made)
        _decide(low, high, before, then, weight, layers, room)
        if not _keep_alive(gain, unit, constant, low, high, then + last, wanted, alive, after):
            flipped[i] = False
        elif after == count:
            is_found = True
        else:
            depth = after
            choice[depth] = 0
    descent.depth[0] = depth
    descent.nodes[0] += nodes
    return is_found


@compiled
def _exceeds(spent: Array, depth: int, cost: Array, i: int, made: bool, most: Array) -> bool:
    """Write what is spent after a decision about one flip; whether it is too much."""
    is_more = False
    for b in range(len(most)):
        spent[depth + 1, b] = spent[depth, b] + (cost[i, b] if made else 0.0)
        is_more |= spent[depth + 1, b] > most[b]
    return is_more


@inlined
def _decide(
    low: Array,
    high: Array,
    before: int,
    then: int,
    weight: Array,
    layers: tuple[Array, Array],
    room: tuple[Array, Array, Array],
) -> None:
    """Ranges of the layers behind the second one, by what those before it have become."""
    (start, block), (decided, eights, found) = layers, room
    for layer in range(len(block) - 1):
        first, end, last = start[layer], start[layer + 1], start[layer + 2]
        _mark(low, high, before, then, first, end, decided)
        for a in range(_places(decided, eights, found, first, end)):
            at = block[layer] + (found[a] - first) * (last - end)
            is_on = low[then + found[a]] >= np.float32(0.0)
            _tell(low, high, then + end, weight, at, last - end, is_on)


@compiled
def _conflicts(conflict: Array, i: int, order: Array, count: int, flipped: Array) -> bool:
    """Whether a flip of the first ones in the order is made that one conflicts with."""
    conflicts = False
    for a in range(count):
        conflicts |= flipped[order[a]] & conflict[i, order[a]]
    return conflicts


@inlined
def _copy_part(table: Array, at: int, width: int) -> None:
    """Copy a part of a flat table to the next one.

    This and what follows work on parts without views, which cost more than the sums. Indices
    without a sign need no test for those from the end, so that they become vector instructions.
    """
    of, to = np.uint64(at), np.uint64(at + width)
    for j in range(np.uint64(width)):
        table[to + j] = table[of + j]


@compiled
def _mark(
    low: Array, high: Array, before: int, then: int, first: int, end: int, decided: Array
) -> None:
    """Which neurons of a layer are decided after and were open before."""
    zero, of, to = np.float32(0.0), np.uint64(before), np.uint64(then)
    for j in range(np.uint64(first), np.uint64(end)):
        was_open = (low[of + j] < zero) & (high[of + j] >= zero)
        decided[j] = np.uint8(was_open & ((low[to + j] >= zero) | (high[to + j] < zero)))


@compiled
def _places(decided: Array, eights: Array, found: Array, first: int, end: int) -> int:
    """The places of the neurons of a layer that are decided, and how many; most are not."""
    count = 0
    for eight in range(first // 8, end // 8):
        if eights[eight] != 0:
            for j in range(8 * eight, 8 * eight + 8):
                found[count] = j
                count += int(decided[j])
    return count


@inlined
def _tell(
    low: Array, high: Array, first: int, rows: Array, at: int, width: int, is_on: bool
) -> None:
    """Ranges of a layer where a neuron before it, or a flip, has become on for sure, or off."""
    zero, to, of = np.float32(0.0), np.uint64(first), np.uint64(at)
    if is_on:
        for i in range(np.uint64(width)):
            low[to + i] += max(rows[of + i], zero)
            high[to + i] += min(rows[of + i], zero)
    else:
        for i in range(np.uint64(width)):
            low[to + i] -= min(rows[of + i], zero)
            high[to + i] -= max(rows[of + i], zero)


@compiled
def _keep_alive(
    gain: Array,
    unit: float,
    constant: Array,
    low: Array,
    high: Array,
    last: int,
    wanted: Array,
    alive: Array,
    depth: int,
) -> bool:
    """Drop the targets whose margin cannot be as large as wanted; whether any is left."""
    left = False
    for target in range(len(wanted)):
        if alive[depth, target]:
            most = _most(gain, target, low, high, last)
            alive[depth, target] = constant[target] + most * unit >= wanted[target]
            left |= alive[depth, target]
    return left


@compiled
def _most(gain: Array, target: int, low: Array, high: Array, last: int) -> int:
    """At least what the last layer adds to the margin, by its ranges, in steps of the gain."""
    zero, at = np.int32(0), np.uint64(last)
    total = zero
    for j in range(np.uint64(gain.shape[1])):
        total += max(gain[target, j], zero) if high[at + j] >= np.float32(0.0) else zero
        total += min(gain[target, j], zero) if low[at + j] >= np.float32(0.0) else zero
    return int(total)

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
from bnnopt.search.rows import add_row, copy_row, exceeds

__all__ = ["Descent", "begin_descent", "copied", "descend", "is_over", "new_descent"]

Array = Any


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
    low, high, decided = descent.low, descent.high, descent.decided
    eights, found, change = descent.eights, descent.found, terms.change
    weight, start, block, constant = terms.weight, terms.start, terms.block, terms.constant
    unit = terms.gain_unit
    gain, last = terms.gain_above, start[-2]
    depth, nodes, is_found = descent.depth[0], 0, False
    if count == 0 and depth == 0:  # one set only
        is_new = choice[0] == 0
        choice[0] = 2
        if is_new and _keep_alive(gain, unit, constant, low[0], high[0], last, wanted, alive[0]):
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
        copy_row(spent[depth], spent[after])
        if made:
            add_row(spent[after], cost[i], 1.0)
            if exceeds(spent[after], most) or _conflicts(conflict[i], order, depth, flipped):
                continue
            flipped[i] = True
        nodes += 1
        before, then = (low[depth], high[depth]), (low[after], high[after])
        _decide(before, then, change[i], made, (start, block, weight), (decided, eights, found))
        copy_row(alive[depth], alive[after])
        if not _keep_alive(
            gain, unit, constant, low[after], high[after], last, wanted, alive[after]
        ):
            flipped[i] = False
        elif after == count:
            is_found = True
        else:
            depth = after
            choice[depth] = 0
    descent.depth[0] = depth
    descent.nodes[0] += nodes
    return is_found


@inlined
def _decide(
    before: tuple[Array, Array],
    then: tuple[Array, Array],
    change: Array,
    made: bool,
    layers: tuple[Array, Array, Array],
    room: tuple[Array, Array, Array],
) -> None:
    """Ranges of all layers, low and high, after a decision about one flip."""
    (low, high), (after_low, after_high) = before, then
    (start, block, weight), (decided, eights, found) = layers, room
    copy_row(low, after_low)
    copy_row(high, after_high)
    if made:
        _tell_on(after_low, after_high, change)
    else:
        _tell_off(after_low, after_high, change)
    for layer in range(len(block) - 1):
        first, end, last = start[layer], start[layer + 1], start[layer + 2]
        _mark(low, high, after_low, after_high, first, end, decided)
        for a in range(_places(decided, eights, found, first, end)):
            at = block[layer] + (found[a] - first) * (last - end)
            row = weight[at : at + last - end]
            if after_low[found[a]] >= 0.0:
                _tell_on(after_low[end:last], after_high[end:last], row)
            else:
                _tell_off(after_low[end:last], after_high[end:last], row)


@compiled
def _conflicts(conflict: Array, order: Array, count: int, flipped: Array) -> bool:
    """Whether a flip of the first ones in the order is made that one conflicts with."""
    conflicts = False
    for a in range(count):
        conflicts |= flipped[order[a]] & conflict[order[a]]
    return conflicts


@compiled
def _mark(
    low: Array,
    high: Array,
    after_low: Array,
    after_high: Array,
    first: int,
    end: int,
    decided: Array,
) -> None:
    """Which neurons of a layer are decided after and were open before."""
    zero = np.float32(0.0)
    for j in range(np.uint64(first), np.uint64(end)):
        was_open = (low[j] < zero) & (high[j] >= zero)
        decided[j] = np.uint8(was_open & ((after_low[j] >= zero) | (after_high[j] < zero)))


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


@compiled
def _tell_on(low: Array, high: Array, row: Array) -> None:
    """Ranges of a layer where a neuron before it has become on for sure."""
    zero = np.float32(0.0)
    for i in range(len(row)):
        low[i] += max(row[i], zero)
        high[i] += min(row[i], zero)


@compiled
def _tell_off(low: Array, high: Array, row: Array) -> None:
    """Likewise where it has become off."""
    zero = np.float32(0.0)
    for i in range(len(row)):
        low[i] -= min(row[i], zero)
        high[i] -= max(row[i], zero)


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
) -> bool:
    """Drop the targets whose margin cannot be as large as wanted; whether any is left."""
    left = False
    for target in range(len(alive)):
        if alive[target]:
            most = _most(gain[target], low[last:], high[last:])
            alive[target] = constant[target] + most * unit >= wanted[target]
            left |= alive[target]
    return left


@compiled
def _most(gain: Array, low: Array, high: Array) -> int:
    """At least what the last layer adds to the margin, by its ranges, in steps of the gain."""
    zero = np.int32(0)
    total = zero
    for j in range(len(gain)):
        total += max(gain[j], zero) if high[j] >= np.float32(0.0) else zero
        total += min(gain[j], zero) if low[j] >= np.float32(0.0) else zero
    return int(total)

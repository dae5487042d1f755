r"""All sets of free flips whose cost lies between two numbers, by what they do to the second layer.

Compiled. Flips are sorted by what they cost, and a set is visited as the flips before its last one,
and that. So the last flips are visited in a row, for all of which a few neurons of the second layer
decide: those that one flip more can turn (docs/search.md, "Cheap sets"). Which neurons have turned
is what the network behind them sees, and a few hundred thousand such *patterns* stand for many
millions of sets. A pattern is a mask with a bit for each neuron that any set of the level can turn;
those that are no flip are remembered, as they are and not by a hash, so that no two are confused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.cheap_walk import PATTERNS, WORD, CheapFlips, Walk
from bnnopt.search.compiled import compiled
from bnnopt.search.position import TargetTerms
from bnnopt.search.rows import add_row

__all__ = ["score_each", "visit_sets"]

Array = Any
Scalar = Any

MIXED = np.uint64(0x9E3779B97F4A7C15)
"""An odd number near 2^64 over the golden ratio, to spread the places of patterns."""


@compiled
def visit_sets(
    terms: TargetTerms,
    flips: CheapFlips,
    walk: Walk,
    above: int,
    most: int,
    parts: int,
    wanted: Array,
    budget: int,
) -> bool:
    """Go on until a set is found that is wanted, so many sets are visited, or none is left.

    Parameters
    ----------
    terms : TargetTerms
    flips : CheapFlips
    walk : Walk
    above, most : int
        Sets cost more than the one, and at most the other.
    parts : int
        Of so many first flips, this walk has one.
    wanted : array of float64, shape (targets,)
        Margins from which on a set is wanted.
    budget : int

    Returns
    -------
    bool
        Whether one is found: ``walk.members[: walk.depth[0] + 1]``.

    Notes
    -----
    Fields of named tuples are counted references, so that no loop here may ask for one.
    """
    cost, members, following = flips.cost, walk.members, walk.following
    last, spent, sums, near = walk.last, walk.spent, walk.sums, walk.near
    change, depth, visited = flips.change, walk.depth[0], 0
    while depth >= 0 and visited < budget:
        begin = following[depth]
        if last[depth] >= 0:
            begin = max(last[depth], _first_of(cost, above - spent[depth] + 1))
            end = _first_of(cost, most - spent[depth] + 1)
            last[depth] = -1
            visited += max(end - begin, 0)
            at = _visit_last(terms, flips, walk, depth, begin, end, wanted)
            if at >= 0:
                members[depth], last[depth] = at, at + 1
                walk.depth[0] = depth
                walk.visited[0] += visited
                return True
            continue
        if begin + 1 >= len(cost) or spent[depth] + cost[begin] + cost[begin + 1] > most:
            depth -= 1
            continue
        following[depth] += parts if depth == 0 else 1
        visited += 1
        if _is_blocked(flips, walk, depth, begin):
            continue
        members[depth] = begin
        _pay(flips, walk, depth, begin)
        for a in range(len(near)):
            sums[depth + 1, a] = sums[depth, a] + change[begin, near[a]]
        spent[depth + 1] = spent[depth] + cost[begin]
        depth += 1
        following[depth], last[depth] = begin + 1, begin + 1
    walk.depth[0] = depth
    walk.visited[0] += visited
    return False


@compiled
def _first_of(cost: Array, least: int) -> int:
    """The first place of a cost that is at least so much."""
    low, high = 0, len(cost)
    while low < high:
        middle = (low + high) // 2
        if cost[middle] < least:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _is_blocked(flips: CheapFlips, walk: Walk, depth: int, flip: int) -> bool:
    """Whether the present set has a flip of this pixel, or no budget for it."""
    pixel, members, other, most, paid = (
        flips.pixel,
        walk.members,
        flips.other,
        flips.most,
        walk.paid,
    )
    blocked = False
    for a in range(depth):
        blocked |= pixel[members[a]] == pixel[flip]
    for b in range(len(most)):
        blocked |= paid[depth, b] + other[flip, b] > most[b]
    return blocked


@compiled
def _pay(flips: CheapFlips, walk: Walk, depth: int, flip: int) -> None:
    """Take the further budgets' share of a flip."""
    other, paid = flips.other, walk.paid
    for b in range(other.shape[1]):
        paid[depth + 1, b] = paid[depth, b] + other[flip, b]


@compiled
def _visit_last(
    terms: TargetTerms,
    flips: CheapFlips,
    walk: Walk,
    depth: int,
    begin: int,
    end: int,
    wanted: Array,
) -> int:
    """The first of some flips that makes the present set a wanted one; -1 if none does."""
    mask, known = walk.mask, walk.known
    words = len(mask)
    if begin >= end or not _set_masks(flips, walk.near, walk.sums[depth], mask, begin, end):
        return -1  # a flip more has the pattern of the set without it
    for i in range(begin, end):
        place = _place(mask, i)
        is_known = True
        for word in range(words):
            is_known &= known[place, word] == mask[word, i]
        if is_known or _is_blocked(flips, walk, depth, i):
            continue
        if _pattern_is_wanted(terms, flips, walk, i, wanted):
            return i
        for word in range(words):
            known[place, word] = mask[word, i]
    return -1


@compiled
def _place(mask: Array, flip: int) -> int:
    """Of a pattern among the known ones."""
    mixed = np.uint64(0)
    for word in range(len(mask)):
        mixed = (mixed ^ mask[word, flip]) * MIXED
        mixed ^= mixed >> np.uint64(32)
    return int(mixed & np.uint64(PATTERNS - 1))


@compiled
def _set_masks(
    flips: CheapFlips, near: Array, sums: Array, mask: Array, begin: int, end: int
) -> bool:
    """Mark for each flip the neurons that are turned with it; whether it could turn any itself."""
    column, lowest, highest, at_image = flips.column, flips.lowest, flips.highest, flips.surplus
    could, zero = False, np.float32(0.0)
    mask[:, begin:end] = 0
    for a in range(len(near)):
        j, word, bit = near[a], mask[a // WORD], np.uint64(1) << np.uint64(a % WORD)
        was_on, is_on = at_image[j] >= zero, sums[a] >= zero
        if (sums[a] + lowest[j] < zero) if is_on else (sums[a] + highest[j] >= zero):
            could = True
            _mark_turned(word, column[j], begin, end, sums[a], was_on, bit)
        elif was_on != is_on:
            _mark_all(word, begin, end, bit)
    return could


@compiled
def _mark_turned(
    word: Array, column: Array, begin: int, end: int, total: Scalar, was_on: bool, bit: Scalar
) -> None:
    zero, no = np.float32(0.0), np.uint64(0)
    if was_on:
        for i in range(np.uint64(begin), np.uint64(end)):
            word[i] |= bit if total + column[i] < zero else no
    else:
        for i in range(np.uint64(begin), np.uint64(end)):
            word[i] |= bit if total + column[i] >= zero else no


@compiled
def _mark_all(word: Array, begin: int, end: int, bit: Scalar) -> None:
    for i in range(np.uint64(begin), np.uint64(end)):
        word[i] |= bit


@compiled
def _pattern_is_wanted(
    terms: TargetTerms, flips: CheapFlips, walk: Walk, flip: int, wanted: Array
) -> bool:
    """Whether the network behind a pattern has a wanted margin."""
    mask, near, turned, visited = walk.mask, walk.near, walk.turned, walk.visited
    count = 0
    for a in range(len(near)):
        turned[count] = near[a]
        count += int((mask[a // WORD, flip] >> np.uint64(a % WORD)) & np.uint64(1))
    visited[1] += 1
    _pass_on(terms, flips, walk, flips.surplus, flips.total, walk.surplus, count)
    total, constant, unit, is_wanted = walk.total, terms.constant, terms.gain_unit, False
    for target in range(len(total)):
        is_wanted |= constant[target] + total[target] * unit >= wanted[target]
    return is_wanted


@compiled
def _pass_on(
    terms: TargetTerms,
    flips: CheapFlips,
    walk: Walk,
    before: Array,
    before_total: Array,
    after: Array,
    count: int,
) -> None:
    """Surplus of the layers after the second, and gains, where `count` of its neurons turn."""
    start, block, weight, gain = terms.start, terms.block, terms.weight, flips.gain
    turned, total = walk.turned, walk.total
    layers = len(block) - 1
    for layer in range(layers):
        first, end, last = start[layer], start[layer + 1], start[layer + 2]
        for j in range(np.uint64(end), np.uint64(last)):
            after[j] = before[j]
        for a in range(count):
            at = block[layer] + (turned[a] - first) * (last - end)
            sign = np.float32(1.0) if before[turned[a]] < np.float32(0.0) else np.float32(-1.0)
            add_row(after[end:last], weight[at : at + last - end], sign)
        count = _find_turned(walk, before, after, end, last)
    for target in range(len(total)):
        total[target] = before_total[target]
    for a in range(count):
        once = np.int32(1) if before[turned[a]] < np.float32(0.0) else np.int32(-1)
        add_row(total, gain[turned[a] - start[layers]], once)


@compiled
def _find_turned(walk: Walk, before: Array, after: Array, first: int, end: int) -> int:
    """The places of the neurons of a layer that turn, and how many; most do not."""
    switched, eights, turned = walk.switched, walk.eights, walk.turned
    zero, count = np.float32(0.0), 0
    for j in range(np.uint64(first), np.uint64(end)):
        switched[j] = np.uint8((before[j] >= zero) != (after[j] >= zero))
    for eight in range(first // 8, end // 8):
        if eights[eight] != 0:
            for j in range(8 * eight, 8 * eight + 8):
                turned[count] = j
                count += int(switched[j])
    return count


@compiled
def score_each(
    terms: TargetTerms, flips: CheapFlips, walk: Walk, members: Array, end: int, score: Array
) -> None:
    """The best margin of a set and each of the first `end` flips, in units.

    Parameters
    ----------
    terms : TargetTerms
    flips : CheapFlips
    walk : Walk
        Only what is room for the forward pass is used.
    members : array of int64, shape (size,)
    end : int
    score : array of float64, shape (end,)
        Filled in; -inf where the flip cannot join the set.
    """
    change, r = flips.change, flips.change.shape[1]
    constant, unit, total = terms.constant, terms.gain_unit, walk.total
    pixel, other, most = flips.pixel, flips.other, flips.most
    base = flips.surplus[:r].copy()
    paid = np.zeros(len(most))
    for i in members:
        add_row(base, change[i], np.float32(1.0))
        add_row(paid, other[i], 1.0)
    after = walk.surplus
    for i in range(end):
        blocked = False
        for member in members:
            blocked |= pixel[member] == pixel[i]
        for b in range(len(most)):
            blocked |= paid[b] + other[i, b] > most[b]
        score[i] = -np.inf
        if blocked:
            continue
        for j in range(r):
            after[j] = base[j] + change[i, j]
        count = _find_turned(walk, flips.surplus, after, 0, r)
        _pass_on(terms, flips, walk, flips.surplus, flips.total, after, count)
        for target in range(len(total)):
            score[i] = max(score[i], constant[target] + total[target] * unit)

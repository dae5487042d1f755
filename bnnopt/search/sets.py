r"""Search for sets of candidates at which a quadratic function is large.

Compiled. The function is ``value + sum of single_i + sum of pair_ij`` over the members and the
pairs of members. Depth first over sets without a conflicting pair, the last member in the order
first; a branch ends where it is not worth it even if every candidate left adds what it adds at
most: itself, and half of each pair of those left that it gains from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.bound import margin_of
from bnnopt.search.compiled import compiled
from bnnopt.search.problem import MarginTerms
from bnnopt.search.rows import copy_row
from bnnopt.search.workspace import Workspace

__all__ = ["find_set", "sort_candidates", "walk_sets"]

Array = Any

NONE = -1

CONFLICT = -np.inf
"""What a conflicting pair counts for: no set with one is worth anything."""

LARGEST_SMALL = 2.0**24
"""Whole numbers up to which single precision is exact."""

PAIR_SHARE = 0.125
"""What of its pairs a candidate's place in the order depends on: sets have few members, so most of
its partners are not in them (docs/search.md)."""


@compiled
def sort_candidates(size: int, order: Array, space: Workspace) -> None:
    """Sort places by what they may add into `order`, shape (k,), and state the function by it.

    ``space.gain`` gets the halves of pairs, by how many candidates are left, and ``space.reach``
    what the candidates up to each could add together.
    """
    single, pair, conflict = space.by_single, space.by_pair, space.conflict
    sorted_single, sorted_pair, gain = space.single[0], space.pair, space.gain
    key = space.reach  # before it gets its own values
    for a in range(size):
        total = single[a]
        for b in range(size):
            if not conflict[a, b] and pair[a, b] > 0.0:
                total += PAIR_SHARE * pair[a, b]
        key[a] = total
    for a in range(size):  # insertion sort: the lists are short
        b = a
        while b > 0 and key[order[b - 1]] > key[a]:
            order[b] = order[b - 1]
            b -= 1
        order[b] = a
    gain[0, :size] = 0.0
    for a in range(size):
        i = order[a]
        sorted_single[a] = single[i]
        for b in range(size):
            value = CONFLICT if conflict[i, order[b]] else pair[i, order[b]]
            sorted_pair[a, b] = value
            gain[a + 1, b] = gain[a, b] + (0.5 * value if value > 0.0 and a != b else 0.0)
    for a in range(size):
        space.reach[a] = _most_added(space.single, 0, gain, a + 1)


@compiled
def find_set(value: float, last: int, wanted: float, limit: int, space: Workspace) -> int:
    """Find a set that is worth it and has its last member at place `last` of the order.

    Returns the number of its members, whose places are in ``space.path``; 0 if there is none; -1
    if `limit` sets were seen before that is known.
    """
    single, pair, gain, path = space.single, space.pair, space.gain, space.path
    values, places = np.empty(len(path)), np.empty(len(path), dtype=np.int64)
    path[0] = last
    values[1], places[1] = value + single[0, last], last - 1
    if values[1] >= wanted:
        return 1
    if values[1] + _add_member(single, 0, pair, gain, last) < wanted:
        return 0
    depth, seen, is_new = 1, 0, True
    while depth >= 1:
        at = _last_free(single, depth, places[depth])
        # Of a new depth a bound is known already.
        if at < 0 or (
            not is_new and values[depth] + _most_added(single, depth, gain, at + 1) < wanted
        ):
            depth -= 1
            is_new = False
            continue
        path[depth], places[depth] = at, at - 1
        new = values[depth] + single[depth, at]
        if new >= wanted:
            return depth + 1
        seen += 1
        if seen == limit:
            return -1
        added = _add_member(single, depth, pair, gain, at)
        is_new = new + added >= wanted
        if is_new:
            depth += 1
            values[depth], places[depth] = new, at - 1
    return 0


@compiled
def walk_sets(
    terms: MarginTerms,
    surplus: Array,
    order: Array,
    value: float,
    wanted: float,
    limit: int,
    space: Workspace,
) -> int:
    """How many of the first candidates may have a set among them whose margin is worth it.

    Goes, as `find_set`, through the sets that the function allows to be worth it, the last member
    in the order first, and looks at the margin of each, which the function bounds from above. It
    stops at a set that is worth it, or after `limit` sets; sets with a later last member are all
    seen then, so that those candidates are in none that is left.

    Parameters
    ----------
    terms : MarginTerms
        Of a network with two hidden layers.
    surplus : array of float32, shape (r,)
        Of the second layer, without candidates.
    order : array of int64, shape (size,)
        The candidates, as places in ``space.kept``; by `sort_candidates`.
    value, wanted : float
    limit : int
    space : Workspace

    Returns
    -------
    int
        `NONE` if there is no such set; 0 if only that of no candidate is left.
    """
    if margin_of(terms, surplus) >= wanted:
        return len(order)
    single, pair, gain, path = space.single, space.pair, space.gain, space.path
    values, places = np.empty(len(path)), np.empty(len(path), dtype=np.int64)
    values[0], places[0] = value, len(order) - 1
    change, kept, sums = terms.change, space.kept, space.least
    gains, constant, small = terms.gain, terms.constant, space.small_gain
    is_small, zero = _make_small(gains, small), np.float32(0.0)
    copy_row(surplus, sums[0])
    depth = seen = known = 0
    is_new = False
    while depth >= 0:
        at = _last_free(single, depth, places[depth])
        # Of a new depth a bound is known already.
        if at < 0 or (
            not is_new and values[depth] + _most_added(single, depth, gain, at + 1) < wanted
        ):
            depth -= 1
            is_new = False
            continue
        path[depth], places[depth] = at, at - 1
        if seen == limit:
            return int(places[0]) + 2
        seen += 1
        new = values[depth] + single[depth, at]
        known = min(known, depth)
        if new >= wanted:
            margin = constant  # not by `margin_of`: to hand over named tuples takes longer
            for d in range(known, depth + 1):
                flip = kept[order[path[d]]]
                if is_small:
                    margin = constant + _add_and_total(sums, d, change, flip, small, zero)
                else:
                    margin = constant + _add_and_total(sums, d, change, flip, gains, 0.0)
            known = depth + 1
            if margin >= wanted:
                return int(places[0]) + 2
        added = _add_member(single, depth, pair, gain, at)
        is_new = new + added >= wanted
        if is_new:
            depth += 1
            values[depth], places[depth] = new, at - 1
    return NONE


@compiled
def _make_small(gains: Array, small: Array) -> bool:
    """Write gains in single precision; whether all sums of them are exact there."""
    total, is_whole = 0.0, True
    for j in range(len(gains)):
        small[j] = gains[j]
        is_whole &= np.floor(gains[j]) == gains[j]
        total += abs(gains[j])
    return is_whole and total <= LARGEST_SMALL


@compiled
def _add_and_total(
    sums: Array, depth: int, change: Array, flip: int, gains: Array, zero: Any
) -> float:
    """Add a flip to the sums of a depth, into the next row; the gains of those that are on then."""
    total = zero  # in the precision of the gains
    for j in range(len(gains)):
        changed = sums[depth, j] + change[flip, j]
        sums[depth + 1, j] = changed
        total += gains[j] if changed >= 0.0 else zero
    return float(total)


@compiled
def _last_free(single: Array, depth: int, at: int) -> int:
    """The last candidate up to `at` that no member conflicts with, or `NONE`."""
    while at >= 0 and single[depth, at] == CONFLICT:
        at -= 1
    return at


@compiled
def _add_member(single: Array, depth: int, pair: Array, gain: Array, new: int) -> float:
    """Write what the candidates before `new` add alone beside it; what together at most.

    Like the others below it takes tables and the number of a row: to take a row of a table that
    is counted costs more than the sums over the few candidates.
    """
    total = 0.0
    for b in range(new):
        alone = single[depth, b] + pair[new, b]
        single[depth + 1, b] = alone
        most = alone + gain[new, b]
        total += most if most > 0.0 else 0.0
    return total


@compiled
def _most_added(single: Array, depth: int, gain: Array, count: int) -> float:
    """What the first candidates add together at most, if pairs gain them so much each."""
    total = 0.0
    for b in range(count):
        most = single[depth, b] + gain[count, b]
        total += most if most > 0.0 else 0.0
    return total

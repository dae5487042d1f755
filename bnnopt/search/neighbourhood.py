"""Better flip sets near one: all the ways in which a few neurons may turn, and which has a point.

Compiled. Subsets of the neurons are visited in Gray code order; a neuron that turns changes the
sums of the second layer, and those beyond only where a neuron of the layer before turned too. So
a set costs a few hundred additions, whatever the depth. The better sets that pass the tests of
pairs and of sums (`bnnopt.search.tree`) are settled, the most promising first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.reach import OPEN, REACHED, REFUTED, settle_pattern
from bnnopt.search.targets import add_row, turning

__all__ = ["Place", "Worth", "better_set", "exclude", "move_to", "new_place", "worth_of"]

Array = Any
Scalar = Any

MARGIN = 1e-6
"""Levels by which a sum must fail, as in `bnnopt.flips`."""

GAIN = 1e-9
"""What a margin must gain."""

SLACK, ENOUGH = 0.5, 0.05
"""Levels that a point's slacks aim at, and levels that suffice."""

LAST_SLACK, LAST_ENOUGH = 0.02, 2e-3
"""Likewise for a set that those leave open, where no other is better; the grid needs 1e-3."""

EASY = 50.0
"""Levels that a set's sums move for nothing, as far as the order of tests is concerned."""

MEMORY = 1 << 16
"""Sets without a point that are remembered, at most."""


class Worth(NamedTuple):
    """The margin, the best over some targets, as a function of the flips; see `MarginTerms`.

    Parameters
    ----------
    surplus : array of float32, shape (r,)
    change : array of float32, shape (k, r)
    weight : array of float32, shape (layers, r, r)
        Transposed: ``weight[at, i]`` is what neuron i adds to the layer after it.
    needed : array of float32, shape (layers, r)
    gain : array of float64, shape (r, targets)
    constant : array of float64, shape (targets,)
    """

    surplus: Array
    change: Array
    weight: Array
    needed: Array
    gain: Array
    constant: Array


class Place(NamedTuple):
    """A flip set, what the network makes of it, and sets that have no point.

    Parameters
    ----------
    flipped : array of bool, shape (k,)
    demand : array of float64, shape (1,)
        Sum of their demands.
    surplus : array of float32, shape (1 + layers, r)
        Of every layer from the second on.
    margin : array of float64, shape (targets,)
    key : array of int64, shape (1 + k,)
        A hash of the set, and what each neuron adds to it.
    without : array of int64, shape (MEMORY,)
        Hashes of sets that have no point, each at its place.
    change : array of float32, shape (r,)
    turned : array of int64, shape (r,)
        Room for the forward pass: a layer's new activations.
    """

    flipped: Array
    demand: Array
    surplus: Array
    margin: Array
    key: Array
    without: Array
    change: Array
    turned: Array


def worth_of(terms: Sequence[MarginTerms]) -> Worth:
    """Collect the terms of all targets."""
    first = terms[0]
    return Worth(
        first.surplus.astype(np.float32),
        first.change.astype(np.float32),
        np.ascontiguousarray(first.weight.transpose(0, 2, 1), dtype=np.float32),
        first.needed.astype(np.float32),
        np.stack([t.gain for t in terms], axis=1),
        np.array([t.constant for t in terms]),
    )


def new_place(worth: Worth) -> Place:
    """The empty flip set."""
    k, (layers, r) = len(worth.change), worth.needed.shape
    place = Place(
        flipped=np.zeros(k, dtype=np.bool_),
        demand=np.zeros(1),
        surplus=np.empty((1 + layers, r), dtype=np.float32),
        margin=worth.constant.copy(),
        key=np.random.default_rng(0).integers(1, 2**62, 1 + k),
        without=np.zeros(MEMORY, dtype=np.int64),
        change=np.zeros(r, dtype=np.float32),
        turned=np.zeros(r, dtype=np.int64),
    )
    place.surplus[0] = worth.surplus
    for at in range(layers):
        on = (place.surplus[at] >= 0).astype(np.float32)
        place.surplus[at + 1] = on @ worth.weight[at] - worth.needed[at]
    place.margin[:] += (place.surplus[-1] >= 0) @ worth.gain
    return place


@compiled
def _switches(surplus: Array, row: Array, sign: Scalar, turned: Array) -> int:
    """Add to a layer's surplus; how many neurons turn, and in `turned` which."""
    add_row(surplus, row, sign)
    count = 0
    for j in range(len(surplus)):
        turned[count] = j
        count += (surplus[j] >= 0.0) != (surplus[j] - sign * row[j] >= 0.0)
    return count


@compiled
def _turn(region: Region, worth: Worth, place: Place, i: int) -> None:
    """Flip neuron i, or flip it back."""
    sign = np.float32(-1.0 if place.flipped[i] else 1.0)
    place.flipped[i] = not place.flipped[i]
    place.demand[0] += sign * region.demand[i]
    place.key[0] ^= place.key[1 + i]
    turned, layers = place.turned, len(worth.needed)
    count = _switches(place.surplus[0], worth.change[i], sign, turned)
    for at in range(layers):
        if count == 0:
            return
        place.change[:] = 0.0
        for j in turned[:count]:
            rises = np.float32(1.0 if place.surplus[at, j] >= 0.0 else -1.0)
            add_row(place.change, worth.weight[at, j], rises)
        count = _switches(place.surplus[at + 1], place.change, np.float32(1.0), turned)
    for j in turned[:count]:
        rises = np.float32(1.0 if place.surplus[layers, j] >= 0.0 else -1.0)
        for t in range(len(place.margin)):
            place.margin[t] += rises * worth.gain[j, t]


@compiled
def _may_have_point(region: Region, place: Place, moving: Array, pairs: Array) -> bool:
    """Whether neither memory nor the tests of pairs and of sums exclude the present set."""
    if place.without[place.key[0] % MEMORY] == place.key[0]:
        return False
    for i in moving:
        if place.flipped[i] and np.any(pairs[i] & place.flipped):
            return False
    falls, reach = np.zeros(len(region.radius)), 0.0
    for i in range(len(place.flipped)):
        if place.flipped[i]:
            add_row(falls, region.weight[i], 1.0)
    for i in range(len(falls)):
        reach += region.radius[i] * abs(falls[i])
    return bool(reach >= place.demand[0] - MARGIN)


@compiled
def _promise(
    region: Region, worth: Worth, place: Place, moving: Array, pairs: Array, distance: Array
) -> Array:
    """What each subset of `moving`, by its turn, gains a level that sums must move; 0: nothing."""
    promise = np.zeros(1 << len(moving))
    floor = place.margin.max() + GAIN
    moved = np.zeros(len(moving), dtype=np.bool_)
    effort = EASY
    for turn in range(1, len(promise) + 1):
        at = turning(turn) if turn < len(promise) else len(moving) - 1  # the last one closes
        effort += -distance[moving[at]] if moved[at] else distance[moving[at]]
        moved[at] = not moved[at]
        _turn(region, worth, place, moving[at])
        gain = place.margin.max() - floor
        if gain > 0.0 and _may_have_point(region, place, moving, pairs):
            promise[turn % len(promise)] = gain / effort
    return promise


@compiled
def _go(region: Region, worth: Worth, place: Place, moving: Array, turn: int) -> None:
    """Turn the subset of `moving` that comes at `turn`; again, to go back."""
    for at in range(len(moving)):
        if ((turn ^ (turn >> 1)) >> at) & 1:
            _turn(region, worth, place, moving[at])


@compiled
def move_to(region: Region, worth: Worth, place: Place, flipped: Array) -> None:
    """Go to another flip set, shape (k,)."""
    for i in range(len(flipped)):
        if flipped[i] != place.flipped[i]:
            _turn(region, worth, place, i)


@compiled
def exclude(place: Place) -> None:
    """Remember that the present set has no point."""
    place.without[place.key[0] % MEMORY] = place.key[0]


@compiled
def _settle(region: Region, place: Place, slack: float, enough: float, u: Array) -> int:
    """Settle the present set, and remember it if it has no point."""
    multipliers = np.zeros(len(place.flipped))
    status = settle_pattern(region, place.flipped, slack, enough, u, multipliers)
    if status == REFUTED:
        exclude(place)
    return status


@compiled
def better_set(
    region: Region,
    worth: Worth,
    place: Place,
    moving: Array,
    pairs: Array,
    distance: Array,
    tests: int,
    settles: bool,
    u: Array,
) -> int:
    """Look for a better flip set that differs from the present one in `moving` only.

    Parameters
    ----------
    region : Region
    worth : Worth
    place : Place
        Moves to the set, unless there is none.
    moving : array of int64, shape (count,)
        Neurons, by their place in the flips.
    pairs : array of bool, shape (k, k)
        Which two neurons cannot flip together.
    distance : array of float64, shape (k,)
        Levels between each sum at the present point and its threshold.
    tests : int
        Sets that are settled, at most.
    settles : bool
        Whether to; else the first set is OPEN.
    u : array of float64, shape (m,)
        Becomes the point, in units of the radius.

    Returns
    -------
    REACHED, OPEN (a set that has neither a point nor a certificate) or REFUTED (nothing)
    """
    if len(moving) == 0:
        return REFUTED
    promise = _promise(region, worth, place, moving, pairs, distance)
    unclear = 0
    for _ in range(tests):
        turn = int(np.argmax(promise))
        if promise[turn] == 0.0:
            break
        promise[turn] = 0.0
        _go(region, worth, place, moving, turn)
        if not settles:
            return OPEN
        status = _settle(region, place, SLACK, ENOUGH, u)
        if status == REACHED:
            return REACHED
        if status == OPEN and unclear == 0:
            unclear = turn
        _go(region, worth, place, moving, turn)
    if unclear == 0:
        return REFUTED
    _go(region, worth, place, moving, unclear)
    status = _settle(region, place, LAST_SLACK, LAST_ENOUGH, u)
    if status == REFUTED:
        _go(region, worth, place, moving, unclear)
    return status

r"""A flip set on the move, and what the network makes of it.

Compiled. A neuron that turns changes the sums of the second layer, and those beyond only where a
neuron of the layer before turned too. So a set costs a few hundred additions, whatever the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.gray_code import add_row
from bnnopt.search.problem import MarginTerms, Region, budget_multiplier, certain_by

__all__ = [
    "Place",
    "Worth",
    "exclude",
    "move_to",
    "new_place",
    "passes_sum_test",
    "turn",
    "worth_of",
]

Array = Any
Scalar = Any

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
def turn(region: Region, worth: Worth, place: Place, i: int) -> None:
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
def move_to(region: Region, worth: Worth, place: Place, flipped: Array) -> None:
    """Go to another flip set, shape (k,); the sum that rounding can change is made anew."""
    for i in range(len(flipped)):
        if flipped[i] != place.flipped[i]:
            turn(region, worth, place, i)
    place.demand[0] = 0.0
    for i in range(len(flipped)):
        if flipped[i]:
            place.demand[0] += region.demand[i]


@compiled
def passes_sum_test(region: Region, place: Place) -> bool:
    """Whether the sum of the flips does not exclude the present set (`bnnopt.search.tree`)."""
    falls, reach, size = np.zeros(len(region.radius)), 0.0, -region.always
    for i in range(len(place.flipped)):
        if place.flipped[i]:
            add_row(falls, region.weight[i], 1.0)
            size += 1
    demand, more = place.demand[0], 0.0
    if region.always > 0:
        more = budget_multiplier(region, size) - 1.0
        add_row(falls, region.weight[-1], more)
        demand += more * region.demand[-1]
    for i in range(len(falls)):
        reach += region.radius[i] * abs(falls[i])
    return bool(reach >= demand - certain_by(region, size + region.always + more))


@compiled
def exclude(place: Place) -> None:
    """Remember that the present set has no point."""
    place.without[place.key[0] % MEMORY] = place.key[0]

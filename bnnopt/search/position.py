r"""A flip set on the move, and what the network makes of it.

Compiled. A neuron that turns changes the sums of the layer after it, and those beyond only where a
neuron of that layer turned too. So a set costs a few hundred additions, whatever the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.gray_code import add_row
from bnnopt.search.problem import (
    MarginTerms,
    Region,
    budget_multiplier,
    certain_by,
    layer_weight,
)

__all__ = [
    "Position",
    "TargetTerms",
    "exclude",
    "move_to",
    "new_position",
    "passes_sum_test",
    "target_terms",
    "turn",
]

Array = Any
Scalar = Any

MEMORY = 1 << 16
"""Sets without a point that are remembered, at most."""


class TargetTerms(NamedTuple):
    """The margins of some targets, as functions of the flips; see `MarginTerms`.

    Parameters
    ----------
    surplus : array of float32, shape (r,)
    change : array of float32, shape (k, r)
    weight : array of float32
        Each matrix transposed: a row is what one neuron adds to the layer after it.
    needed : array of float32, shape (neurons,)
    gain : array of float64, shape (neurons of the last layer, targets)
    constant : array of float64, shape (targets,)
    start, block : array of int64
    """

    surplus: Array
    change: Array
    weight: Array
    needed: Array
    gain: Array
    constant: Array
    start: Array
    block: Array


class Position(NamedTuple):
    """A flip set, what the network makes of it, and sets that have no point.

    Parameters
    ----------
    flipped : array of bool, shape (k,)
    demand : array of float64, shape (1,)
        Sum of their demands.
    surplus : array of float32, shape (neurons,)
        Of every layer from the second on.
    margin : array of float64, shape (targets,)
    key : array of int64, shape (1 + k,)
        A hash of the set, and what each flip adds to it.
    without : array of int64, shape (MEMORY,)
        Hashes of sets that have no point, each at its place.
    change : array of float32, shape (neurons,)
    turned : array of int64, shape (neurons,)
        Room for the forward pass: a layer's change, and its neurons that turn.
    """

    flipped: Array
    demand: Array
    surplus: Array
    margin: Array
    key: Array
    without: Array
    change: Array
    turned: Array


def target_terms(terms: Sequence[MarginTerms]) -> TargetTerms:
    """Collect the terms of all targets, which have the same neurons."""
    first = terms[0]
    matrices = [layer_weight(first, layer).T for layer in range(1, len(first.block))]
    return TargetTerms(
        surplus=first.surplus,
        change=first.change,
        weight=np.concatenate([np.zeros(0), *(m.ravel() for m in matrices)]).astype(np.float32),
        needed=first.needed.astype(np.float32),
        gain=np.stack([t.gain for t in terms], axis=1),
        constant=np.array([t.constant for t in terms]),
        start=first.start,
        block=first.block,
    )


def new_position(terms: TargetTerms) -> Position:
    """The empty flip set."""
    k, neurons, start = len(terms.change), len(terms.needed), terms.start
    surplus = -terms.needed
    surplus[: start[1]] = terms.surplus
    for layer in range(1, len(terms.block)):
        on = (surplus[start[layer - 1] : start[layer]] >= 0).astype(np.float32)
        matrix = terms.weight[terms.block[layer - 1] : terms.block[layer]]
        surplus[start[layer] : start[layer + 1]] += on @ matrix.reshape(len(on), -1)
    last = surplus[start[-2] :] >= 0
    return Position(
        flipped=np.zeros(k, dtype=np.bool_),
        demand=np.zeros(1),
        surplus=surplus,
        margin=terms.constant + last @ terms.gain,
        key=np.random.default_rng(0).integers(1, 2**62, 1 + k),
        without=np.zeros(MEMORY, dtype=np.int64),
        change=np.zeros(neurons, dtype=np.float32),
        turned=np.zeros(neurons, dtype=np.int64),
    )


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
def turn(region: Region, terms: TargetTerms, position: Position, i: int) -> None:
    """Make flip i, or take it back."""
    sign = np.float32(-1.0 if position.flipped[i] else 1.0)
    position.flipped[i] = not position.flipped[i]
    position.demand[0] += sign * region.demand[i]
    position.key[0] ^= position.key[1 + i]
    turned, start = position.turned, terms.start
    surplus = position.surplus[: start[1]]
    count = _switches(surplus, terms.change[i], sign, turned)
    for layer in range(1, len(terms.block)):
        if count == 0:
            return
        width, matrix = start[layer + 1] - start[layer], terms.weight[terms.block[layer - 1] :]
        change = position.change[:width]
        change[:] = 0.0
        for j in turned[:count]:
            rises = np.float32(1.0 if surplus[j] >= 0.0 else -1.0)
            add_row(change, matrix[j * width : (j + 1) * width], rises)
        surplus = position.surplus[start[layer] : start[layer + 1]]
        count = _switches(surplus, change, np.float32(1.0), turned)
    for j in turned[:count]:
        rises = np.float32(1.0 if surplus[j] >= 0.0 else -1.0)
        for t in range(len(position.margin)):
            position.margin[t] += rises * terms.gain[j, t]


@compiled
def move_to(region: Region, terms: TargetTerms, position: Position, flipped: Array) -> None:
    """Go to another flip set, shape (k,); the sum that rounding can change is made anew."""
    for i in range(len(flipped)):
        if flipped[i] != position.flipped[i]:
            turn(region, terms, position, i)
    position.demand[0] = 0.0
    for i in range(len(flipped)):
        if flipped[i]:
            position.demand[0] += region.demand[i]


@compiled
def passes_sum_test(region: Region, position: Position) -> bool:
    """Whether neither the budgets nor the sum of the flips exclude the present set."""
    falls, reach, size = np.zeros(len(region.radius)), 0.0, -region.always
    cost = np.zeros(len(region.most))
    for i in range(len(position.flipped)):
        if position.flipped[i]:
            add_row(falls, region.weight[i], 1.0)
            add_row(cost, region.cost[i], 1.0)
            size += 1
    if np.any(cost > region.most):
        return False
    demand, more = position.demand[0], 0.0
    if region.always > 0:
        more = budget_multiplier(region, size) - 1.0
        add_row(falls, region.weight[-1], more)
        demand += more * region.demand[-1]
    for i in range(len(falls)):
        reach += region.radius[i] * abs(falls[i])
    return bool(reach >= demand - certain_by(region, size + region.always + more))


@compiled
def exclude(position: Position) -> None:
    """Remember that the present set has no point."""
    position.without[position.key[0] % MEMORY] = position.key[0]

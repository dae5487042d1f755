r"""A flip set on the move, and what the network makes of it.

Compiled. A neuron that turns changes the sums of the layer after it, and those beyond only where a
neuron of that layer turned too. So a set costs a few hundred additions, whatever the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.compiled import as_int, compiled, inlined
from bnnopt.search.gray_code import turning
from bnnopt.search.problem import (
    LANES,
    MarginTerms,
    Region,
    budget_multiplier,
    certain_by,
    layer_weight,
)
from bnnopt.search.rows import add_row, exceeds, zeros

__all__ = [
    "Position",
    "TargetTerms",
    "exclude",
    "move_to",
    "new_position",
    "passes_sum_test",
    "target_terms",
    "turn",
    "walk",
]

Array = Any
Scalar = Any

MOST_STEPS = 2**29
"""More than the gains of a target add up to, in steps."""

MEMORY = 1 << 16
"""Sets without a point that are remembered, at most."""


class TargetTerms(NamedTuple):
    """The margins of some targets, as functions of the flips; see `MarginTerms`.

    Layers are padded to multiples of `LANES` with neurons that are always off.

    Parameters
    ----------
    surplus : array of float32, shape (r,)
    change : array of float32, shape (k, r)
    weight : array of float32
        Each matrix transposed: a row is what one neuron adds to the layer after it.
    needed : array of float32, shape (neurons,)
    gain : array of float64, shape (neurons of the last layer, targets)
    constant : array of float64, shape (targets,)
    gain_above : array of int32, shape (targets, neurons of the last layer)
        The gain in whole steps of `gain_unit`, rounded up: sums of them are exact, and quick.
    gain_unit : float
    start, block : array of int64
    """

    surplus: Array
    change: Array
    weight: Array
    needed: Array
    gain: Array
    constant: Array
    gain_above: Array
    gain_unit: float
    start: Array
    block: Array


class Position(NamedTuple):
    """A flip set, what the network makes of it, and sets that have no point.

    Parameters
    ----------
    flipped : array of bool, shape (k,)
    surplus : array of float32, shape (neurons,)
        Of every layer from the second on.
    margin : array of float64, shape (targets,)
    key : array of int64, shape (1 + k,)
        A hash of the set, and what each flip adds to it.
    without : array of int64, shape (MEMORY,)
        Hashes of sets that have no point, each at its place.
    on, switched : array of uint8, shape (neurons,)
        Which neurons are on; which of a layer have just turned.
    eights : array of uint64, shape (neurons / 8,)
        The latter, eight at a time.
    turned : array of int64, shape (neurons + 8,)
        Room for the forward pass: those that have.
    """

    flipped: Array
    surplus: Array
    margin: Array
    key: Array
    without: Array
    on: Array
    switched: Array
    eights: Array
    turned: Array


def target_terms(terms: Sequence[MarginTerms]) -> TargetTerms:
    """Collect the terms of all targets, which have the same neurons."""
    first = terms[0]
    layers = len(first.block)
    widths = [_padded_width(int(width)) for width in np.diff(first.start)]
    matrices = [
        _padded(layer_weight(first, layer).T, widths[layer - 1], widths[layer])
        for layer in range(1, layers)
    ]
    needed = [np.ones(width) for width in widths]  # an absent neuron is off
    for layer in range(layers):
        part = first.needed[first.start[layer] : first.start[layer + 1]]
        needed[layer][: len(part)] = part
    surplus = np.full(widths[0], -1.0)
    surplus[: len(first.surplus)] = first.surplus
    gain = np.stack([t.gain for t in terms], axis=1)
    gain_above, gain_unit = _whole_steps(gain)
    return TargetTerms(
        surplus=surplus.astype(np.float32),
        change=_padded(first.change, len(first.change), widths[0]),
        weight=np.concatenate([np.zeros(0), *(m.ravel() for m in matrices)]).astype(np.float32),
        needed=np.concatenate(needed).astype(np.float32),
        gain=_padded(gain, widths[-1], gain.shape[1]),
        constant=np.array([t.constant for t in terms]),
        gain_above=_padded(gain_above.T, gain.shape[1], widths[-1]).astype(np.int32),
        gain_unit=gain_unit,
        start=np.concatenate([[0], np.cumsum(widths)]),
        block=np.concatenate([[0], np.cumsum([m.size for m in matrices])]).astype(np.int64),
    )


def _whole_steps(gain: Array) -> tuple[Array, float]:
    """Gains as whole numbers of steps, rounded up; of 1 where they are whole and small."""
    sums = float(np.abs(gain).sum(axis=0).max(initial=0.0))
    if np.all(gain == np.round(gain)) and sums < MOST_STEPS:
        return gain, 1.0
    unit = 2.0 ** (np.frexp(sums)[1] - np.log2(MOST_STEPS) + 1)
    return np.ceil(gain / unit), float(unit)


def _padded_width(width: int) -> int:
    return -(-width // LANES) * LANES


def _padded(matrix: Array, rows: int, columns: int) -> Array:
    if matrix.shape == (rows, columns):
        return matrix
    larger = np.zeros((rows, columns), dtype=matrix.dtype)
    larger[: matrix.shape[0], : matrix.shape[1]] = matrix
    return larger


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
    switched = np.zeros(neurons, dtype=np.uint8)
    return Position(
        flipped=np.zeros(k, dtype=np.bool_),
        surplus=surplus,
        margin=terms.constant + last @ terms.gain,
        key=np.random.default_rng(0).integers(1, 2**62, 1 + k),
        without=np.zeros(MEMORY, dtype=np.int64),
        on=(surplus >= 0).astype(np.uint8),
        switched=switched,
        eights=switched.view(np.uint64),
        turned=np.zeros(neurons + 8, dtype=np.int64),
    )


@inlined
def _add_part(total: Array, first: int, rows: Array, at: int, width: int, sign: Scalar) -> None:
    """Add a part of `rows` to a part of `total`.

    As `add_row`, without views, which cost more than the sum. Indices without a sign need no test
    for those from the end, so that this becomes vector instructions.
    """
    to, of = np.uint64(first), np.uint64(at)
    for j in range(np.uint64(width)):
        total[to + j] += sign * rows[of + j]


@inlined
def _find_switched(
    surplus: Array, on: Array, switched: Array, eights: Array, turned: Array, first: int, end: int
) -> int:
    """How many neurons of a layer have turned, and in `turned` which; `on` follows.

    Most have not, so that eight at a time are looked at.
    """
    for j in range(np.uint64(first), np.uint64(end)):
        switched[j] = np.uint8(surplus[j] >= 0.0) ^ on[j]
    count = 0
    for eight in range(first // 8, end // 8):
        if eights[eight] != 0:
            for j in range(8 * eight, 8 * eight + 8):
                turned[count] = j
                count += int(switched[j])
                on[j] ^= switched[j]
    return count


@compiled
def walk(
    terms: TargetTerms,
    position: Position,
    order: Array,
    steps: tuple[int, int],
    wanted: Array,
) -> int:
    """Visit subsets of some flips, in Gray code order, until one is wanted.

    Parameters
    ----------
    terms : TargetTerms
    position : Position
        At the subset of the step before.
    order : array of int64, shape (count,)
        The flips; the first turns most often.
    steps : (int, int)
        The first one, at least 1, and the one before which to end.
    wanted : array of float64, shape (targets,)
        The margin from which on a set is wanted, of each target.

    Returns
    -------
    int
        The step of the set, or the end.

    Notes
    -----
    Fields of named tuples are counted references, so that no loop here may ask for one.
    """
    flipped, key, margin = position.flipped, position.key, position.margin
    surplus, on, switched = position.surplus, position.on, position.switched
    eights, turned, change = position.eights, position.turned, terms.change.reshape(-1)
    weight, gain, start, block = terms.weight, terms.gain, terms.start, terms.block
    layers, targets = len(terms.block), len(wanted)
    for step in range(steps[0], steps[1]):
        i = order[turning(step)]
        sign = np.float32(-1.0 if flipped[i] else 1.0)
        flipped[i] = not flipped[i]
        key[0] ^= key[1 + i]
        _add_part(surplus, 0, change, i * start[1], start[1], sign)
        count = 0
        for layer in range(layers):
            first, end = start[layer], start[layer + 1]
            count = _find_switched(surplus, on, switched, eights, turned, first, end)
            if count == 0:
                break
            if layer + 1 < layers:
                width = start[layer + 2] - end
                for a in range(count):
                    j = turned[a]
                    at = block[layer] + (j - first) * width
                    _add_part(surplus, end, weight, at, width, np.float32(2.0 * on[j] - 1.0))
        if count > 0:
            first = start[layers - 1]
            for a in range(count):
                j = turned[a]
                rises = 2.0 * on[j] - 1.0
                for t in range(targets):
                    margin[t] += rises * gain[j - first, t]
        for t in range(targets):
            if margin[t] >= wanted[t]:
                return step
    return steps[1]


@compiled
def turn(terms: TargetTerms, position: Position, i: int) -> None:
    """Make flip i, or take it back."""
    only, never = np.empty(1, dtype=np.int64), np.empty(len(position.margin))
    only[0] = i
    never[:] = np.inf
    walk(terms, position, only, (as_int(1), as_int(2)), never)


@compiled
def move_to(terms: TargetTerms, position: Position, flipped: Array) -> None:
    """Go to another flip set, shape (k,)."""
    for i in range(len(flipped)):
        if flipped[i] != position.flipped[i]:
            turn(terms, position, i)


@compiled
def passes_sum_test(region: Region, flipped: Array) -> bool:
    """Whether neither the budgets nor the sum of the flips exclude a set, shape (k,)."""
    falls, reach, size = zeros(len(region.radius)), 0.0, -region.always
    cost, demand, more = zeros(len(region.most)), 0.0, 0.0
    for i in range(len(flipped)):
        if flipped[i]:
            add_row(falls, region.weight[i], 1.0)
            add_row(cost, region.cost[i], 1.0)
            demand += region.demand[i]
            size += 1
    if exceeds(cost, region.most):
        return False
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

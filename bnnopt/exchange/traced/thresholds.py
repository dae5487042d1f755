"""Thresholds on whole sums for elements that jump behind a chain of functions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array, eye_array

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced.scalar import HalfLine
from bnnopt.exchange.traced.tensor import Elements, Pixels, Sums
from bnnopt.exchange.traced.whole import LARGEST_LEVEL_SUM
from bnnopt.network import HiddenLayer
from bnnopt.network.checks import MAX_WEIGHT
from bnnopt.network.convolution import Convolution
from bnnopt.network.weights import LinearMap, read_weight

__all__ = ["Indicators", "neurons_above"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TOO_FINE = 2**40
"""More than any factor of a row."""

NEAR = 1e-5
"""Relative: a bound on a pixel as near as this to a level is decided by the file's arithmetic."""


@dataclass(frozen=True, eq=False)
class Indicators:
    """Whether elements are above a jump: ``turn * neuron`` is +1 or -1, shape (count,) each.

    Parameters
    ----------
    layer : HiddenLayer
        Of the elements' base.
    row : array of int64
        Each element's neuron.
    turn : array of int8
        -1 where the neuron is on below the jump.
    bound : array of float64
        Each neuron's bound on its sum as the file has it, before it became whole; infinite for a
        constant.
    slack : array of float64
        How far each neuron's weights may be from those of the file.
    """

    layer: HiddenLayer
    row: IntArray
    turn: Array
    bound: FloatArray
    slack: FloatArray


def neurons_above(elements: Elements, jump: int) -> Indicators:
    """Neurons that tell whether elements are above a jump, one an element.

    Parameters
    ----------
    elements : Elements
        Behind steps, with one term each.
    jump : int
        Number of the jump.
    """
    kinds, sums = _Kinds(elements, jump), elements.sums
    row = elements.terms[0].row
    linear = _rows(sums, row)
    slack = np.zeros(len(row)) if sums.off is None else sums.off[row]
    ends = np.array([float(half.at) for half in kinds.halves])[kinds.which]
    if sums.pixels is None:
        layer, turn = _of_signs(kinds, linear)
        return Indicators(layer, np.arange(len(row)), turn, ends, slack)
    layer, turn, factor = _of_pixels(kinds, linear, sums.pixels)
    return Indicators(layer, np.arange(len(row)), turn, factor * ends, np.abs(factor) * slack)


def _rows(sums: Sums, row: IntArray) -> LinearMap:
    """One row an element; a convolution remains one if all its sums are asked for in order."""
    if sums.real is not None:
        raise NetworkFormatError(
            "it sees signs by real weights that are no whole multiples of one number: only weights "
            "such as -1, 0 and +1, times a scale a row, fit before a sign"
        )
    if sums.linear is not None and np.array_equal(row, np.arange(sums.count)):
        return sums.linear
    if sums.linear is None:
        every = eye_array(sums.inputs, dtype=np.int64, format="csr")
    else:
        every = csr_array(sums.linear.matrix)
    return read_weight(every[row])


class _Kinds:
    """Elements of the same numbers: one half-line of sums above the jump for each kind."""

    def __init__(self, elements: Elements, jump: int) -> None:
        assert elements.steps is not None
        term = elements.terms[0]
        columns = [term.scale, elements.offset, elements.at]
        columns += [constant for link in elements.chain for constant in link.constants]
        table = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
        _, self.example, which = np.unique(table, axis=0, return_index=True, return_inverse=True)
        self.which = which.ravel()
        self._few = elements.take(self.example)
        self._jump = jump
        pixels = elements.sums.pixels
        self._unit = Fraction(1) if pixels is None else pixels.unit
        closed = elements.steps.closed[jump]
        self.halves = [self._half(row, closed) for row in table[self.example].tolist()]

    def _half(self, row: list[float], closed: bool) -> HalfLine:
        """The sums of one kind of element that are above the jump."""
        scale, offset, at, *constants = (
            Fraction(value) if math.isfinite(value) else value for value in row
        )
        half = HalfLine(at, True, closed)
        for link in reversed(self._few.chain):
            rest = len(constants) - len(link.constants)
            half = link.function.preimage(half, *constants[rest:])  # type: ignore[arg-type]
            if half.is_constant:
                return half
            constants = constants[:rest]
        if scale == 0:
            return HalfLine.all_or_none(offset in half)
        return half.moved((half.at - offset) / (scale * self._unit), scale < 0)

    def are_above(self, sums: Array) -> Array:
        """Whether each kind is above its jump at a sum of its own, as the file computes it."""
        few, precision = self._few, self._few.precision
        term, steps = few.terms[0], few.steps
        assert steps is not None
        x = (term.scale * float(self._unit) * sums + few.offset).astype(precision)
        with np.errstate(all="ignore"):
            for link in few.chain:
                x = link.function.values(x, *link.constants)
        at = few.at.astype(precision)
        return np.asarray(x >= at if steps.closed[self._jump] else x > at)


def _of_signs(kinds: _Kinds, linear: LinearMap) -> tuple[HiddenLayer, Array]:
    """Sums are whole: whether the nearest one to each bound is above is what the file says."""
    halves = kinds.halves
    near = np.array([0 if half.is_constant else round(half.at) for half in halves], dtype=object)
    near = np.clip(near, -(2**40), 2**40).astype(np.float64)
    above = kinds.are_above(near)
    rises = np.array([half.is_up for half in halves])
    # The first sum at which a rising one is above, or a falling one no longer is.
    first = near + (above != rises)
    layer = HiddenLayer(linear, np.zeros(linear.shape[0], dtype=np.int64))
    most = layer.magnitude
    threshold = np.clip(first[kinds.which], -most, most + 2)
    always = np.array([half.is_constant and half.at < 0 for half in halves])[kinds.which]
    never = np.array([half.is_constant and half.at > 0 for half in halves])[kinds.which]
    threshold[always], threshold[never] = -most[always], most[never] + 2
    turn = np.where(rises, 1, -1).astype(np.int8)[kinds.which]
    return HiddenLayer(linear, threshold.astype(np.int64)), turn


@dataclass(frozen=True)
class _Bound:
    """``row @ levels >= at``, or above it: a neuron that is on above the jump, or below it."""

    at: Fraction
    is_open: bool
    turn: int


def _of_pixels(
    kinds: _Kinds, linear: LinearMap, pixels: Pixels
) -> tuple[HiddenLayer, Array, IntArray]:
    """Sums are real: rows are multiplied so that their bounds become whole, exactly or nearly.

    A bound that a sum must exceed is the negation of one, of the row turned over. The last that it
    returns is what each row was multiplied by.
    """
    bounds = [_bound(half) for half in kinds.halves]
    size, total = _row_sizes(linear)
    if linear.shape[0] == len(kinds.which) and (size == total).all() and (size == 1).all():
        bounds = _as_the_file_rounds(kinds, bounds)
    share = linear.shape[0] // len(size)  # neurons of a channel, or 1
    factor, turned, threshold, turn = _whole_bounds(kinds.which, bounds, share, size, total, pixels)
    each = np.repeat(factor, share) * np.where(turned, -1, 1)
    if isinstance(linear, Convolution):
        signs = turned.reshape(len(size), share)
        if (signs == signs[:, :1]).all():
            by_channel = factor * np.where(signs[:, 0], -1, 1)
            kernel = linear.kernel.astype(np.int64) * by_channel[:, None, None, None]
            return HiddenLayer(replace(linear, kernel=kernel), threshold), turn, each
    if (each == 1).all():
        return HiddenLayer(linear, threshold), turn, each
    rows = diags_array(each, dtype=np.int64) @ csr_array(linear.matrix).astype(np.int64)
    return HiddenLayer(read_weight(rows), threshold), turn, each


def _bound(half: HalfLine) -> _Bound | bool:
    """What a neuron tests; a constant is whether the element is always above."""
    if half.is_constant:
        return bool(half.at < 0)
    assert isinstance(half.at, Fraction)
    return _Bound(half.at, half.is_closed != half.is_up, 1 if half.is_up else -1)


def _as_the_file_rounds(kinds: _Kinds, bounds: list[Any]) -> list[Any]:
    """Bounds on single pixels that lie at a level are open or closed as the file has that level."""
    near = np.array([0 if isinstance(b, bool) else round(b.at) for b in bounds], dtype=np.float64)
    above = kinds.are_above(near)
    found = []
    for bound, level, is_above in zip(bounds, near.tolist(), above.tolist(), strict=True):
        if isinstance(bound, bool) or abs(bound.at - int(level)) > NEAR * max(abs(level), 1.0):
            found.append(bound)
            continue
        is_on = is_above == (bound.turn > 0)
        found.append(_Bound(Fraction(int(level)), not is_on, bound.turn))
    return found


def _row_sizes(linear: LinearMap) -> tuple[IntArray, IntArray]:
    """The largest weight, and the sum of all, of each row or output channel."""
    if isinstance(linear, Convolution):
        flat = np.abs(linear.kernel.astype(np.int64)).reshape(len(linear.kernel), -1)
        return flat.max(axis=1), flat.sum(axis=1)
    rows = abs(csr_array(linear.matrix).astype(np.int64))
    return np.asarray(rows.max(axis=1).toarray()).ravel(), np.asarray(rows.sum(axis=1)).ravel()


def _whole_bounds(
    which: IntArray,
    bounds: list[Any],
    share: int,
    size: IntArray,
    total: IntArray,
    pixels: Pixels,
) -> tuple[IntArray, Array, IntArray, Array]:
    """A factor a group of rows; whether rows are turned over, thresholds and turns of each."""
    largest = np.minimum(
        MAX_WEIGHT // np.maximum(size, 1),
        LARGEST_LEVEL_SUM // (np.maximum(total, 1) * pixels.levels),
    )
    group = np.arange(len(which)) // share
    pairs, index = np.unique(group * len(bounds) + which, return_inverse=True)
    owners, own = np.divmod(pairs, len(bounds))
    factor = np.ones(len(size), dtype=np.int64)
    for owner, kind in zip(owners.tolist(), own.tolist(), strict=True):
        bound = bounds[kind]
        if isinstance(bound, _Bound) and factor[owner] <= largest[owner]:
            factor[owner] = math.lcm(int(factor[owner]), min(bound.at.denominator, TOO_FINE))
    too_fine = factor > largest
    factor[too_fine] = 2 ** np.floor(np.log2(largest[too_fine])).astype(np.int64)
    found = [
        _row(bounds[kind], int(factor[owner]), int(total[owner]) * pixels.levels)
        for owner, kind in zip(owners.tolist(), own.tolist(), strict=True)
    ]
    turned, threshold, turn = (np.array(part)[index.ravel()] for part in zip(*found, strict=True))
    return factor, turned, threshold.astype(np.int64), turn.astype(np.int8)


def _row(bound: _Bound | bool, factor: int, most: int) -> tuple[bool, int, int]:
    """Whether a row is turned over; its threshold, and what the neuron says."""
    largest = factor * most
    if isinstance(bound, bool):
        return False, -largest if bound else largest + 1, 1
    at = bound.at * factor
    if bound.is_open and at.denominator == 1:
        return True, min(max(-int(at), -largest), largest + 1), -bound.turn
    return False, min(max(math.ceil(at), -largest), largest + 1), bound.turn

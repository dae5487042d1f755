"""Means, sums and maxima of windows and axes of tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced.linear import (
    Note,
    Pair,
    Sides,
    convolve,
    linear_input,
    multiply,
    single,
)
from bnnopt.exchange.traced.scalar import SIGN
from bnnopt.exchange.traced.tensor import Elements, Tensor, Term, check_count
from bnnopt.network.convolution import Convolution

__all__ = ["max_pool", "mean_pool", "reduce"]

Array = npt.NDArray[Any]


def mean_pool(
    tensor: Tensor,
    size: Pair,
    note: Note,
    *,
    stride: Pair,
    padding: Sides = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    counts_padding: Array | None = None,
) -> Tensor:
    """Means of windows, over what is not padding, or over numbers that are given a place."""
    channels = tensor.shape[1]
    check_count(channels * math.prod(size), "a window")
    ones = np.ones((channels, 1, *size))
    given: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    total = convolve(tensor, ones, note, groups=channels, **given)
    count = counts_padding
    if count is None:
        image: Any = (1, *tensor.shape[2:])
        whole = np.ones((1, 1, *size), dtype=np.int8)
        geometry = Convolution(whole, image, **given)
        count = geometry.sums(np.ones((1, geometry.shape[1]))).reshape(geometry.output_shape[1:])
    if (np.asarray(count) == 0).any():
        raise NetworkFormatError("a window holds padding only, which has no mean")
    return total.apply("divide", np.asarray(count, dtype=np.float64))


def reduce(tensor: Tensor, axes: Sequence[int], mean: bool, keep: bool, note: Note) -> Tensor:
    """Sums or means over axes."""
    seen = linear_input(tensor)
    axes = [axis % len(seen.shape) for axis in axes]
    rest = [axis for axis in range(len(seen.shape)) if axis not in axes]
    count = math.prod(seen.shape[axis] for axis in axes)
    order = seen.moved(lambda places: places.transpose(*rest, *axes))
    flat = order.reshaped((*(seen.shape[axis] for axis in rest), count))
    total = multiply(flat, np.ones((count, 1)), note)
    shape = [1 if axis in axes else side for axis, side in enumerate(seen.shape)]
    kept = shape if keep else [side for axis, side in enumerate(shape) if axis not in axes]
    found = total.reshaped(kept)
    return found.apply("divide", np.float64(count)) if mean else found


def max_pool(
    tensor: Tensor, size: Pair, *, stride: Pair, padding: Sides, dilation: Pair = (1, 1)
) -> Tensor:
    """The maximum of each window; padding is absent."""
    if len(tensor.shape) != 4 or tensor.shape[0] != 1:
        raise NetworkFormatError(f"pooling takes (1, channels, rows, columns), not {tensor.shape}")
    image: Any = tensor.shape[1:]
    check_count(image[0] * math.prod(size), "a window")
    ones = np.ones((image[0], 1, *size), dtype=np.int8)
    geometry = Convolution(ones, image, stride, padding, dilation, image[0])
    check_count(geometry.shape[0] * math.prod(size) * tensor.pick.shape[-1])
    seen = geometry.inputs.reshape(1, *geometry.output_shape, -1)
    if (seen < 0).all(axis=-1).any():
        raise NetworkFormatError("a window holds padding only, which has no maximum")
    if _must_be_restepped(tensor):
        tensor = _restepped(tensor)
    flat = tensor.pick.reshape(-1, tensor.pick.shape[-1])
    pick = np.where(seen[..., None] < 0, -1, flat[seen]).reshape(*seen.shape[:-1], -1)
    if tensor.is_stepped:
        _check_outcomes(tensor.elements.outcomes, pick)
    in_order = not tensor.is_pooled and np.array_equal(flat.ravel(), np.arange(len(flat)))
    elements = tensor.elements.pool()
    if not in_order or len(flat) != len(elements):
        return replace(tensor, elements=elements, pick=pick, windows=None, place=None)
    place = np.arange(geometry.shape[0]).reshape(pick.shape[:-1])
    return replace(tensor, elements=elements, pick=pick, windows=geometry, place=place)


def _must_be_restepped(tensor: Tensor) -> bool:
    """Whether the maximum is not that of the number of jumps, upwards or downwards."""
    elements = tensor.elements
    if not tensor.is_stepped:  # signs that became neurons already, or real numbers
        are_neurons = elements.sums.is_plain and elements.sums.pixels is None
        return are_neurons and not elements.chain and not tensor.is_pooled
    if tensor.is_pooled:
        return True
    change = np.diff(np.stack(elements.outcomes).astype(np.float64), axis=0)
    return bool(((change > 0).any(axis=0) & (change < 0).any(axis=0)).any())


def _restepped(tensor: Tensor) -> Tensor:
    """A tensor of few values as steps on sums of neurons, which can be pooled."""
    seen = linear_input(tensor)
    sizes = np.abs(np.stack([term.scale for term in seen.elements.terms]))
    largest = sizes.max(axis=0)
    if ((sizes != largest) & (sizes != 0)).any():
        raise NetworkFormatError("it takes the maximum of three values that are not equally apart")
    seen = single(seen, lambda _: None)
    elements, (term,) = seen.elements, seen.elements.terms
    linear = elements.sums.linear
    sizes = np.ones(elements.sums.count)
    if linear is not None:
        sizes = linear.spread(np.ones(linear.shape[1]))
    reach = term.scale * sizes[term.row]
    one = Term(term.row, np.ones(len(elements)))
    sums = Elements(elements.sums, (one,), np.zeros(len(elements)))
    precision = seen.precision
    stepped = sums.stepped(SIGN, np.zeros(len(elements)), np.dtype(np.float64), precision)
    values = tuple((elements.offset + n * reach).astype(precision) for n in (-1, 0, 1))
    return replace(seen, elements=replace(stepped, outcomes=values))


def _check_outcomes(outcomes: Sequence[Array], pick: Array) -> None:
    """Whether all elements of each window have the same values."""
    first = pick.max(axis=-1, keepdims=True)
    for values in outcomes:
        if ((values[pick] != values[first]) & (pick >= 0)).any():
            raise NetworkFormatError("it takes the maximum of signs that stand for other numbers")

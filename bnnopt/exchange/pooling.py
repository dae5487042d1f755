"""Means, sums and maxima of windows and of axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.linear import check_fits, convolve, linear_input, multiply, single
from bnnopt.exchange.scalar import SIGN
from bnnopt.exchange.tensor import Elements, Tensor, Term
from bnnopt.network.convolution import Convolution

__all__ = ["max_pool", "mean_pool", "reduce"]

Array = npt.NDArray[Any]
Pair = tuple[int, int]
Sides = tuple[Pair, Pair]
Note = Callable[[str], None]


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
    check_fits((channels, *size), "a window")
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
    check_fits((image[0], *size), "a window")
    ones = np.ones((image[0], 1, *size), dtype=np.int8)
    geometry = Convolution(ones, image, stride, padding, dilation, image[0])
    seen = geometry.inputs.reshape(1, *geometry.output_shape, -1)
    if (seen < 0).all(axis=-1).any():
        raise NetworkFormatError("a window holds padding only, which has no maximum")
    if tensor.is_stepped and tensor.is_pooled:
        tensor = _restepped(tensor)
    flat = tensor.pick.reshape(-1, tensor.pick.shape[-1])
    pick = np.where(seen[..., None] < 0, -1, flat[seen]).reshape(*seen.shape[:-1], -1)
    in_order = not tensor.is_pooled and np.array_equal(flat.ravel(), np.arange(len(flat)))
    elements = tensor.elements.pool()
    if not in_order or len(flat) != len(elements):
        return replace(tensor, elements=elements, pick=pick, windows=None, place=None)
    place = np.arange(geometry.shape[0]).reshape(pick.shape[:-1])
    return replace(tensor, elements=elements, pick=pick, windows=geometry, place=place)


def _restepped(tensor: Tensor) -> Tensor:
    """A tensor of few values as steps on neurons of its own, which can be pooled again."""
    seen = single(linear_input(tensor), lambda _: None)
    elements, (term,) = seen.elements, seen.elements.terms
    linear = elements.sums.linear
    sizes = np.ones(elements.sums.count)
    if linear is not None:
        sizes = linear.spread(np.ones(linear.shape[1]))
    reach = term.scale * sizes[term.row]
    one = Term(term.row, np.ones(len(elements)))
    sums = Elements(elements.sums, (one,), np.zeros(len(elements)))
    stepped = sums.stepped(SIGN, np.zeros(len(elements)), seen.precision)
    values = tuple((elements.offset + n * reach).astype(seen.precision) for n in (-1, 0, 1))
    return replace(seen, elements=replace(stepped, outcomes=values))

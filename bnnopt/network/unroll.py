"""Parts of networks as threshold layers: convolutions, pooling, cuts of pixels.

Activations are flat, in the order channel, row, column. docs/networks.md has the table of what
becomes what.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_fraction, read_whole
from bnnopt.errors import InputError, NetworkFormatError
from bnnopt.network.checks import MAX_WEIGHT, numbers
from bnnopt.network.convolution import Convolution, Pair, Shape
from bnnopt.network.layers import HiddenLayer

__all__ = [
    "conv2d",
    "max_pool2d",
    "min_pool2d",
    "pixel_cuts",
    "pool_before_norm",
    "sum_pool2d",
]

Array = npt.NDArray[Any]
Padding = int | Pair | tuple[Pair, Pair]
Cut = float | str | Fraction


def conv2d(
    kernel: npt.ArrayLike,
    threshold: npt.ArrayLike,
    input_shape: Sequence[int],
    *,
    stride: int | Pair = 1,
    padding: Padding = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> HiddenLayer:
    """A convolution and a sign.

    Parameters
    ----------
    kernel : array_like of int, shape (out_channels, in_channels // groups, height, width)
        As in torch. Zeros are absent inputs.
    threshold : array_like of int
        One number, one a channel, or one a neuron: shape (), (out_channels,), (out,) or
        (out_channels, rows, columns). A neuron is +1 iff its sum reaches it.
    input_shape : (int, int, int)
        Channels, rows and columns.
    stride, dilation : int or (int, int)
        Of rows and columns.
    padding : int, (int, int) or ((int, int), (int, int))
        On all four sides; of rows and of columns; or above and below, left and right. Padded
        places are absent, they add 0.
    groups : int
        Of channels, each seen by its own kernels.

    Returns
    -------
    HiddenLayer
        Its `output_shape` is (out_channels, rows, columns).

    Raises
    ------
    NetworkFormatError
        If the parts do not fit.
    """
    shape = _shape(input_shape)
    convolution = Convolution(
        numbers(kernel, "a kernel"),
        shape,
        _pair(stride, "stride"),
        _sides(padding),
        _pair(dilation, "dilation"),
        groups,
    )
    return HiddenLayer(convolution, _each_neuron(threshold, convolution.output_shape))


def sum_pool2d(
    input_shape: Sequence[int],
    size: int | Pair,
    threshold: npt.ArrayLike,
    *,
    stride: int | Pair | None = None,
    padding: Padding = 0,
) -> HiddenLayer:
    """Sums of windows of ±1, channel by channel, and a sign: average pooling before a sign.

    With windows of one place and threshold 0 it is a copy of its input.

    Parameters
    ----------
    input_shape : (int, int, int)
        Channels, rows and columns.
    size : int or (int, int)
        Rows and columns of a window.
    threshold : array_like of int
        Of the sum, as for `conv2d`: a mean of n numbers reaches t iff their sum reaches n t.
    stride : int or (int, int), optional
        `size` if not given.
    padding : int, (int, int) or ((int, int), (int, int))
        As for `conv2d`.

    Returns
    -------
    HiddenLayer

    Raises
    ------
    NetworkFormatError
        If the parts do not fit.
    """
    channels, *_ = shape = _shape(input_shape)
    extent = _pair(size, "size")
    ones = np.ones((channels, 1, *extent), dtype=np.int8)
    strides = extent if stride is None else stride
    return conv2d(ones, threshold, shape, stride=strides, padding=padding, groups=channels)


def max_pool2d(
    input_shape: Sequence[int],
    size: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: Padding = 0,
) -> HiddenLayer:
    """Max pooling of ±1: a neuron is +1 iff one of the n inputs of its window is.

    Its threshold is 2 - n. A window of padding alone gives -1.

    Parameters
    ----------
    input_shape, size, stride, padding
        As for `sum_pool2d`.
    """
    channels = _shape(input_shape)[0]
    return pool_before_norm(input_shape, size, np.ones(channels), stride=stride, padding=padding)


def min_pool2d(
    input_shape: Sequence[int],
    size: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: Padding = 0,
) -> HiddenLayer:
    """Min pooling of ±1: a neuron is +1 iff all the n inputs of its window are.

    Its threshold is n. A window of padding alone gives +1.

    Parameters
    ----------
    input_shape, size, stride, padding
        As for `sum_pool2d`.
    """
    channels = _shape(input_shape)[0]
    return pool_before_norm(input_shape, size, -np.ones(channels), stride=stride, padding=padding)


def pool_before_norm(
    input_shape: Sequence[int],
    size: int | Pair,
    gamma: npt.ArrayLike,
    *,
    stride: int | Pair | None = None,
    padding: Padding = 0,
) -> HiddenLayer:
    """Max pooling of sums, where batch normalization and the sign come after it.

    A norm of scale gamma >= 0 rises with its input, so that the sign of the norm of the largest
    sum is the largest sign; for gamma < 0 it is the smallest. So the sums are folded as if they
    were not pooled (`bnnopt.network.folding.fold`), and this layer, behind it, pools their signs:
    the maximum in channels of gamma >= 0, the minimum in the others.

    Parameters
    ----------
    gamma : array_like of float, shape (channels,)
        Scale of the batch normalization.
    input_shape, size, stride, padding
        As for `sum_pool2d`.

    Returns
    -------
    HiddenLayer

    Raises
    ------
    NetworkFormatError
        If the parts do not fit.
    """
    sums = sum_pool2d(input_shape, size, 0, stride=stride, padding=padding)
    falls = numbers(gamma, "gamma") < 0
    by_channel = sums.magnitude.reshape(sums.output_shape[0], math.prod(sums.output_shape[1:]))
    if falls.shape != by_channel.shape[:1]:
        raise NetworkFormatError(f"gamma must have one number a channel, not shape {falls.shape}")
    threshold = np.where(falls[:, None], by_channel, 2 - by_channel)
    return HiddenLayer(_convolution(sums), threshold.ravel())


def pixel_cuts(
    input_shape: Sequence[int],
    cuts: Cut | Sequence[Cut] | Sequence[Sequence[Cut]],
    *,
    levels: int = 255,
) -> HiddenLayer:
    """First layer of one neuron a pixel and cut: +1 iff ``pixel >= cut``, exactly.

    Parameters
    ----------
    input_shape : tuple of int
        (channels, rows, columns), or (rows, columns) or (n,) of one channel.
    cuts : number, str or Fraction in [0, 1], or sequences of them
        One cut, a list for all channels, or a list for each. A cut is what is written: ``0.1``
        and ``"1/10"`` are a tenth, and 0.5 is ``2 * level >= 255``, not ``level >= 128``.
    levels : int
        Of the network.

    Returns
    -------
    HiddenLayer
        Each cut is a channel of its `output_shape`, those of one channel of the input side by
        side: (channel, cut, row, column). So groups of a convolution behind it see colours.

    Raises
    ------
    InputError
        If a cut is no number in [0, 1], or so fine that whole weights do not hold it.
    """
    shape = tuple(input_shape)
    image = _shape((1,) * (3 - len(shape)) + shape)
    found = [
        (channel, _cut(cut, read_whole(levels, "levels", low=1)))
        for channel, own in enumerate(_by_channel(cuts, image[0]))
        for cut in own
    ]
    kernel = np.zeros((len(found), image[0], 1, 1), dtype=np.int64)
    for number, (channel, cut) in enumerate(found):
        kernel[number, channel] = cut.denominator
    return conv2d(kernel, [cut.numerator for _, cut in found], image)


def _by_channel(cuts: Any, channels: int) -> list[list[Any]]:
    is_one = isinstance(cuts, str) or not isinstance(cuts, Iterable)
    cuts = [cuts] if is_one else list(cuts)
    if not any(isinstance(cut, Sequence | np.ndarray) and not isinstance(cut, str) for cut in cuts):
        return [cuts] * channels
    if len(cuts) != channels:
        raise InputError(f"cuts has {len(cuts)} lists: give one list, or {channels}, one a channel")
    return [list(own) for own in cuts]


def _cut(value: Cut, levels: int) -> Fraction:
    """A cut in levels, whose denominator and numerator are weight and threshold."""
    cut = read_fraction(value, "a cut", low=0, high=1)
    if (cut * levels).denominator > MAX_WEIGHT:
        near = (cut * levels).limit_denominator(MAX_WEIGHT) / levels
        raise InputError(
            f"a cut of {value} is {cut * levels} levels, and that denominator must be at most "
            f"{MAX_WEIGHT}: round it, such as to {near}"
        )
    return cut * levels


def _convolution(layer: HiddenLayer) -> Convolution:
    assert layer.convolution is not None
    return layer.convolution


def _shape(given: Sequence[int]) -> Shape:
    shape = tuple(given)
    if len(shape) != 3:
        raise NetworkFormatError(f"input_shape is (channels, rows, columns), not {shape}")
    channels, rows, columns = shape
    return channels, rows, columns


def _pair(value: Any, name: str) -> Pair:
    """Of rows and columns; one number is for both."""
    both = tuple(value) if isinstance(value, Sequence | np.ndarray) else (value, value)
    if len(both) != 2:
        raise NetworkFormatError(f"{name} must be a number or two, of rows and columns: {value!r}")
    return both


def _sides(padding: Any) -> tuple[Pair, Pair]:
    """Above and below, left and right."""
    rows, columns = _pair(padding, "padding")
    return _pair(rows, "padding"), _pair(columns, "padding")


def _each_neuron(threshold: npt.ArrayLike, shape: Shape) -> Array:
    """One number a neuron, from one for all, one a channel or one a neuron."""
    array, width = numbers(threshold, "threshold"), math.prod(shape)
    if array.size == 1:
        return np.full(width, array.ravel()[0])
    if array.shape == shape[:1]:
        return np.repeat(array, width // shape[0])
    if array.shape not in (shape, (width,)):
        raise NetworkFormatError(
            f"threshold has shape {array.shape}: give one number, one a channel ({shape[0]},), or "
            f"one a neuron ({width},)"
        )
    return array.ravel()

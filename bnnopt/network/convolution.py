"""A convolution of whole numbers: its kernel, its sums, and the rows that it stands for.

Outputs are flat, in the order channel, row, column, and inputs too unless their channels come last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_whole
from bnnopt.errors import InputError, NetworkFormatError
from bnnopt.network.checks import MAX_WEIGHT, MAX_WIDTH, check_nonzeros, frozen, numbers, whole
from bnnopt.network.weights import LinearMap, Weight, of_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Convolution", "Pair", "Shape"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Reals = npt.NDArray[np.floating[Any]]
Pair = tuple[int, int]
Shape = tuple[int, int, int]

BLOCK = 2**17
"""Numbers in the windows that are multiplied at a time, so that they stay in the cache."""

MAX_PRODUCTS = 2**27
"""Most products of weights and inputs, weights of 0 among them, that sums of one input take."""

MAX_PADDED = 2**22
"""Most numbers of one padded input."""


@dataclass(frozen=True, eq=False)
class Convolution(LinearMap):
    """A linear map of images to images whose weights are shared between places.

    Parameters
    ----------
    kernel : array_like of int, shape (out_channels, in_channels // groups, height, width)
        As in torch: not flipped. Zeros are absent inputs.
    input_shape : (int, int, int)
        Channels, rows and columns of the input.
    stride, dilation : (int, int)
        Of rows and columns, at least 1.
    padding : ((int, int), (int, int))
        Rows above and below, columns left and right, that are absent: they add nothing.
    groups : int
        The input's channels are split into so many groups, and the output's likewise; each of
        those sees its own only.
    channels_last : bool
        Whether the inputs lie in the order row, column, channel, as in an image file.

    Raises
    ------
    NetworkFormatError
        If the parts do not fit, leave no output, or stand for too large a matrix.
    """

    kernel: Array
    input_shape: Shape
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1
    channels_last: bool = False

    def __post_init__(self) -> None:
        kernel = numbers(self.kernel, "a kernel")
        if kernel.ndim != 4 or 0 in kernel.shape:
            raise NetworkFormatError(
                "a kernel has the shape (out_channels, in_channels // groups, height, width), "
                f"not {kernel.shape}"
            )
        kernel = whole(kernel, MAX_WEIGHT, "a kernel's weights", "give signs or whole numbers")
        read = {
            "kernel": frozen(kernel),
            "input_shape": _whole_numbers(self.input_shape, "input_shape", 3, low=1),
            "stride": _whole_numbers(self.stride, "stride", 2, low=1),
            "padding": _padding(self.padding),
            "dilation": _whole_numbers(self.dilation, "dilation", 2, low=1),
            "groups": _whole_numbers([self.groups], "groups", 1, low=1)[0],
            "channels_last": bool(self.channels_last),
        }
        for name, value in read.items():
            object.__setattr__(self, name, value)
        self._check_channels()
        self._check_size()

    def _check_channels(self) -> None:
        kernel, channels = self.kernel, self.input_shape[0]
        if channels % self.groups or kernel.shape[0] % self.groups:
            raise NetworkFormatError(
                f"groups, {self.groups}, must divide the {channels} input channels and the "
                f"{kernel.shape[0]} output channels"
            )
        if kernel.shape[1] != channels // self.groups:
            raise NetworkFormatError(
                f"a kernel of shape {kernel.shape} sees {kernel.shape[1]} channels; "
                f"{channels} input channels in {self.groups} groups need "
                f"{channels // self.groups}"
            )

    def _check_size(self) -> None:
        if min(self.output_shape) < 1:
            raise NetworkFormatError(
                f"a kernel of shape {self.kernel.shape} with dilation {self.dilation} is larger "
                f"than its input of shape {self.input_shape} with padding {self.padding}"
            )
        if max(self.shape) > MAX_WIDTH:
            raise NetworkFormatError(
                f"a convolution of {self.shape[1]} inputs to {self.shape[0]} outputs: each must "
                f"be at most {MAX_WIDTH}"
            )
        if math.prod(self._padded_shape) > MAX_PADDED:
            raise NetworkFormatError(
                f"padding {self.padding} makes an input of more than {MAX_PADDED} numbers"
            )
        check_nonzeros(self._most_nonzeros, "an unrolled convolution")
        products = self.kernel.size * self._places
        if products > MAX_PRODUCTS:
            raise NetworkFormatError(
                f"a convolution takes {products} products, {MAX_PRODUCTS} at most: give its rows "
                "as a sparse matrix if most of its weights are 0"
            )

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of the input as it lies in memory."""
        channels, rows, columns = self.input_shape
        return (rows, columns, channels) if self.channels_last else self.input_shape

    @property
    def _most_nonzeros(self) -> int:
        """Of the matrix, where padding leaves none of them out."""
        return int(np.count_nonzero(self.kernel)) * self._places

    @property
    def _padded_shape(self) -> Shape:
        channels, rows, columns = self.input_shape
        return channels, rows + sum(self.padding[0]), columns + sum(self.padding[1])

    @property
    def _extent(self) -> Pair:
        """Rows and columns from a kernel's first weight to its last."""
        (height, width), (down, right) = self.kernel.shape[2:], self.dilation
        return down * (height - 1) + 1, right * (width - 1) + 1

    @cached_property
    def output_shape(self) -> Shape:
        """Channels, rows and columns of the output."""
        sides = zip(self._padded_shape[1:], self._extent, self.stride, strict=True)
        rows, columns = ((size - extent) // stride + 1 for size, extent, stride in sides)
        return int(self.kernel.shape[0]), rows, columns

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Number of outputs and of inputs."""
        return math.prod(self.output_shape), math.prod(self.input_shape)

    def _padded(self, images: Array, fill: int = 0) -> Array:
        """Shape (batch, in) to (batch, channels, rows, columns)."""
        channels, rows, columns = self.input_shape
        if self.channels_last:
            images = images.reshape(len(images), rows, columns, channels).transpose(0, 3, 1, 2)
        images = images.reshape(len(images), channels, rows, columns)
        if not any(map(any, self.padding)):
            return images
        padded = np.full((len(images), *self._padded_shape), fill, images.dtype)
        (above, _), (left, _) = self.padding
        padded[:, :, above : above + rows, left : left + columns] = images
        return padded

    @property
    def _places(self) -> int:
        """How many neurons a channel of the output has."""
        return math.prod(self.output_shape[1:])

    @property
    def _matrices(self) -> Array:
        """The kernel, shape (groups, output channels of each, weights of each)."""
        filters = len(self.kernel) // self.groups
        return self.kernel.reshape(self.groups, filters, self.kernel[0].size)

    def _windows(self, padded: Array) -> Array:
        """What each place of the output sees, shape (batch, groups, weights, places)."""
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._extent, axis=(2, 3))
        (down, right), (below, beside) = self.stride, self.dilation
        windows = windows[:, :, ::down, ::right, ::below, ::beside].transpose(0, 1, 4, 5, 2, 3)
        return windows.reshape(len(padded), self.groups, self.kernel[0].size, self._places)

    def sums(self, inputs: Reals) -> Reals:
        """``matrix @ input`` of each row of `inputs`, in their precision."""
        matrices = self._matrices.astype(inputs.dtype)
        sums = np.empty((len(inputs), *matrices.shape[:2], self._places), inputs.dtype)
        step = BLOCK // (self.groups * matrices.shape[2] * self._places) + 1
        for at in range(0, len(inputs), step):
            images = slice(at, at + step)
            np.matmul(matrices, self._windows(self._padded(inputs[images])), out=sums[images])
        return sums.reshape(len(inputs), self.shape[0])

    @cached_property
    def _sizes(self) -> Convolution:
        return replace(self, kernel=np.abs(self.kernel.astype(np.int32)))

    def spread(self, radius: FloatArray) -> FloatArray:
        """``abs(matrix) @ radius``, shape (in,) to (out,), or (batch, in) to (batch, out)."""
        spread = self._sizes.sums(np.atleast_2d(radius).astype(np.float64))
        return np.asarray(spread.reshape(*radius.shape[:-1], self.shape[0]), dtype=np.float64)

    def windows(self, inputs: Array) -> Array:
        """What each place of the output sees, 0 where it is padded.

        Shape (batch, in) to (batch, groups, weights of each, places).
        """
        return self._windows(self._padded(inputs))

    @cached_property
    def inputs(self) -> Array:
        """Which inputs each place sees, shape (groups, places, weights); -1 for an absent one."""
        index = self._padded(np.arange(self.shape[1], dtype=np.int32)[None], -1)
        return np.ascontiguousarray(self._windows(index)[0].swapaxes(1, 2))

    def _parts(self, outputs: Array) -> tuple[Array, Array, Array]:
        """Data, indices and starts of the rows of some outputs, without zeros."""
        channel, place = np.divmod(outputs, self._places)
        group, part = np.divmod(channel, len(self.kernel) // self.groups)
        weights, inputs = self._matrices[group, part], self.inputs[group, place]
        present = (inputs >= 0) & (weights != 0)
        starts = np.concatenate([[0], np.cumsum(present.sum(axis=1))]).astype(np.int32)
        return weights[present], inputs[present], starts

    @cached_property
    def _unrolled(self) -> LinearMap:
        return of_rows(*self._parts(np.arange(self.shape[0])), self.shape)

    @property
    def matrix(self) -> Weight:
        """All rows, unrolled when first asked for."""
        return self._unrolled.matrix

    @property
    def is_dense(self) -> bool:
        """Whether every weight is ±1; most convolutions need not be unrolled to know."""
        return self._most_nonzeros == math.prod(self.shape) and self._unrolled.is_dense

    def rows(self, outputs: npt.NDArray[np.int64]) -> csr_array:
        """Weights of some outputs, shape (count, in), in double precision."""
        from scipy.sparse import csr_array

        data, indices, starts = self._parts(np.arange(self.shape[0])[outputs])
        shape = (len(starts) - 1, self.shape[1])
        return csr_array((data.astype(np.float64), indices, starts), shape=shape)


def _whole_numbers(values: Any, name: str, count: int, low: int) -> tuple[Any, ...]:
    if np.shape(values) != (count,):
        raise NetworkFormatError(f"{name} must be {count} whole numbers, not {values!r}")
    try:
        return tuple(read_whole(value, name, low=low, high=MAX_PADDED) for value in values)
    except InputError as error:
        raise NetworkFormatError(str(error)) from None


def _padding(values: Any) -> tuple[Pair, Pair]:
    if not isinstance(values, Sequence | np.ndarray) or len(values) != 2:
        raise NetworkFormatError(f"padding must be ((above, below), (left, right)), not {values!r}")
    rows, columns = (_whole_numbers(part, "padding", 2, low=0) for part in values)
    return rows, columns

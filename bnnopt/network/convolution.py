"""A convolution of whole numbers: its kernel, its forward pass, and the matrix that it stands for.

Activations are flat, in the order channel, row, column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from bnnopt.errors import NetworkFormatError

__all__ = ["Convolution"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Convolution:
    """A linear map of images to images whose weights are shared between places.

    Parameters
    ----------
    kernel : array of int, shape (out_channels, in_channels // groups, height, width)
    input_shape : (int, int, int)
        Channels, rows and columns of the input.
    stride, dilation : (int, int)
        Of rows and columns, at least 1.
    padding : ((int, int), (int, int))
        Rows before and after, columns before and after, that are absent: they add nothing.
    groups : int
        The input's channels are split into so many groups, and the output's likewise; each of
        those sees its own only.

    Raises
    ------
    NetworkFormatError
        If the parts do not fit, or leave no output.
    """

    kernel: Array
    input_shape: tuple[int, int, int]
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        kernel = np.asarray(self.kernel)
        channels = self.input_shape[0]
        if kernel.ndim != 4 or 0 in kernel.shape or kernel.dtype.kind not in "iu":
            raise NetworkFormatError(
                f"a kernel is an array of whole numbers of shape (out_channels, in_channels // "
                f"groups, height, width), not {kernel.dtype} of shape {kernel.shape}"
            )
        if channels % self.groups or kernel.shape[0] % self.groups:
            raise NetworkFormatError(
                f"{self.groups} groups divide neither {channels} input nor {kernel.shape[0]} "
                "output channels evenly"
            )
        if kernel.shape[1] != channels // self.groups:
            raise NetworkFormatError(
                f"a kernel of shape {kernel.shape} does not fit {channels} input channels in "
                f"{self.groups} groups"
            )
        if min(self.output_shape) < 1:
            raise NetworkFormatError(
                f"a kernel of shape {kernel.shape} does not fit into {self.input_shape}"
            )
        kernel = np.array(kernel, order="C")
        kernel.setflags(write=False)
        object.__setattr__(self, "kernel", kernel)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the output."""
        sides = [
            (size + sum(pad) - dilation * (extent - 1) - 1) // stride + 1
            for size, pad, extent, dilation, stride in zip(
                self.input_shape[1:],
                self.padding,
                np.shape(self.kernel)[2:],
                self.dilation,
                self.stride,
                strict=True,
            )
        ]
        return (int(np.shape(self.kernel)[0]), int(sides[0]), int(sides[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of outputs and of inputs."""
        return int(np.prod(self.output_shape)), int(np.prod(self.input_shape))

    def magnitude(self) -> Convolution:
        """The same with absolute weights."""
        return replace(self, kernel=np.abs(self.kernel.astype(np.int64)))

    @cached_property
    def _places(self) -> Array:
        """Inputs of each output, shape (groups, places, weights); -1 where one is absent."""
        channels, rows, columns = self.input_shape
        index = np.full((channels, rows, columns), -1, dtype=np.int32)
        index[:] = np.arange(index.size, dtype=np.int32).reshape(index.shape)
        index = np.pad(index, ((0, 0), *self.padding), constant_values=-1)
        return self._windows(index[None])[0]

    def _windows(self, images: Array) -> Array:
        """Shape (batch, channels, rows, columns) to (batch, groups, places, weights)."""
        (height, width), (down, right) = self.kernel.shape[2:], self.dilation
        extent = (down * (height - 1) + 1, right * (width - 1) + 1)
        windows = np.lib.stride_tricks.sliding_window_view(images, extent, axis=(2, 3))
        windows = windows[:, :, :: self.stride[0], :: self.stride[1], ::down, ::right]
        batch, channels, *places = windows.shape[:4]
        parts = windows.reshape(
            batch, self.groups, channels // self.groups, *places, height, width
        ).transpose(0, 1, 3, 4, 2, 5, 6)
        return parts.reshape(batch, self.groups, places[0] * places[1], -1)

    def matrix(self) -> csr_array:
        """The rows of all outputs, shape (out, in), without zeros."""
        places = self._places
        weights = self.kernel.reshape(self.groups, -1, 1, places.shape[2])
        present = (places[:, None] >= 0) & (weights != 0)
        columns = np.broadcast_to(places[:, None], present.shape)[present]
        data = np.broadcast_to(weights, present.shape)[present]
        counts = present.sum(axis=-1, dtype=np.int64).ravel()
        starts = np.concatenate([[0], np.cumsum(counts)])
        if starts[-1] < 2**31:
            starts = starts.astype(np.int32)
        matrix = csr_array((data, columns, starts), shape=self.shape)
        matrix.sort_indices()
        return matrix

    def __call__(self, inputs: FloatArray) -> FloatArray:
        """Sums of each row of `inputs`, shape (batch, in) to (batch, out)."""
        batch = len(inputs)
        images = inputs.reshape(batch, *self.input_shape)
        images = np.pad(images, ((0, 0), (0, 0), *self.padding))
        windows = self._windows(images)
        kernel = self.kernel.reshape(self.groups, -1, windows.shape[-1])
        weights = kernel.transpose(0, 2, 1).astype(inputs.dtype)
        sums = (windows @ weights).transpose(0, 1, 3, 2)
        return np.ascontiguousarray(sums).reshape(batch, -1)

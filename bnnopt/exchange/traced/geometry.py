"""Strides, padding and dilation as ONNX writes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced.tensor import Tensor, check_count

__all__ = ["Geometry", "flattened", "read_geometry"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Of windows over rows and columns.

    Parameters
    ----------
    size, stride, dilation : (int, int)
    padding : ((int, int), (int, int))
        Above and below, left and right.
    beyond : ((int, int), (int, int))
        The part of it that is there only so that the last windows are whole.
    """

    size: Pair
    stride: Pair
    padding: tuple[Pair, Pair]
    dilation: Pair
    beyond: tuple[Pair, Pair]

    def counted(self, sides: tuple[int, ...]) -> npt.NDArray[Any]:
        """How many places each window has, padding among them, shape (rows, columns)."""
        counts = []
        for axis in (0, 1):
            padded = sides[axis] + sum(self.padding[axis]) - sum(self.beyond[axis])
            reach = self.dilation[axis] * (self.size[axis] - 1) + 1
            whole = padded + sum(self.beyond[axis])
            starts = np.arange((whole - reach) // self.stride[axis] + 1) * self.stride[axis]
            places = starts[:, None] + np.arange(self.size[axis]) * self.dilation[axis]
            counts.append((places < padded).sum(axis=1))
        return np.asarray(counts[0][:, None] * counts[1][None])


def flattened(tensor: Tensor, axes: int) -> tuple[Tensor, bool]:
    """A signal of (1, channels, columns) as an image of one row; whether it was one."""
    if axes == 3 and len(tensor.shape) == 3:
        batch, channels, columns = tensor.shape
        return tensor.reshaped((batch, channels, 1, columns)), True
    if len(tensor.shape) != 4:
        raise NetworkFormatError(
            f"it takes (batch, channels, rows, columns), not {len(tensor.shape)} axes"
        )
    return tensor, False


def read_geometry(node: Any, size: Any, sides: Any, is_flat: bool) -> Geometry:
    """From a node's attributes, for windows of a size over an input of some sides."""

    def both(name: str, default: int) -> Pair:
        given = tuple(int(v) for v in node.get(name, [default] * (1 if is_flat else 2)))
        rows, columns = (default, *given) if is_flat else given
        if min(rows, columns) < 1:
            raise NetworkFormatError(f"{name} must be 1 or more")
        return rows, columns

    stride, dilation = both("strides", 1), both("dilations", 1)
    height, width = (int(side) for side in size)
    extent = [d * (s - 1) + 1 for d, s in zip(dilation, (height, width), strict=True)]
    padding = _padding(node, extent, stride, sides, is_flat)
    beyond = [(0, 0), (0, 0)]
    if node.get("ceil_mode", 0):
        for axis in (0, 1):
            low, high = padding[axis]
            whole = sides[axis] + low + high
            steps = -(-(whole - extent[axis]) // stride[axis])
            if steps * stride[axis] >= sides[axis] + low:
                steps -= 1  # a window must begin before the padding at the end
            more = max(steps * stride[axis] + extent[axis] - whole, 0)
            padding[axis], beyond[axis] = (low, high + more), (0, more)
    _check_sizes((height, width), sides, padding)
    (top, side), (more, last) = padding, beyond
    return Geometry((height, width), stride, (top, side), dilation, (more, last))


def _check_sizes(size: Pair, sides: Any, padding: list[Pair]) -> None:
    """Refuse windows and padding that would be too large, before anything is made of them."""
    padded = [side + sum(more) for side, more in zip(sides, padding, strict=True)]
    if min(size) < 1:
        raise NetworkFormatError(f"its windows are of {size} places")
    check_count(math.prod(size), "a window")
    check_count(math.prod(padded), "padding")


def _padding(node: Any, extent: list[int], stride: Pair, sides: Any, is_flat: bool) -> list[Pair]:
    kind = node.get("auto_pad", "NOTSET")
    kind = kind.decode() if isinstance(kind, bytes) else kind
    if kind == "VALID":
        return [(0, 0), (0, 0)]
    if kind in ("SAME_UPPER", "SAME_LOWER"):
        found = []
        for axis in (0, 1):
            steps = -(-sides[axis] // stride[axis])
            total = max((steps - 1) * stride[axis] + extent[axis] - sides[axis], 0)
            less, more = total // 2, total - total // 2
            found.append((less, more) if kind == "SAME_UPPER" else (more, less))
        return found
    if kind != "NOTSET":
        raise NetworkFormatError(f"its auto_pad is {kind!r}")
    given = [int(v) for v in node.get("pads", [0] * (2 if is_flat else 4))]
    if min(given) < 0:
        raise NetworkFormatError("it pads by a negative number")
    if is_flat:
        return [(0, 0), (given[0], given[1])]
    top, left, bottom, right = given
    return [(top, bottom), (left, right)]

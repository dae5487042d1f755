"""Operators of ONNX that add numbers up, or take their maximum: matrices, windows, axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced import linear, pooling
from bnnopt.exchange.traced.geometry import Geometry, flattened, read_geometry
from bnnopt.exchange.traced.node import Node, registry
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["HANDLERS"]

FloatArray = npt.NDArray[np.float64]

HANDLERS, handles = registry()


def _real(values: Any) -> FloatArray:
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise NetworkFormatError("its weights are not all finite")
    return found


@handles("MatMul")
def _matmul(node: Node) -> Tensor:
    left = node.inputs[0]
    if isinstance(left, Tensor):
        return _times(left, _real(node.given(1, "matrix")), node.note)
    tensor, matrix = node.tensor(1), _real(left)
    if len(tensor.shape) == 1:
        return _times(tensor, np.swapaxes(np.atleast_2d(matrix), -1, -2), node.note)
    turned = tensor.moved(lambda places: places.swapaxes(-1, -2))
    if matrix.ndim == 1:
        return _times(turned, matrix, node.note)
    found = _times(turned, matrix.swapaxes(-1, -2), node.note)
    return found.moved(lambda places: places.swapaxes(-1, -2))


def _times(tensor: Tensor, weight: FloatArray, note: Any) -> Tensor:
    """A tensor, then a vector or matrix, perhaps with axes of one before."""
    if weight.ndim == 1:
        found = linear.multiply(tensor, weight[:, None], note)
        return found.reshaped(found.shape[:-1])
    before = weight.shape[:-2]
    if math.prod(before) != 1:
        raise NetworkFormatError(f"it holds {math.prod(before)} matrices: one fits")
    found = linear.multiply(tensor, weight.reshape(weight.shape[-2:]), note)
    lacking = len(before) - max(len(tensor.shape) - 2, 0)
    return found.reshaped((*[1] * lacking, *found.shape)) if lacking > 0 else found


@handles("Gemm")
def _gemm(node: Node) -> Tensor:
    tensor, matrix = node.tensor(0), _real(node.given(1, "matrix"))
    if len(tensor.shape) != 2 or matrix.ndim != 2:
        raise NetworkFormatError(f"it takes matrices, not {tensor.shape} and {matrix.shape}")
    if node.get("transA", 0):
        tensor = tensor.moved(np.transpose)
    if node.get("transB", 0):
        matrix = matrix.T
    found = linear.multiply(tensor, matrix * float(node.get("alpha", 1.0)), node.note)
    bias = node.array(2)
    if bias is None:
        return found
    factor = np.asarray(bias).dtype.type(node.get("beta", 1.0))
    return found.apply("add", np.asarray(bias) * factor, keeps_shape=True)


@handles("Conv")
def _conv(node: Node) -> Tensor:
    kernel = _real(node.given(1, "kernel"))
    tensor, is_flat = flattened(node.tensor(), kernel.ndim)
    if kernel.ndim == 3:
        kernel = kernel[:, :, None, :]
    if kernel.ndim != 4:
        raise NetworkFormatError(f"a kernel of {kernel.ndim} axes: those of images have 4")
    geometry = read_geometry(node, kernel.shape[2:], tensor.shape[2:], is_flat)
    found = linear.convolve(
        tensor,
        kernel,
        node.note,
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
        groups=int(node.get("group", 1)),
    )
    bias = node.array(2)
    if bias is not None:
        found = found.apply("add", np.asarray(bias).reshape(-1, 1, 1), keeps_shape=True)
    return found.reshaped((*found.shape[:2], found.shape[3])) if is_flat else found


def _pool_input(node: Node) -> tuple[Tensor, bool, Geometry]:
    size = node.get("kernel_shape")
    tensor, is_flat = flattened(node.tensor(), len(node.tensor().shape))
    if node.kind.startswith("Global"):
        size = tensor.shape[2], tensor.shape[3]
        return tensor, is_flat, Geometry(size, size, ((0, 0), (0, 0)), (1, 1), ((0, 0), (0, 0)))
    sides = (1, *size) if is_flat else tuple(size)
    return tensor, is_flat, read_geometry(node, sides, tensor.shape[2:], is_flat)


@handles("MaxPool", "GlobalMaxPool")
def _max_pool(node: Node) -> Tensor:
    if node.outputs > 1:
        raise NetworkFormatError("it gives indices as well")
    tensor, is_flat, g = _pool_input(node)
    given: Any = {"stride": g.stride, "padding": g.padding, "dilation": g.dilation}
    found = pooling.max_pool(tensor, g.size, **given)
    return found.reshaped((*found.shape[:2], found.shape[3])) if is_flat else found


@handles("AveragePool", "GlobalAveragePool")
def _mean_pool(node: Node) -> Tensor:
    tensor, is_flat, g = _pool_input(node)
    count = g.counted(tensor.shape[2:]) if node.get("count_include_pad", 0) else None
    given: Any = {"stride": g.stride, "padding": g.padding, "dilation": g.dilation}
    found = pooling.mean_pool(tensor, g.size, node.note, counts_padding=count, **given)
    return found.reshaped((*found.shape[:2], found.shape[3])) if is_flat else found


@handles("ReduceMean", "ReduceSum")
def _reduced(node: Node) -> Tensor:
    tensor, axes = node.tensor(), node.whole(1, "axes")
    count = len(tensor.shape)
    if not axes:
        if node.get("noop_with_empty_axes", 0):
            return tensor
        axes = list(range(count))
    if not all(-count <= axis < count for axis in axes):
        raise NetworkFormatError(f"its axes {axes[:9]} are not those of {count} axes")
    axes = [axis % count for axis in axes]
    if 0 in axes and node.may_be_batch:
        raise NetworkFormatError("it adds up the images of a batch")
    mean, keep = node.kind == "ReduceMean", bool(node.get("keepdims", 1))
    return pooling.reduce(tensor, axes, mean, keep, node.note)


@handles("Pad")
def _pad(node: Node) -> Tensor:
    tensor = node.tensor()
    mode = node.get("mode", b"constant")
    if mode != b"constant":
        raise NetworkFormatError(f"its mode is {mode!r}: only constant padding fits")
    sides = node.some(1, "pads")
    axes = node.whole(3, "axes") or list(range(len(tensor.shape)))
    before, after = ([0] * len(tensor.shape) for _ in range(2))
    half = len(sides) // 2
    for axis, low, high in zip(axes, sides[:half], sides[half:], strict=True):
        before[axis], after[axis] = low, high
    value = node.array(2, node.get("value", 0.0))
    if not any(before) and not any(after):
        return tensor
    return linear.pad(tensor, before, after, float(np.ravel(value)[0]))

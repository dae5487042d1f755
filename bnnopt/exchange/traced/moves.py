"""Operators of ONNX that move numbers, choose or repeat them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced import linear
from bnnopt.exchange.traced.node import Final, Node, registry
from bnnopt.exchange.traced.tensor import Tensor, check_count

__all__ = ["HANDLERS"]

Array = npt.NDArray[Any]

HANDLERS, handles = registry()


@handles("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _moved(node: Node) -> Any:
    value = node.inputs[0]
    if isinstance(value, Final):
        inner = replace(node, inputs=[value.tensor, *node.inputs[1:]])
        return Final(_MOVES[node.kind](inner))
    return _MOVES[node.kind](node)


def _transpose(node: Node) -> Tensor:
    order = node.get("perm")
    return node.tensor().moved(lambda places: places.transpose(order))


def _reshape(node: Node) -> Tensor:
    tensor, shape = node.tensor(), node.some(1, "shape")
    if node.about.has_batch and node.may_be_batch and shape[:1] == [node.about.batch]:
        shape[0] = tensor.shape[0]
    if min(shape, default=0) < -1:
        raise NetworkFormatError(f"its shape is {shape[:9]}")
    if not node.get("allowzero", 0):
        shape = [tensor.shape[at] if side == 0 else side for at, side in enumerate(shape)]
    return tensor.reshaped(shape)


def _flatten(node: Node) -> Tensor:
    tensor, axis = node.tensor(), int(node.get("axis", 1))
    if not -len(tensor.shape) <= axis <= len(tensor.shape):
        raise NetworkFormatError(f"it has no axis {axis}")
    before = math.prod(tensor.shape[:axis])
    return tensor.reshaped((before, math.prod(tensor.shape) // before))


def _squeeze(node: Node) -> Tensor:
    axes = node.whole(1, "axes")
    return node.tensor().moved(lambda p: np.squeeze(p, None if axes is None else tuple(axes)))


def _unsqueeze(node: Node) -> Tensor:
    axes = tuple(node.some(1, "axes"))
    return node.tensor().moved(lambda places: np.expand_dims(places, axes))


_MOVES: dict[str, Callable[[Node], Tensor]] = {
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}


@handles("Expand")
def _expand(node: Node) -> Tensor:
    full = np.broadcast_shapes(node.tensor().shape, tuple(node.some(1, "shape")))
    return node.tensor().moved(lambda places: np.broadcast_to(places, full))


@handles("Slice")
def _slice(node: Node) -> Tensor:
    tensor, starts, ends = node.tensor(), node.some(1, "starts"), node.some(2, "ends")
    axes = node.whole(3, "axes") or list(range(len(starts)))
    steps = node.whole(4, "steps") or [1] * len(starts)
    chosen = [slice(None)] * len(tensor.shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        chosen[axis] = _range(start, end, step, tensor.shape[axis])
    return tensor.moved(lambda places: places[tuple(chosen)])


def _range(start: int, end: int, step: int, size: int) -> slice:
    """As ONNX counts: numpy's but for a range downwards that begins or ends before 0."""
    if step >= 0:
        return slice(start, end, step)
    return slice(max(start, -size), None if end < -size else end, step)


@handles("Gather")
def _gather(node: Node) -> Tensor:
    tensor, index = node.tensor(), np.asarray(node.given(1, "index")).astype(np.int64)
    axis = int(node.get("axis", 0))
    check_count(math.prod(tensor.shape) // max(tensor.shape[axis], 1) * index.size)
    return tensor.moved(lambda places: np.take(places, index, axis))


@handles("Split")
def _split(node: Node) -> list[Tensor]:
    tensor, axis = node.tensor(), int(node.get("axis", 0))
    size = tensor.shape[axis]
    each = -(-size // node.outputs)
    sizes = node.whole(1, "split") or [
        min(each, size - each * number) for number in range(node.outputs)
    ]
    ends: Sequence[int] = np.cumsum(sizes).tolist()
    if ends[-1] != size or min(sizes) < 0 or len(sizes) != node.outputs:
        raise NetworkFormatError(f"it splits {size} into parts of {sizes}")
    return [
        tensor.moved(lambda p, a=end - part, b=end: np.take(p, np.arange(a, b), axis))  # type: ignore[misc]
        for part, end in zip(sizes, ends, strict=True)
    ]


@handles("Concat")
def _concat(node: Node) -> Tensor:
    if not all(isinstance(value, Tensor) for value in node.inputs):
        raise NetworkFormatError("it puts constants beside parts of the image")
    return linear.concatenate(node.inputs, int(node.get("axis", 0)))


@handles("Shape")
def _shape(node: Node) -> Array:
    tensor = node.tensor()
    start, end = int(node.get("start", 0)), node.get("end")
    return np.asarray(tensor.shape[start:end], dtype=np.int64)


@handles("Softmax", "LogSoftmax")
def _softmax(node: Node) -> Final:
    tensor = node.tensor()
    axis = int(node.get("axis", 1 if node.opset < 13 else -1))
    if not -len(tensor.shape) <= axis < len(tensor.shape):
        raise NetworkFormatError(f"it has no axis {axis}")
    size = tensor.shape[axis] if node.opset >= 13 else math.prod(tensor.shape[axis:])
    if size != math.prod(tensor.shape):
        raise NetworkFormatError("it is over a part of the numbers, not over all classes")
    return Final(tensor)

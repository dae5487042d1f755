"""What the operators of ONNX do to tensors; their meaning is that of onnx.ai/onnx/operators.

A handler takes the node's attributes and its inputs, tensors or arrays, and returns the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange import linear, pooling
from bnnopt.exchange.geometry import Geometry, flattened, read_geometry
from bnnopt.exchange.scalar import SIGN, Steps, compare
from bnnopt.exchange.tensor import Tensor

__all__ = ["OPERATORS", "Final", "Node"]

Array = npt.NDArray[Any]
GRID = 2**20


@dataclass(frozen=True)
class Final:
    """Logits behind a Softmax or LogSoftmax, which keeps their order."""

    tensor: Tensor


@dataclass
class Node:
    """One operator in the graph.

    Parameters
    ----------
    kind, name : str
    opset : int
    inputs : list of Tensor, Final, array or None
    attributes : dict
    batch : int or None
        The batch's size that the file was written for, if it is fixed.
    note : callable
        Takes what a user should know.
    """

    kind: str
    name: str
    opset: int
    inputs: list[Any]
    attributes: dict[str, Any]
    batch: int | None
    note: Callable[[str], None]
    outputs: int = 1

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def tensor(self, index: int = 0) -> Tensor:
        """An input that depends on the image."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(value, Final):
            raise NetworkFormatError("it follows a Softmax, which must be last")
        if not isinstance(value, Tensor):
            raise NetworkFormatError(f"its input {index + 1} must depend on the image")
        return value

    def array(self, index: int, default: Any = None) -> Any:
        """An input that is constant."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(value, Tensor | Final):
            raise NetworkFormatError(f"its input {index + 1} must be constant")
        return default if value is None else value

    def whole(self, index: int, attribute: str, default: Any = None) -> list[int] | None:
        """Whole numbers, from an input or, in older files, an attribute."""
        value = self.array(index, self.get(attribute, default))
        return None if value is None else [int(v) for v in np.ravel(value)]


Handler = Callable[[Node], Any]
OPERATORS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler."""

    def register(handler: Handler) -> Handler:
        OPERATORS.update(dict.fromkeys(names, handler))
        return handler

    return register


@handles("Add", "Sub", "Mul", "Div")
def _arithmetic(node: Node) -> Tensor:
    left, right = node.inputs[:2]
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        if node.kind not in ("Add", "Sub"):
            raise NetworkFormatError("it takes the product or quotient of two parts of the image")
        return linear.add(left, right, 1.0 if node.kind == "Add" else -1.0, node.note)
    if isinstance(left, Tensor):
        tensor, number = node.tensor(0), node.array(1)
        match node.kind:
            case "Add":
                return tensor.apply("add", number)
            case "Sub":
                return tensor.apply("add", -number)
            case "Mul":
                return tensor.apply("multiply", number)
        if (np.asarray(number) == 0).any():
            raise NetworkFormatError("it divides by 0")
        return tensor.apply("divide", number)
    tensor, number = node.tensor(1), node.array(0)
    match node.kind:
        case "Add":
            return tensor.apply("add", number)
        case "Sub":
            return tensor.apply("multiply", np.asarray(-1.0)).apply("add", number)
        case "Mul":
            return tensor.apply("multiply", number)
    raise NetworkFormatError("it divides by what depends on the image")


@handles("Sum")
def _sum(node: Node) -> Tensor:
    total = node.tensor(0)
    for index in range(1, len(node.inputs)):
        other = node.inputs[index]
        if isinstance(other, Tensor):
            total = linear.add(total, other, 1.0, node.note)
        else:
            total = total.apply("add", node.array(index))
    return total


@handles("Neg")
def _negated(node: Node) -> Tensor:
    return node.tensor().apply("multiply", np.asarray(-1.0))


@handles("Identity", "Dropout")
def _identity(node: Node) -> Any:
    value = node.inputs[0]
    return value if isinstance(value, Final) else node.tensor()


@handles("Cast", "CastLike")
def _cast(node: Node) -> Tensor:
    tensor = node.tensor()
    kind = np.dtype(node.get("to")) if node.kind == "Cast" else np.asarray(node.array(1)).dtype
    if kind.kind == "f":
        return replace(tensor, precision=kind)
    if not tensor.is_stepped:
        raise NetworkFormatError(f"it makes real numbers {kind}: only signs have few values")
    if kind.kind == "b":
        return tensor.mapped(lambda values: (values != 0).astype(values.dtype))
    return tensor.mapped(np.trunc)


@handles("Round", "Floor", "Ceil")
def _rounded(node: Node) -> Tensor:
    tensor = node.tensor()
    if tensor.is_stepped:
        raise NetworkFormatError("it rounds what is behind a sign")
    elements = tensor.affine().elements
    pixels = elements.sums.pixels
    if pixels is not None and elements.sums.is_plain:
        scales = np.unique(elements.terms[0].scale).tolist()
        steps = [pixels.unit * Fraction(scale) / GRID for scale in scales]
        shifts = [Fraction(shift) for shift in np.unique(elements.offset).tolist()]
        if all(part.denominator == 1 for part in (*steps, *shifts)):
            return tensor  # every level on the grid is whole already
    raise NetworkFormatError("it rounds numbers to several values: only signs fit")


@handles("Sign")
def _sign(node: Node) -> Tensor:
    return linear.single(node.tensor(), node.note).step(SIGN)


@handles("BipolarQuant")
def _bipolar(node: Node) -> Tensor:
    tensor = linear.single(node.tensor(), node.note)
    return tensor.step(Steps((True,), (-1.0, 1.0))).apply("multiply", node.array(1))


@handles("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def _compared(node: Node) -> Tensor:
    is_greater, or_equal = node.kind.startswith("Greater"), node.kind.endswith("OrEqual")
    left, right = node.inputs[:2]
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        difference = linear.add(left, right, -1.0, node.note)
        return difference.step(compare(is_greater, or_equal))
    if isinstance(left, Tensor):
        tensor, number = node.tensor(0), node.array(1)
    else:
        tensor, number, is_greater = node.tensor(1), node.array(0), not is_greater
    return linear.single(tensor, node.note).step(compare(is_greater, or_equal), number)


@handles("Not")
def _not(node: Node) -> Tensor:
    return node.tensor().mapped(lambda values: (values == 0).astype(values.dtype))


@handles("Where")
def _where(node: Node) -> Tensor:
    yes, no = np.asarray(node.array(1)), np.asarray(node.array(2))
    return node.tensor(0).chosen(yes, no)


@handles("Clip")
def _clip(node: Node) -> Tensor:
    low = node.array(1, node.get("min", -math.inf))
    high = node.array(2, node.get("max", math.inf))
    return node.tensor().apply("clip", np.asarray(low), np.asarray(high))


@handles("Max", "Min")
def _extreme(node: Node) -> Tensor:
    found = [value for value in node.inputs if isinstance(value, Tensor)]
    if len(found) != 1:
        raise NetworkFormatError(f"it takes the {node.kind.lower()} of parts of the image")
    tensor, limits = found[0], (np.asarray(-math.inf), np.asarray(math.inf))
    for index, value in enumerate(node.inputs):
        if value is not tensor:
            number = node.array(index)
            both = (number, limits[1]) if node.kind == "Max" else (limits[0], number)
            tensor = tensor.apply("clip", *both)
    return tensor


@handles("Relu")
def _relu(node: Node) -> Tensor:
    return node.tensor().apply("clip", np.asarray(0.0), np.asarray(math.inf))


@handles("LeakyRelu", "PRelu")
def _leaky(node: Node) -> Tensor:
    slope = np.asarray(node.array(1, node.get("alpha", 0.01)))
    if (slope <= 0).any():
        raise NetworkFormatError("its slope below 0 must be positive")
    return node.tensor().apply("leaky", slope)


@handles("Tanh", "Sigmoid", "Softsign")
def _curve(node: Node) -> Tensor:
    return node.tensor().apply(node.kind.lower())


@handles("HardSigmoid")
def _hard_sigmoid(node: Node) -> Tensor:
    alpha, beta = np.asarray(node.get("alpha", 0.2)), np.asarray(node.get("beta", 0.5))
    steep = node.tensor().apply("multiply", alpha).apply("add", beta)
    return steep.apply("clip", np.asarray(0.0), np.asarray(1.0))


@handles("BatchNormalization")
def _batch_norm(node: Node) -> Tensor:
    tensor = node.tensor()
    if node.get("training_mode", 0) or node.outputs > 1:
        raise NetworkFormatError("it is in training mode: export the network for inference")
    if node.get("spatial", 1) == 0:
        raise NetworkFormatError("its spatial is 0: only one norm a channel fits")
    shape = (-1, *[1] * (len(tensor.shape) - 2))
    gamma, beta, mean, variance = (np.asarray(node.array(i)).reshape(shape) for i in range(1, 5))
    sigma = np.sqrt(variance + variance.dtype.type(node.get("epsilon", 1e-5)))
    if not (sigma > 0).all():
        raise NetworkFormatError("a variance with its epsilon must be above 0")
    return tensor.apply("normalize", gamma, beta, mean, sigma)


@handles("MatMul")
def _matmul(node: Node) -> Tensor:
    left = node.inputs[0]
    if isinstance(left, Tensor):
        return _times(left, node.array(1), node.note)
    tensor, matrix = node.tensor(1), np.asarray(node.array(0))
    if len(tensor.shape) != 2 or matrix.ndim != 2:
        raise NetworkFormatError("a constant matrix comes first, which fits two axes only")
    found = _times(tensor.moved(np.transpose), matrix.T, node.note)
    return found.moved(np.transpose)


def _times(tensor: Tensor, matrix: Any, note: Any) -> Tensor:
    weight = np.asarray(matrix, dtype=np.float64)
    if weight.ndim == 1:
        found = linear.multiply(tensor, weight[:, None], note)
        return found.reshaped(found.shape[:-1])
    if weight.ndim > 2 and math.prod(weight.shape[:-2]) == 1:
        weight = weight.reshape(weight.shape[-2:])
    return linear.multiply(tensor, weight, note)


@handles("Gemm")
def _gemm(node: Node) -> Tensor:
    tensor, matrix = node.tensor(0), np.asarray(node.array(1), dtype=np.float64)
    if node.get("transA", 0):
        tensor = tensor.moved(np.transpose)
    if node.get("transB", 0):
        matrix = matrix.T
    found = linear.multiply(tensor, matrix * float(node.get("alpha", 1.0)), node.note)
    bias = node.array(2)
    if bias is None:
        return found
    return found.apply("add", np.asarray(bias) * np.asarray(bias).dtype.type(node.get("beta", 1.0)))


@handles("Conv")
def _conv(node: Node) -> Tensor:
    kernel = np.asarray(node.array(1), dtype=np.float64)
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
        found = found.apply("add", np.asarray(bias).reshape(-1, 1, 1))
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
    axes = node.whole(1, "axes")
    tensor = node.tensor()
    if not axes:
        if node.get("noop_with_empty_axes", 0):
            return tensor
        axes = list(range(1, len(tensor.shape)))
    mean, keep = node.kind == "ReduceMean", bool(node.get("keepdims", 1))
    return pooling.reduce(tensor, axes, mean, keep, node.note)


@handles("Pad")
def _pad(node: Node) -> Tensor:
    tensor = node.tensor()
    mode = node.get("mode", b"constant")
    if mode not in (b"constant", "constant"):
        raise NetworkFormatError(f"its mode is {mode!r}: only constant padding fits")
    sides = node.whole(1, "pads", node.get("paddings"))
    assert sides is not None
    axes = node.whole(3, "axes") or list(range(len(tensor.shape)))
    before, after = ([0] * len(tensor.shape) for _ in range(2))
    half = len(sides) // 2
    for axis, low, high in zip(axes, sides[:half], sides[half:], strict=True):
        before[axis], after[axis] = low, high
    value = node.array(2, node.get("value", 0.0))
    if not any(before) and not any(after):
        return tensor
    return linear.pad(tensor, before, after, float(np.ravel(value)[0]))


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
    tensor, shape = node.tensor(), node.whole(1, "shape")
    assert shape is not None
    if shape and node.batch not in (None, 1) and shape[0] == node.batch:
        shape[0] = tensor.shape[0]
    if not node.get("allowzero", 0):
        shape = [tensor.shape[at] if side == 0 else side for at, side in enumerate(shape)]
    return tensor.reshaped(shape)


def _flatten(node: Node) -> Tensor:
    tensor, axis = node.tensor(), int(node.get("axis", 1))
    before = tensor.shape[:axis]
    return tensor.reshaped((math.prod(before), math.prod(tensor.shape) // math.prod(before)))


def _squeeze(node: Node) -> Tensor:
    axes = node.whole(1, "axes")
    return node.tensor().moved(lambda p: np.squeeze(p, None if axes is None else tuple(axes)))


def _unsqueeze(node: Node) -> Tensor:
    axes = node.whole(1, "axes")
    assert axes is not None
    return node.tensor().moved(lambda places: np.expand_dims(places, tuple(axes)))


_MOVES: dict[str, Callable[[Node], Tensor]] = {
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}


@handles("Expand")
def _expand(node: Node) -> Tensor:
    shape = node.whole(1, "shape")
    assert shape is not None
    full = np.broadcast_shapes(node.tensor().shape, tuple(shape))
    return node.tensor().moved(lambda places: np.broadcast_to(places, full))


@handles("Slice")
def _slice(node: Node) -> Tensor:
    starts, ends = node.whole(1, "starts"), node.whole(2, "ends")
    assert starts is not None and ends is not None
    axes = node.whole(3, "axes") or list(range(len(starts)))
    steps = node.whole(4, "steps") or [1] * len(starts)
    tensor = node.tensor()
    chosen = [slice(None)] * len(tensor.shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = tensor.shape[axis]
        stop = None if step < 0 and end < -size else end
        chosen[axis] = slice(start, stop, step)
    return tensor.moved(lambda places: places[tuple(chosen)])


@handles("Gather")
def _gather(node: Node) -> Tensor:
    index = np.asarray(node.array(1)).astype(np.int64)
    axis = int(node.get("axis", 0))
    return node.tensor().moved(lambda places: np.take(places, index, axis))


@handles("Split")
def _split(node: Node) -> list[Tensor]:
    tensor, axis = node.tensor(), int(node.get("axis", 0))
    size = tensor.shape[axis]
    each = -(-size // node.outputs)
    sizes = node.whole(1, "split") or [
        min(each, size - each * number) for number in range(node.outputs)
    ]
    ends: Sequence[int] = np.cumsum(sizes).tolist()
    if ends[-1] != size:
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
    size = tensor.shape[axis] if node.opset >= 13 else math.prod(tensor.shape[axis:])
    if size != math.prod(tensor.shape):
        raise NetworkFormatError("it is over a part of the numbers, not over all classes")
    return Final(tensor)

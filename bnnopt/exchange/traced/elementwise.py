"""Operators of ONNX that take each number alone."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced import linear
from bnnopt.exchange.traced.node import Final, Node, registry
from bnnopt.exchange.traced.scalar import SIGN, Steps, compare
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["HANDLERS"]

Array = npt.NDArray[Any]
GRID = 2**20

HANDLERS, handles = registry()


@handles("Add", "Sub", "Mul", "Div")
def _arithmetic(node: Node) -> Tensor:
    left, right = node.inputs[:2]
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        if node.kind not in ("Add", "Sub"):
            raise NetworkFormatError("it takes the product or quotient of two parts of the image")
        return linear.add(left, right, 1.0 if node.kind == "Add" else -1.0, node.note)
    if isinstance(left, Tensor):
        return _with_number(node.kind, left, np.asarray(node.given(1, "second number")))
    tensor, number = node.tensor(1), node.given(0, "first number")
    if node.kind == "Div":
        raise NetworkFormatError("it divides by what depends on the image")
    if node.kind == "Sub":
        return tensor.apply("multiply", np.asarray(-1)).apply("add", number)
    return _with_number(node.kind, tensor, number)


def _with_number(kind: str, tensor: Tensor, number: Array) -> Tensor:
    match kind:
        case "Add":
            return tensor.apply("add", number)
        case "Sub":
            return tensor.apply("add", -number)
        case "Mul":
            return tensor.apply("multiply", number)
    if (number == 0).any():
        raise NetworkFormatError("it divides by 0")
    return tensor.apply("divide", number)


@handles("Sum")
def _sum(node: Node) -> Tensor:
    tensors = [value for value in node.inputs if isinstance(value, Tensor)]
    total = tensors[0]
    for other in tensors[1:]:
        total = linear.add(total, other, 1.0, node.note)
    for value in node.inputs:
        if not isinstance(value, Tensor):
            total = total.apply("add", value)
    return total


@handles("Neg")
def _negated(node: Node) -> Tensor:
    return node.tensor().apply("multiply", np.asarray(-1))


@handles("Identity", "Dropout")
def _identity(node: Node) -> Any:
    if node.kind == "Dropout" and bool(np.any(node.array(2, False))):
        raise NetworkFormatError("it is in training mode: export the network for inference")
    value = node.inputs[0]
    return value if isinstance(value, Final) else node.tensor()


@handles("Cast", "CastLike")
def _cast(node: Node) -> Any:
    kind = _wanted_kind(node)
    value = node.inputs[0]
    if isinstance(value, Final) and kind.kind == "f":
        return value
    tensor = node.tensor()
    if tensor.is_stepped:
        return tensor.mapped(lambda values: _converted(values, kind))
    if kind.kind == "f":
        if kind.itemsize < tensor.precision.itemsize:
            node.note(f"numbers before a sign are rounded to {kind}")
        return replace(tensor, precision=kind)
    if tensor.precision.kind in "iu" and np.can_cast(tensor.precision, kind):
        return replace(tensor, precision=kind)
    raise NetworkFormatError(f"it makes real numbers {kind}: only signs have few values")


def _wanted_kind(node: Node) -> np.dtype[Any]:
    if node.kind == "CastLike":
        kind = np.asarray(node.given(1, "type")).dtype
    else:
        kind = np.dtype(node.get("to", object))
    if kind.kind not in "biuf":
        raise NetworkFormatError("it makes something else than truth values or numbers")
    return kind


def _converted(values: Array, kind: np.dtype[Any]) -> Array:
    """Values of steps in another type, if that has them."""
    if kind.kind in "iu":
        whole, limits = np.trunc(values.astype(np.float64)), np.iinfo(kind)
        if not ((whole >= limits.min) & (whole <= limits.max)).all():
            raise NetworkFormatError(f"it makes numbers {kind} that are beyond its range")
        return whole.astype(kind)
    return (values != 0) if kind.kind == "b" else values.astype(kind)


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
        return difference.step(compare(is_greater, or_equal), kind=bool)
    if isinstance(left, Tensor):
        tensor, number = node.tensor(0), node.array(1)
    else:
        tensor, number, is_greater = node.tensor(1), node.array(0), not is_greater
    return linear.single(tensor, node.note).step(compare(is_greater, or_equal), number, bool)


@handles("Not")
def _not(node: Node) -> Tensor:
    return node.tensor().mapped(lambda values: values == 0)


@handles("Where")
def _where(node: Node) -> Tensor:
    yes, no = (np.asarray(node.given(at, "choice")) for at in (1, 2))
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
    tensor = found[0]
    for value in node.inputs:
        if not isinstance(value, Tensor):
            low, high = (value, math.inf) if node.kind == "Max" else (-math.inf, value)
            tensor = tensor.apply("clip", low, high)
    return tensor


@handles("Relu")
def _relu(node: Node) -> Tensor:
    return node.tensor().apply("clip", np.asarray(0.0), np.asarray(math.inf))


@handles("LeakyRelu", "PRelu")
def _leaky(node: Node) -> Tensor:
    slope = np.asarray(node.array(1, node.get("alpha", 0.01)))
    if not (slope > 0).all():
        raise NetworkFormatError("its slope below 0 must be positive")
    return node.tensor().apply("leaky", slope, keeps_shape=True)


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
    given = [np.asarray(node.given(at, "norm")) for at in range(1, 5)]
    channels = tensor.shape[1] if len(tensor.shape) > 1 else 1
    if any(array.shape != (channels,) for array in given):
        raise NetworkFormatError(f"its numbers are not one for each of {channels} channels")
    gamma, beta, mean, variance = (array.reshape(shape) for array in given)
    with np.errstate(invalid="ignore"):
        sigma = np.sqrt(variance + variance.dtype.type(node.get("epsilon", 1e-5)))
    if not (sigma > 0).all():
        raise NetworkFormatError("a variance with its epsilon must be above 0")
    return tensor.apply("normalize", gamma, beta, mean, sigma)

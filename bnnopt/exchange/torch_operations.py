"""What ATen's functions of numbers do to tensors, most of them in the words of ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.operators import Final
from bnnopt.exchange.scalar import Steps
from bnnopt.exchange.tensor import Tensor
from bnnopt.exchange.torch_calls import Call, handles
from bnnopt.exchange.torch_steps import EQUAL, are_of_one, combined

__all__ = ["STEPPING"]

Array = npt.NDArray[Any]

STEPPING = frozenset(
    [
        "bitwise_and",
        "bitwise_not",
        "bitwise_or",
        "eq",
        "ge",
        "gt",
        "index_put",
        "le",
        "logical_and",
        "logical_not",
        "logical_or",
        "lt",
        "masked_fill",
        "ne",
        "where",
    ]
)
"""Operations that leave signs what they are: those need not be neurons yet."""


@handles("add", "sub", "mul", "div", "rsub")
def _arithmetic(call: Call) -> Any:
    kind = call.operation.kind
    if call.get("rounding_mode") is not None:
        raise NetworkFormatError("it rounds a quotient")
    left, right, alpha = call.get("self"), call.get("other"), call.get("alpha", 1)
    tensors = [value for value in (left, right) if isinstance(value, Tensor)]
    if any(isinstance(value, Final) for value in (left, right)):
        call.tensor("other" if isinstance(right, Final) else "self")  # which says so
    if len(tensors) == 2:
        if alpha != 1:
            right = right.apply("multiply", np.asarray(alpha, dtype=right.precision))
        if kind in _OF_SIGNS and are_of_one(tensors):
            return combined(_OF_SIGNS[kind], [left, right])
    else:
        like = tensors[0]
        if isinstance(right, Tensor):
            left = np.asarray(left, dtype=like.precision)
            if alpha != 1:
                right = right.apply("multiply", np.asarray(alpha, dtype=like.precision))
        else:
            right = np.asarray(right, dtype=like.precision) * like.precision.type(alpha)
    if kind == "rsub":
        left, right, kind = right, left, "sub"
    return call.onnx(kind.capitalize(), left, right)


_OF_SIGNS: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "bitwise_and": np.logical_and,
    "bitwise_or": np.logical_or,
}


@handles("logical_and", "logical_or", "bitwise_and", "bitwise_or")
def _logical(call: Call) -> Any:
    parts = [call.tensor("self"), call.tensor("other")]
    if not are_of_one(parts):
        raise NetworkFormatError("it joins comparisons of different numbers")
    return combined(_OF_SIGNS[call.operation.kind], parts)


@handles("logical_not", "bitwise_not")
def _not(call: Call) -> Any:
    return call.onnx("Not", call.tensor())


@handles("ge", "gt", "le", "lt")
def _compared(call: Call) -> Any:
    kind = {"ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "lt": "Less"}
    left, right = call.get("self"), call.get("other")
    like = left if isinstance(left, Tensor) else call.tensor("other")
    if not isinstance(right, Tensor):
        right = call.constant("other", like)
    elif not isinstance(left, Tensor):
        left = call.constant("self", like)
    return call.onnx(kind[call.operation.kind], left, right)


@handles("eq", "ne")
def _equal(call: Call) -> Any:
    names = ("self", "other") if isinstance(call.get("self"), Tensor) else ("other", "self")
    tensor = call.single(names[0])
    found = tensor.step(EQUAL, call.constant(names[1], tensor))
    return found if call.operation.kind == "eq" else call.onnx("Not", found)


@handles("where")
def _where(call: Call) -> Any:
    condition = call.get("condition")
    if not isinstance(condition, Tensor):
        raise NetworkFormatError("its condition must depend on the image")
    return _chosen(call, condition, call.get("self"), call.get("other"))


@handles("masked_fill")
def _masked_fill(call: Call) -> Any:
    return _chosen(call, call.tensor("mask"), call.constant("value"), call.get("self"))


@handles("index_put")
def _index_put(call: Call) -> Any:
    indices, value = call.get("indices"), call.get("values")
    if len(indices) != 1 or not isinstance(indices[0], Tensor) or np.size(value) != 1:
        raise NetworkFormatError("it sets single numbers: only x[x == 0] = 1 and the like fit")
    if call.get("accumulate"):
        raise NetworkFormatError("it adds to what it sets")
    return _chosen(call, indices[0], value, call.get("self"))


def _chosen(call: Call, condition: Tensor, yes: Any, no: Any) -> Any:
    tensors = [value for value in (condition, yes, no) if isinstance(value, Tensor)]
    if len(tensors) == 1:
        yes, no = (np.asarray(value, dtype=condition.precision) for value in (yes, no))
        return call.onnx("Where", condition, yes, no)
    scalars = [np.size(v) == 1 for v in (yes, no) if not isinstance(v, Tensor)]
    if not are_of_one(tensors) or not all(scalars):
        raise NetworkFormatError("it chooses between real numbers: only signs fit")
    yes, no = (v if isinstance(v, Tensor) else float(np.ravel(v)[0]) for v in (yes, no))
    return combined(lambda c, y, n: np.asarray(np.where(c != 0, y, n)), [condition, yes, no])


@handles("sign", "sgn")
def _sign(call: Call) -> Any:
    return call.onnx("Sign", call.tensor())


@handles("heaviside")
def _heaviside(call: Call) -> Any:
    at_zero = np.unique(call.constant("values"))
    if len(at_zero) != 1:
        raise NetworkFormatError("it has several values at 0")
    return call.single().step(Steps((True, False), (0.0, float(at_zero[0]), 1.0)))


@handles("_to_copy")
def _to_copy(call: Call) -> Any:
    wanted = call.get("dtype")
    if wanted is None:
        return call.tensor()
    if wanted in (torch.bfloat16, torch.float16):
        raise NetworkFormatError(f"it computes in {wanted}: convert the module to float32")
    kind = np.dtype(str(wanted).removeprefix("torch."))
    return call.onnx("Cast", call.tensor(), to=kind)


@handles("clone", "native_dropout", "alias", "detach")
def _identity(call: Call) -> Any:
    if call.operation.kind == "native_dropout" and call.get("train"):
        raise NetworkFormatError("it drops numbers at random, in evaluation too")
    return call.get("self", call.get("input"))


@handles("copy")
def _copy(call: Call) -> Any:
    source, shape = call.tensor("src"), np.shape(call.get("self"))
    if isinstance(call.get("self"), Tensor):
        shape = call.tensor().shape
    return source.moved(lambda places: np.broadcast_to(places, shape))


@handles("neg")
def _negated(call: Call) -> Any:
    return call.onnx("Neg", call.tensor())


@handles("relu", "tanh", "sigmoid")
def _curve(call: Call) -> Any:
    return call.onnx(call.operation.kind.capitalize(), call.tensor())


@handles("clamp", "clamp_min", "clamp_max", "hardtanh")
def _clamp(call: Call) -> Any:
    tensor = call.tensor()
    names = ("min_val", "max_val") if call.operation.kind == "hardtanh" else ("min", "max")
    limits = [call.constant(name, tensor) for name in names]
    low, high = (
        np.asarray(default) if limit is None else limit
        for limit, default in zip(limits, (-math.inf, math.inf), strict=True)
    )
    return call.onnx("Clip", tensor, low, high)


@handles("maximum", "minimum")
def _extreme(call: Call) -> Any:
    kind = {"maximum": "Max", "minimum": "Min"}[call.operation.kind]
    return call.onnx(kind, call.get("self"), call.get("other"))


@handles("leaky_relu")
def _leaky(call: Call) -> Any:
    return call.onnx("LeakyRelu", call.tensor(), alpha=call.get("negative_slope"))


@handles("_prelu_kernel")
def _prelu(call: Call) -> Any:
    return call.onnx("PRelu", call.tensor(), call.constant("weight"))


@handles("hardsigmoid")
def _hard_sigmoid(call: Call) -> Any:
    return call.onnx("HardSigmoid", call.tensor(), alpha=1.0 / 6.0, beta=0.5)


@handles("round", "floor", "ceil")
def _rounded(call: Call) -> Any:
    return call.onnx(call.operation.kind.capitalize(), call.tensor())

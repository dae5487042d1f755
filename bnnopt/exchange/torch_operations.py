"""What the operations of ATen do to tensors, most of them in the words of ONNX.

A handler takes a `Call` and returns the output, or a list of outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._pytree import tree_flatten

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange import linear
from bnnopt.exchange.building import Building
from bnnopt.exchange.operators import Final
from bnnopt.exchange.scalar import Steps
from bnnopt.exchange.tensor import Tensor
from bnnopt.exchange.torch_recording import Operation
from bnnopt.exchange.torch_steps import EQUAL, are_of_one, combined

__all__ = ["HANDLERS", "STEPPING", "Call"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Call:
    """One operation, and what its arguments are.

    Parameters
    ----------
    operation : Operation
    values : dict
        Its arguments: a `Tensor` or `Final` where the operation has a `Value`.
    building : Building
    """

    operation: Operation
    values: dict[str, Any]
    building: Building

    def get(self, name: str, default: Any = None) -> Any:
        """An argument."""
        return self.values.get(name, default)

    def tensor(self, name: str = "self") -> Tensor:
        """One that depends on the image."""
        value = self.get(name)
        if isinstance(value, Final):
            raise NetworkFormatError("it follows a Softmax, which must be last")
        if not isinstance(value, Tensor):
            raise NetworkFormatError(f"its {name} must depend on the image")
        return value

    def constant(self, name: str, like: Tensor | None = None) -> Any:
        """One that does not, in the precision of a tensor; None if there is none."""
        value = self.get(name)
        if isinstance(value, Tensor | Final):
            raise NetworkFormatError(f"its {name} must not depend on the image")
        if value is None or like is None:
            return value
        return np.asarray(value, dtype=like.precision)

    def onnx(self, kind: str, *inputs: Any, **attributes: Any) -> Any:
        """An operator of ONNX."""
        return self.building.applied(kind, self.operation.name, inputs, attributes)

    def single(self, name: str = "self") -> Tensor:
        """A tensor behind which a step can follow."""
        return linear.single(self.tensor(name), self.building.noter(self.operation.name))


Handler = Callable[[Call], Any]
HANDLERS: dict[str, Handler] = {}

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


def handles(*kinds: str) -> Callable[[Handler], Handler]:
    """Register a handler."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(kinds, handler))
        return handler

    return register


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


@handles("native_batch_norm", "_native_batch_norm_legit_no_training")
def _batch_norm(call: Call) -> Any:
    tensor = call.tensor("input")
    if call.get("training", False):
        raise NetworkFormatError("it normalizes by the batch's own mean, in evaluation too")
    mean, variance = call.constant("running_mean"), call.constant("running_var")
    gamma, beta = call.constant("weight"), call.constant("bias")
    gamma = np.ones_like(mean) if gamma is None else gamma
    beta = np.zeros_like(mean) if beta is None else beta
    parts = (gamma, beta, mean, variance)
    return [call.onnx("BatchNormalization", tensor, *parts, epsilon=call.get("eps"))]


@handles("mm", "bmm", "mv", "matmul")
def _product(call: Call) -> Any:
    names = [name for name in call.values if name not in ("out_dtype",)][:2]
    return call.onnx("MatMul", *(call.get(name) for name in names))


@handles("addmm")
def _affine(call: Call) -> Any:
    product = call.onnx("MatMul", call.get("mat1"), call.get("mat2"))
    for factor in (call.get("alpha", 1), call.get("beta", 1)):
        if factor != 1:
            raise NetworkFormatError("it has factors of its own")
    return product.apply("add", call.constant("self", product))


@handles("convolution")
def _convolution(call: Call) -> Any:
    if call.get("transposed"):
        raise NetworkFormatError("it is a transposed convolution")
    padding = list(call.get("padding"))
    inputs = [call.tensor("input"), call.constant("weight"), call.constant("bias")]
    return call.onnx(
        "Conv",
        *inputs,
        strides=list(call.get("stride")),
        pads=padding * 2,
        dilations=list(call.get("dilation")),
        group=int(call.get("groups")),
    )


def _both(value: Any) -> list[int]:
    found = [int(v) for v in np.ravel(value)]
    return found * 2 if len(found) == 1 else found


@handles("max_pool2d_with_indices")
def _max_pool(call: Call) -> Any:
    size = _both(call.get("kernel_size"))
    found = call.onnx(
        "MaxPool",
        call.tensor(),
        kernel_shape=size,
        strides=_both(call.get("stride") or size),
        pads=_both(call.get("padding")) * 2,
        dilations=_both(call.get("dilation")),
        ceil_mode=int(call.get("ceil_mode")),
    )
    return [found]


@handles("avg_pool2d")
def _mean_pool(call: Call) -> Any:
    if call.get("divisor_override") is not None:
        raise NetworkFormatError("it divides by a number of its own")
    size = _both(call.get("kernel_size"))
    return call.onnx(
        "AveragePool",
        call.tensor(),
        kernel_shape=size,
        strides=_both(call.get("stride") or size),
        pads=_both(call.get("padding")) * 2,
        ceil_mode=int(call.get("ceil_mode")),
        count_include_pad=int(call.get("count_include_pad")),
    )


@handles("_adaptive_avg_pool2d", "adaptive_max_pool2d")
def _adaptive_pool(call: Call) -> Any:
    tensor, sides = call.tensor(), _both(call.get("output_size"))
    if any(have % wanted for have, wanted in zip(tensor.shape[2:], sides, strict=True)):
        raise NetworkFormatError(f"its windows differ in size: {tensor.shape[2:]} to {sides}")
    size = [have // wanted for have, wanted in zip(tensor.shape[2:], sides, strict=True)]
    kind = "AveragePool" if "avg" in call.operation.kind else "MaxPool"
    found = call.onnx(kind, tensor, kernel_shape=size, strides=size)
    return found if kind == "AveragePool" else [found]


@handles("mean", "sum")
def _reduced(call: Call) -> Any:
    tensor = call.tensor()
    axes = [int(axis) % len(tensor.shape) for axis in call.get("dim") or range(len(tensor.shape))]
    kind = "ReduceMean" if call.operation.kind == "mean" else "ReduceSum"
    keep = int(bool(call.get("keepdim", False)))
    return call.onnx(kind, tensor, np.asarray(axes), keepdims=keep)


@handles("constant_pad_nd")
def _pad(call: Call) -> Any:
    tensor, given = call.tensor(), [int(side) for side in call.get("pad")]
    axes = len(tensor.shape)
    before, after = [0] * axes, [0] * axes
    for place in range(len(given) // 2):  # from the last axis on
        before[axes - 1 - place], after[axes - 1 - place] = given[2 * place : 2 * place + 2]
    return call.onnx("Pad", tensor, np.asarray(before + after), np.asarray(call.get("value", 0.0)))


@handles("cat")
def _cat(call: Call) -> Any:
    return call.onnx("Concat", *call.get("tensors"), axis=int(call.get("dim")))


@handles("stack")
def _stack(call: Call) -> Any:
    tensors, axis = call.get("tensors"), int(call.get("dim"))
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise NetworkFormatError("it puts constants beside parts of the image")
    known = [call.building.neurons(tensor, call.operation.name) for tensor in tensors]
    wide = [tensor.moved(lambda places: np.expand_dims(places, axis)) for tensor in known]
    return call.onnx("Concat", *wide, axis=axis)


@handles("_softmax", "_log_softmax")
def _softmax(call: Call) -> Any:
    kind = "Softmax" if call.operation.kind == "_softmax" else "LogSoftmax"
    return call.onnx(kind, call.tensor(), axis=int(call.get("dim")))


@handles("view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "slice")
@handles("select", "squeeze", "unsqueeze", "flip", "repeat", "index", "index_select", "roll")
@handles("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "split", "split_with_sizes")
@handles("unbind", "diagonal", "rot90", "unfold")
def _moved(call: Call) -> Any:
    """Torch itself moves the numbers of the places."""
    value, rest = call.get("self"), {k: v for k, v in call.values.items() if k != "self"}
    tensor = value.tensor if isinstance(value, Final) else call.tensor()
    if any(isinstance(part, Tensor | Final) for part in tree_flatten(rest)[0]):
        raise NetworkFormatError("where it looks depends on the image")
    rest = {name: _as_torch(part) for name, part in rest.items()}
    function = call.operation.function

    def moved(places: Array, number: int | None) -> Array:
        found = function(torch.from_numpy(np.ascontiguousarray(places)), **rest)
        return np.asarray((found if number is None else found[number]).numpy())

    count = len(call.operation.outputs)
    is_list = count > 1 or call.operation.kind.startswith(("split", "unbind"))
    found = [
        tensor.moved(lambda places, n=number if is_list else None: moved(places, n))  # type: ignore[misc]
        for number in range(count)
    ]
    if isinstance(value, Final):
        return [replace(value, tensor=one) for one in found]
    return found


def _as_torch(part: Any) -> Any:
    if isinstance(part, np.ndarray):
        return torch.from_numpy(part)
    return [_as_torch(one) for one in part] if isinstance(part, list | tuple) else part

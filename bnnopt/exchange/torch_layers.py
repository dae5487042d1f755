"""What ATen's layers, and its functions that move numbers, do to tensors.

Most of them in the words of ONNX.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._pytree import tree_flatten

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.operators import Final
from bnnopt.exchange.tensor import Tensor
from bnnopt.exchange.torch_calls import HANDLERS, Call, handles

__all__ = ["HANDLERS"]

Array = npt.NDArray[Any]


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

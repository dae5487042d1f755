"""Operations of ATen that add numbers up, or take their maximum."""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.torch_modules.calls import Call
from bnnopt.exchange.traced.node import registry

__all__ = ["HANDLERS"]

HANDLERS, handles = registry()


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

"""Operations of ATen that take each number alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.torch_modules.calls import Call
from bnnopt.exchange.torch_modules.steps import OF_SIGNS, are_of_one, combined
from bnnopt.exchange.traced.node import registry
from bnnopt.exchange.traced.scalar import Steps
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["HANDLERS"]

HANDLERS, handles = registry()


@handles("add", "sub", "mul", "div", "rsub")
def _arithmetic(call: Call) -> Any:
    kind = call.operation.kind
    if call.get("rounding_mode") is not None:
        raise NetworkFormatError("it rounds a quotient")
    left, right, alpha = call.operand("self"), call.operand("other"), call.get("alpha", 1)
    if kind == "rsub":
        left, right, kind = right, left, "sub"
    if alpha != 1:
        factor = call.kind.type(alpha)
        is_tensor = isinstance(right, Tensor)
        right = right.apply("multiply", factor) if is_tensor else right * factor
    tensors = [value for value in (left, right) if isinstance(value, Tensor)]
    if len(tensors) == 2 and kind in OF_SIGNS and are_of_one(tensors):
        return combined(OF_SIGNS[kind], [left, right], call.kind)
    found = call.onnx(kind.capitalize(), left, right)
    return found if found.is_stepped else replace(found, precision=call.kind)


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
        return call.get("self")
    if wanted in (torch.bfloat16, torch.float16):
        raise NetworkFormatError(f"it computes in {wanted}: convert the module to float32")
    return call.onnx("Cast", call.get("self"), to=call.kind)


@handles("clone", "native_dropout", "alias", "detach")
def _identity(call: Call) -> Any:
    if call.operation.kind == "native_dropout" and call.get("train"):
        raise NetworkFormatError("it drops numbers at random, in evaluation too")
    return call.get("self", call.get("input"))


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

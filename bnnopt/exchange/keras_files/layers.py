"""What the layers of Keras and Larq do to tensors, in the order batch, row, column, channel.

Where the words of ONNX say it, they are used: of channels first, so that a convolution remains one.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.image import Image
from bnnopt.exchange.keras_files.file import KerasLayer, KerasModel
from bnnopt.exchange.keras_files.quantizers import HEAVISIDE, SIGNS, quantized, quantizer
from bnnopt.exchange.traced import linear
from bnnopt.exchange.traced.building import LINEAR, Building, Walk
from bnnopt.exchange.traced.node import Final, registry
from bnnopt.exchange.traced.scalar import compare
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["input_name", "pair", "walk"]

Array = npt.NDArray[Any]

ERRORS = (ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError)
FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)
"""Axes that bring channels to the front, and back."""


def input_name(layer: KerasLayer) -> str:
    """What to call a layer's input behind its quantizer."""
    return f"{layer.name}.input_quantizer"


def walk(model: KerasModel, image: Image) -> Walk:
    """Evaluate the layers on tensors.

    Raises
    ------
    NetworkFormatError
        With the layer that does not fit, and why.
    """
    uses = Counter(name for layer in model.layers for name in layer.inputs)
    building = Building(image.about, uses + Counter([model.output]))
    building.put("", image.tensor)
    for layer in model.layers:
        inputs = [building.values[name] for name in layer.inputs] or [image.tensor]
        where = f"layer {layer.name!r} ({layer.kind})"
        try:
            building.put(layer.name, _applied(_Call(layer, inputs, building)))
            building.used(layer.inputs)
        except NetworkFormatError as error:
            raise NetworkFormatError(f"{where} does not fit: {error}") from None
        except ERRORS as error:
            raise NetworkFormatError(f"{where} cannot be read: {error}") from None
    return building.ended(model.output)


@dataclass(frozen=True)
class _Call:
    """One layer, and what it sees."""

    layer: KerasLayer
    inputs: list[Any]
    building: Building

    def get(self, key: str, default: Any = None) -> Any:
        """From its configuration."""
        return self.layer.config.get(key, default)

    @property
    def tensor(self) -> Tensor:
        """What it sees."""
        (value,) = self.inputs
        if isinstance(value, Final):
            raise NetworkFormatError("it follows a softmax, which must be last")
        assert isinstance(value, Tensor)
        return value

    def weight(self, name: str, *shape: int) -> Array:
        """One of its weights, which must have a shape; -1 is any side."""
        found = self.layer.weights.get(name)
        if found is None:
            raise NetworkFormatError(f"the file has no {name} for it")
        fits = len(found.shape) == len(shape) and all(
            want in (-1, have) for want, have in zip(shape, found.shape, strict=True)
        )
        if not fits:
            raise NetworkFormatError(f"its {name} has the shape {found.shape}, not {shape}")
        return found

    def onnx(self, kind: str, *inputs: Any, **attributes: Any) -> Any:
        """An operator of ONNX."""
        return self.building.applied(kind, f"layer {self.layer.name!r}", inputs, attributes)

    def channels_first(self, kind: str, tensor: Tensor, *more: Any, **attributes: Any) -> Any:
        """An operator of ONNX that wants channels first."""
        if len(tensor.shape) != 4:
            raise NetworkFormatError(f"it takes (rows, columns, channels), not {tensor.shape[1:]}")
        if self.get("data_format", "channels_last") not in ("channels_last", None):
            raise NetworkFormatError("its channels come first: only channels_last fits")
        if kind in LINEAR:  # while the tensor is one that the comparison knows
            tensor = self.building.neurons(tensor, self.layer.name)
        found = self.onnx(kind, tensor.moved(lambda p: p.transpose(FIRST)), *more, **attributes)
        return found.moved(lambda places: places.transpose(LAST))

    def quantized_input(self) -> Tensor:
        """What a linear layer sees: behind its input quantizer, signs made neurons."""
        name, _ = quantizer(self.get("input_quantizer"))
        tensor = self.tensor
        if name:
            tensor = _signs(self, tensor, name)
            self.building.put(input_name(self.layer), tensor)
        return self.building.neurons(tensor, self.layer.name)


def pair(value: Any) -> tuple[int, int]:
    """Of rows and columns, from one number or two, each at least 1."""
    rows, columns = value if isinstance(value, list | tuple) else (value, value)
    if not all(isinstance(side, int) and side >= 1 for side in (rows, columns)):
        raise NetworkFormatError(f"{value!r} must be whole numbers above 0")
    return rows, columns


HANDLERS, _handles = registry()


def _applied(call: _Call) -> Any:
    handler = HANDLERS.get(call.layer.kind.rsplit(">", 1)[-1])
    if handler is None:
        raise NetworkFormatError(f"it is none of {', '.join(sorted(HANDLERS))}")
    return handler(call)


def _signs(call: _Call, tensor: Tensor, name: str) -> Tensor:
    """Behind a quantizer of activations."""
    note = call.building.noter(call.layer.name)
    if name in SIGNS:
        return linear.single(tensor, note).step(compare(True, True, (-1.0, 1.0)))
    if name in HEAVISIDE:
        return linear.single(tensor, note).step(compare(True, False, (0.0, 1.0)))
    raise NetworkFormatError(f"its input quantizer {name!r} is no sign")


def _activated(call: _Call, tensor: Tensor, given: Any) -> Any:
    name, config = quantizer(given)
    match name:
        case "":
            return tensor
        case "softmax" | "log_softmax":
            kind = "Softmax" if name == "softmax" else "LogSoftmax"
            return call.onnx(kind, tensor, axis=-1)
        case "relu" | "tanh" | "sigmoid" | "softsign":
            if config:
                raise NetworkFormatError(f"its activation {name!r} has parameters")
            return call.onnx(name.capitalize(), tensor)
        case "hard_tanh":
            return call.onnx("Clip", tensor, np.float32(-1.0), np.float32(1.0))
    if name in SIGNS | HEAVISIDE:
        return _signs(call, tensor, name)
    raise NetworkFormatError(f"its activation {name!r} is none of a binarized network's")


@_handles("InputLayer", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout")
@_handles("AlphaDropout", "ActivityRegularization")
def _identity(call: _Call) -> Any:
    return call.inputs[0]


@_handles("Dense", "QuantDense")
def _dense(call: _Call) -> Any:
    seen, units = call.quantized_input(), int(call.get("units"))
    kernel = quantized(call.weight("kernel", -1, units), call.get("kernel_quantizer"))
    found = call.onnx("MatMul", seen, kernel)
    if call.get("use_bias", True):
        found = found.apply("add", call.weight("bias", units))
    return _activated(call, found, call.get("activation"))


@_handles("Conv2D", "QuantConv2D", "DepthwiseConv2D", "QuantDepthwiseConv2D")
def _convolution(call: _Call) -> Any:
    seen = call.quantized_input()
    size, stride = pair(call.get("kernel_size")), pair(call.get("strides", 1))
    dilation = pair(call.get("dilation_rate", 1))
    kernel, groups = _kernel(call, size, seen.shape[-1])
    padding = str(call.get("padding", "valid"))
    value = float(call.get("pad_values", 0.0) or 0.0)
    if padding not in ("valid", "same"):
        raise NetworkFormatError(f"its padding is {padding!r}: only valid and same fit")
    if padding == "same" and value != 0:
        sides = _same(seen.shape[1:3], size, stride, dilation)
        before, after = ([0, *(side[at] for side in sides), 0] for at in (0, 1))
        seen, padding = linear.pad(seen, before, after, value), "valid"
    found = call.channels_first(
        "Conv",
        seen,
        kernel,
        strides=list(stride),
        dilations=list(dilation),
        group=groups,
        auto_pad="SAME_UPPER" if padding == "same" else "VALID",
    )
    if call.get("use_bias", True):
        found = found.apply("add", call.weight("bias", len(kernel)))
    return _activated(call, found, call.get("activation"))


def _kernel(call: _Call, size: tuple[int, int], channels: int) -> tuple[Array, int]:
    """The kernel in the order of ONNX, and the number of groups."""
    if "Depthwise" in call.layer.kind:
        given = call.weight(
            "depthwise_kernel", *size, channels, int(call.get("depth_multiplier", 1))
        )
        kernel = quantized(given, call.get("depthwise_quantizer"))
        return kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *size), channels
    groups = int(call.get("groups", 1))
    given = call.weight("kernel", *size, channels // max(groups, 1), int(call.get("filters")))
    return quantized(given, call.get("kernel_quantizer")).transpose(3, 2, 0, 1), groups


def _same(sides: Any, size: Any, stride: Any, dilation: Any) -> list[tuple[int, int]]:
    """What TensorFlow pads by, before and after: the odd one comes after."""
    found = []
    for side, length, step, reach in zip(sides, size, stride, dilation, strict=True):
        whole = (math.ceil(side / step) - 1) * step + (length - 1) * reach + 1
        total = max(whole - side, 0)
        found.append((total // 2, total - total // 2))
    return found


@_handles("BatchNormalization")
def _norm(call: _Call) -> Any:
    tensor = call.tensor
    axis = call.get("axis", -1)
    (axis,) = axis if isinstance(axis, list) else [axis]
    if axis not in (-1, len(tensor.shape) - 1):
        raise NetworkFormatError(f"it normalizes axis {axis}: only the last one fits")
    size = tensor.shape[-1]
    gamma = call.weight("gamma", size) if call.get("scale", True) else np.ones(size, np.float32)
    beta = call.weight("beta", size) if call.get("center", True) else np.zeros(size, np.float32)
    mean, variance = call.weight("moving_mean", size), call.weight("moving_variance", size)
    sigma = np.sqrt(variance + np.float32(call.get("epsilon", 1e-3)))
    if not (sigma > 0).all():
        raise NetworkFormatError("a variance with its epsilon must be above 0")
    return tensor.apply("normalize", gamma, beta, mean, sigma)


@_handles("MaxPooling2D", "MaxPool2D", "AveragePooling2D", "AvgPool2D")
def _pool(call: _Call) -> Any:
    size = pair(call.get("pool_size", 2))
    padding = str(call.get("padding", "valid"))
    if padding not in ("valid", "same"):
        raise NetworkFormatError(f"its padding is {padding!r}: only valid and same fit")
    kind = "MaxPool" if call.layer.kind.startswith("Max") else "AveragePool"
    return call.channels_first(
        kind,
        call.tensor,
        kernel_shape=list(size),
        strides=list(pair(call.get("strides") or list(size))),
        auto_pad="SAME_UPPER" if padding == "same" else "VALID",
    )


@_handles("GlobalAveragePooling2D", "GlobalAvgPool2D", "GlobalMaxPooling2D", "GlobalMaxPool2D")
def _global_pool(call: _Call) -> Any:
    kind = "GlobalMaxPool" if "Max" in call.layer.kind else "GlobalAveragePool"
    found = call.channels_first(kind, call.tensor)
    if call.get("keepdims", False):
        return found
    return found.reshaped((found.shape[0], found.shape[-1]))


@_handles("Flatten")
def _flatten(call: _Call) -> Any:
    return call.onnx("Flatten", call.inputs[0], axis=1)


@_handles("Reshape")
def _reshape(call: _Call) -> Any:
    return call.onnx("Reshape", call.inputs[0], np.asarray([1, *call.get("target_shape")]))


@_handles("Permute")
def _permute(call: _Call) -> Any:
    return call.onnx("Transpose", call.tensor, perm=[0, *call.get("dims")])


@_handles("Activation")
def _activation(call: _Call) -> Any:
    return _activated(call, call.tensor, call.get("activation"))


@_handles("ReLU")
def _relu(call: _Call) -> Any:
    if call.get("negative_slope") or call.get("threshold"):
        raise NetworkFormatError("it has a slope or a threshold")
    most = call.get("max_value")
    high = np.float32(math.inf if most is None else float(most))
    return call.onnx("Clip", call.tensor, np.float32(0.0), high)


@_handles("LeakyReLU")
def _leaky(call: _Call) -> Any:
    slope = call.get("alpha", call.get("negative_slope", 0.3))
    return call.onnx("LeakyRelu", call.tensor, alpha=np.float32(slope))


@_handles("Softmax")
def _softmax(call: _Call) -> Any:
    return call.onnx("Softmax", call.tensor, axis=int(call.get("axis", -1)))


@_handles("ZeroPadding2D")
def _zero_padding(call: _Call) -> Any:
    given = call.get("padding", 1)
    rows, columns = given if isinstance(given, list) else (given, given)
    sides = [side if isinstance(side, list) else (side, side) for side in (rows, columns)]
    before, after = ([0, *(int(side[at]) for side in sides), 0] for at in (0, 1))
    return linear.pad(call.tensor, before, after, 0.0)


@_handles("Rescaling")
def _rescaling(call: _Call) -> Any:
    scale, offset = np.float32(call.get("scale", 1.0)), np.float32(call.get("offset", 0.0))
    return call.tensor.apply("multiply", scale).apply("add", offset)


@_handles("Add")
def _add(call: _Call) -> Any:
    return call.onnx("Sum", *call.inputs)


@_handles("Concatenate")
def _concatenate(call: _Call) -> Any:
    return call.onnx("Concat", *call.inputs, axis=int(call.get("axis", -1)))

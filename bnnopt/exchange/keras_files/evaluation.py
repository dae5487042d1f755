"""A model of Keras evaluated in float32, by numpy alone.

There is no TensorFlow to compare with where only the file is. This is written from the definitions
of the layers, and apart from the way that networks are read, so that a mistake in one is seen by
the other: windows of images and products, batch by batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from bnnopt.exchange.keras_files.file import KerasLayer, KerasModel
from bnnopt.exchange.keras_files.layers import input_name, pair
from bnnopt.exchange.keras_files.quantizers import HEAVISIDE, SIGNS, quantized, quantizer

__all__ = ["evaluated_layers"]

Array = npt.NDArray[Any]


def evaluated_layers(model: KerasModel, values: Array, names: list[str]) -> list[Array]:
    """Layers by name, of shape (batch, numbers).

    A softmax, which is last, is left out: what is compared is the logits.

    Parameters
    ----------
    model : KerasModel
        One that could be read: its layers and their settings are known to fit.
    values : array of float32, shape (batch, *shape)
    names : list of str
        Of layers, or of their quantized inputs.
    """
    found: dict[str, Array] = {}
    for layer in model.layers:
        inputs = [found[name] for name in layer.inputs] or [values]
        if quantizer(layer.config.get("input_quantizer"))[0]:
            inputs = [_activated(inputs[0], layer.config["input_quantizer"])]
            found[input_name(layer)] = inputs[0]
        found[layer.name] = _LAYERS[layer.kind.rsplit(">", 1)[-1]](layer, inputs)
    return [found[name].reshape(len(values), -1) for name in names]


def _activated(x: Array, given: Any) -> Array:
    name, _ = quantizer(given)
    if name in SIGNS:
        return np.where(x < 0, np.float32(-1), np.float32(1))
    if name in HEAVISIDE:
        return (x > 0).astype(np.float32)
    return _ACTIVATIONS[name](x)


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "": lambda x: x,
    "softmax": lambda x: x,
    "log_softmax": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
}


def _finished(layer: KerasLayer, x: Array) -> Array:
    """With a linear layer's bias and activation."""
    if layer.config.get("use_bias", True):
        x = x + layer.weights["bias"]
    return _activated(x, layer.config.get("activation"))


def _dense(layer: KerasLayer, inputs: list[Array]) -> Array:
    kernel = quantized(layer.weights["kernel"], layer.config.get("kernel_quantizer"))
    return _finished(layer, inputs[0] @ kernel)


def _windows(
    layer: KerasLayer, x: Array, size: tuple[int, int], stride: tuple[int, int], fill: float
) -> Array:
    """Shape (batch, rows, columns, channels, height, width)."""
    dilation = pair(layer.config.get("dilation_rate", 1))
    reach = [(side - 1) * step + 1 for side, step in zip(size, dilation, strict=True)]
    if layer.config.get("padding", "valid") == "same":
        width = [(0, 0)]
        for side, length, step in zip(x.shape[1:3], reach, stride, strict=True):
            lacking = max((math.ceil(side / step) - 1) * step + length - side, 0)
            width.append((lacking // 2, lacking - lacking // 2))
        x = np.pad(x, [*width, (0, 0)], constant_values=fill)
    every = sliding_window_view(x, reach, (1, 2))
    found = every[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    return np.asarray(found)


def _convolution(layer: KerasLayer, inputs: list[Array]) -> Array:
    config, (x,) = layer.config, inputs
    size, stride = pair(config["kernel_size"]), pair(config.get("strides", 1))
    windows = _windows(layer, x, size, stride, float(config.get("pad_values", 0.0) or 0.0))
    if "depthwise_kernel" in layer.weights:
        kernel = quantized(layer.weights["depthwise_kernel"], config.get("depthwise_quantizer"))
        found = np.einsum("nrchij,ijhm->nrchm", windows, kernel)
        return _finished(layer, found.reshape(*found.shape[:3], -1))
    kernel = quantized(layer.weights["kernel"], config.get("kernel_quantizer"))
    groups = int(config.get("groups", 1))
    seen, made = np.split(windows, groups, axis=3), np.split(kernel, groups, axis=3)
    parts = [
        np.tensordot(part, weight.transpose(2, 0, 1, 3), axes=3)
        for part, weight in zip(seen, made, strict=True)
    ]
    return _finished(layer, np.concatenate(parts, axis=-1))


def _norm(layer: KerasLayer, inputs: list[Array]) -> Array:
    weights = layer.weights
    deviation = np.sqrt(weights["moving_variance"] + np.float32(layer.config.get("epsilon", 1e-3)))
    normal = (inputs[0] - weights["moving_mean"]) / deviation
    if layer.config.get("scale", True):
        normal = normal * weights["gamma"]
    return normal + weights["beta"] if layer.config.get("center", True) else normal


def _pool(layer: KerasLayer, inputs: list[Array]) -> Array:
    size = pair(layer.config.get("pool_size", 2))
    stride = pair(layer.config.get("strides") or list(size))
    if layer.kind.startswith("Max"):
        return np.asarray(_windows(layer, inputs[0], size, stride, -math.inf).max(axis=(4, 5)))
    ones = np.ones((1, *inputs[0].shape[1:]), dtype=np.float32)
    total, count = (
        _windows(layer, x, size, stride, 0.0).sum(axis=(4, 5), dtype=np.float32)
        for x in (inputs[0], ones)
    )
    return np.asarray(total / count)


def _global_pool(layer: KerasLayer, inputs: list[Array]) -> Array:
    keep = bool(layer.config.get("keepdims", False))
    reduce = np.max if "Max" in layer.kind else np.mean
    return np.asarray(reduce(inputs[0], axis=(1, 2), keepdims=keep))


def _relu(layer: KerasLayer, inputs: list[Array]) -> Array:
    most = layer.config.get("max_value")
    return np.clip(inputs[0], 0, None if most is None else float(most))


def _leaky(layer: KerasLayer, inputs: list[Array]) -> Array:
    slope = layer.config.get("alpha", layer.config.get("negative_slope", 0.3))
    return np.where(inputs[0] < 0, inputs[0] * np.float32(slope), inputs[0])


def _zero_padding(layer: KerasLayer, inputs: list[Array]) -> Array:
    given = layer.config.get("padding", 1)
    width = [(0, 0), (0, 0), (0, 0), (0, 0)]
    for axis, side in enumerate(given if isinstance(given, list) else (given, given), 1):
        low, high = side if isinstance(side, list) else (side, side)
        width[axis] = (int(low), int(high))
    return np.pad(inputs[0], width)


def _rescaled(layer: KerasLayer, inputs: list[Array]) -> Array:
    scale, offset = layer.config.get("scale", 1.0), layer.config.get("offset", 0.0)
    return np.asarray(inputs[0] * np.float32(scale) + np.float32(offset))


def _reshaped(layer: KerasLayer, inputs: list[Array]) -> Array:
    return inputs[0].reshape(len(inputs[0]), *layer.config["target_shape"])


Layer = Callable[[KerasLayer, list[Array]], Array]
_SAME = ["InputLayer", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"]
_SAME += ["AlphaDropout", "ActivityRegularization", "Softmax"]
_LAYERS: dict[str, Layer] = {
    **dict.fromkeys(_SAME, lambda layer, inputs: inputs[0]),
    **dict.fromkeys(["Dense", "QuantDense"], _dense),
    **dict.fromkeys(["Conv2D", "QuantConv2D"], _convolution),
    **dict.fromkeys(["DepthwiseConv2D", "QuantDepthwiseConv2D"], _convolution),
    **dict.fromkeys(["MaxPooling2D", "MaxPool2D", "AveragePooling2D", "AvgPool2D"], _pool),
    **dict.fromkeys(["GlobalAveragePooling2D", "GlobalAvgPool2D"], _global_pool),
    **dict.fromkeys(["GlobalMaxPooling2D", "GlobalMaxPool2D"], _global_pool),
    "BatchNormalization": _norm,
    "Flatten": lambda layer, inputs: inputs[0].reshape(len(inputs[0]), -1),
    "Reshape": _reshaped,
    "Permute": lambda layer, inputs: inputs[0].transpose(0, *layer.config["dims"]),
    "Activation": lambda layer, inputs: _activated(inputs[0], layer.config["activation"]),
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "ZeroPadding2D": _zero_padding,
    "Rescaling": _rescaled,
    "Add": lambda layer, inputs: np.asarray(sum(inputs)),
    "Concatenate": lambda layer, inputs: np.concatenate(
        inputs, axis=int(layer.config.get("axis", -1))
    ),
}

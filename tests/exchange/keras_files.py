"""Files as Keras writes them, made by h5py alone, and what torch makes of the same layers."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import h5py
import numpy as np
import torch
from torch.nn import functional

ORDER = ["kernel", "depthwise_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"]


class Model:
    """Layers one after the other, or in a graph where they name what they see."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.layers: list[dict[str, Any]] = []
        self.weights: dict[str, dict[str, Any]] = {}
        self.config: dict[str, Any] = {}

    def add(self, kind: str, sees: Any = None, **config: Any) -> str:
        """A layer; arrays among its settings are weights."""
        name = f"{kind.lower()}_{len(self.layers)}"
        weights = {key: value for key, value in config.items() if isinstance(value, np.ndarray)}
        rest = {key: value for key, value in config.items() if key not in weights}
        before = [self.layers[-1]["name"]] if self.layers and sees is None else sees or []
        settings = {"name": name, "trainable": True, "dtype": "float32"} | rest
        self.layers.append(
            {"class_name": kind, "config": settings, "name": name, "inputs": list(before)}
        )
        self.weights[name] = {key: weights[key] for key in ORDER if key in weights}
        return name

    def sequential(self) -> dict[str, Any]:
        layers = [{k: layer[k] for k in ("class_name", "config")} for layer in self.layers]
        first = {"batch_input_shape": [None, *self.shape], "dtype": "float32", "sparse": False}
        start = {"class_name": "InputLayer", "config": first | {"ragged": False, "name": "input"}}
        config = {"name": "sequential", "layers": [start, *layers]} | self.config
        return {"class_name": "Sequential", "config": config}

    def functional(self, keras: int = 2) -> dict[str, Any]:
        shape = {"batch_input_shape" if keras == 2 else "batch_shape": [None, *self.shape]}
        start = {"class_name": "InputLayer", "config": shape | {"name": "input"}, "name": "input"}
        listed = [start | {"inbound_nodes": []}]
        for layer in self.layers:
            seen = layer["inputs"] or ["input"]
            if keras == 2:
                nodes: Any = [[[name, 0, 0, {}] for name in seen]]
            else:
                tensors = [
                    {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}
                    for name in seen
                ]
                args = [tensors] if len(tensors) > 1 else tensors
                nodes = [{"args": args, "kwargs": {}}]
            listed.append({k: layer[k] for k in ("class_name", "config", "name")})
            listed[-1]["inbound_nodes"] = nodes
        ends = [[self.layers[-1]["name"], 0, 0]]
        config = {
            "name": "model",
            "layers": listed,
            "input_layers": [["input", 0, 0]],
            "output_layers": ends if keras == 2 else ends[0],
        }
        return {"class_name": "Functional", "config": config}

    def hdf5(self, config: Any = None) -> bytes:
        """As Keras 2 saves a whole model."""
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            file.attrs["backend"] = b"tensorflow"
            file.attrs["keras_version"] = b"2.11.0"
            file.attrs["model_config"] = json.dumps(config or self.sequential()).encode()
            group = file.create_group("model_weights")
            group.attrs["layer_names"] = [name.encode() for name in self.weights]
            for name, weights in self.weights.items():
                own = group.create_group(name)
                own.attrs["weight_names"] = [f"{name}/{key}:0".encode() for key in weights]
                for key, value in weights.items():
                    own.create_dataset(f"{name}/{key}:0", data=value.astype(np.float32))
        return stream.getvalue()

    def archive(self, config: Any = None) -> bytes:
        """As Keras 3 does."""
        stored, used = io.BytesIO(), dict[str, int]()
        with h5py.File(stored, "w") as file:
            for layer in self.layers:
                key = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", layer["class_name"])
                key = re.sub(r"(?<=[a-z0-9])_?(2D)", r"\1", key).lower()
                used[key] = used.get(key, -1) + 1
                number_of_it = f"_{used[key]}" if used[key] else ""
                own = file.create_group(f"layers/{key}{number_of_it}").create_group("vars")
                for number, value in enumerate(self.weights[layer["name"]].values()):
                    own[str(number)] = value.astype(np.float32)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
            archive.writestr("config.json", json.dumps(config or self.sequential()))
            archive.writestr("model.weights.h5", stored.getvalue())
        return stream.getvalue()


SIGN = {"class_name": "SteSign", "config": {"clip_value": 1.0}}


def norm(model: Model, rng: np.random.Generator, size: int, **config: Any) -> None:
    scale, center = bool(rng.integers(2)), bool(rng.integers(2))
    weights = {"gamma": rng.normal(size=size)} if scale else {}
    weights |= {"beta": rng.normal(size=size)} if center else {}
    weights |= {
        "moving_mean": rng.normal(size=size),
        "moving_variance": rng.uniform(0.5, 2, size),
    }
    about = {"epsilon": 1e-3, "scale": scale, "center": center, "axis": [-1]}
    model.add("BatchNormalization", **weights, **(about | config))


def convolution(
    model: Model, rng: np.random.Generator, channels: int, outputs: int, **config: Any
) -> None:
    kernel = rng.normal(size=(3, 3, channels, outputs))
    about = {"kernel_size": [3, 3], "strides": [1, 1], "use_bias": False, "padding": "valid"}
    about |= {"kernel_quantizer": SIGN, "filters": outputs}
    model.add("QuantConv2D", kernel=kernel, **(about | config))


def dense(model: Model, rng: np.random.Generator, size: int, units: int, **config: Any) -> None:
    about = {"units": units, "use_bias": False, "kernel_quantizer": "ste_sign"}
    model.add("QuantDense", kernel=rng.normal(size=(size, units)), **(about | config))


def larq_network() -> Model:
    """As Larq's own examples are: norms without scale, pooling before the norm, a softmax."""
    rng = np.random.default_rng(0)
    model = Model(12, 12, 3)
    convolution(model, rng, 3, 8)
    norm(model, rng, 8)
    convolution(model, rng, 8, 6, input_quantizer="ste_sign", padding="same", pad_values=1.0)
    model.add("MaxPooling2D", pool_size=[2, 2], strides=[2, 2], padding="valid")
    norm(model, rng, 6)
    model.add(
        "QuantDepthwiseConv2D",
        depthwise_kernel=rng.normal(size=(2, 2, 6, 2)),
        depth_multiplier=2,
        kernel_size=[2, 2],
        strides=[2, 2],
        padding="same",
        input_quantizer=SIGN,
        depthwise_quantizer=SIGN,
        use_bias=False,
    )
    norm(model, rng, 12)
    model.add("Flatten")
    dense(model, rng, 108, 5, input_quantizer="ste_sign")
    norm(model, rng, 5)
    model.add("Activation", activation="softmax")
    return model


def by_torch(model: Model, images: Any) -> Any:
    """A chain's output by torch's functions, in double precision."""
    x = torch.tensor(np.asarray(images, dtype=np.float64))
    for layer in model.layers:
        weights = {
            key: torch.tensor(value, dtype=torch.float64)
            for key, value in model.weights[layer["name"]].items()
        }
        x = _LAYERS[layer["class_name"].removeprefix("Quant")](x, layer["config"], weights)
    return x.numpy()


def _sign(x: Any) -> Any:
    return torch.where(x >= 0, 1.0, -1.0).double()


def _kernel(config: Any, kernel: Any) -> Any:
    name = config.get("kernel_quantizer") or config.get("depthwise_quantizer")
    return _sign(kernel) if name else kernel


def _after(x: Any, config: Any, weights: Any) -> Any:
    x = x + weights["bias"] if "bias" in weights else x
    match config.get("activation"):
        case "softmax":
            return x.softmax(-1)
        case "ste_sign":
            return _sign(x)
        case "hard_tanh":
            return x.clamp(-1, 1)
    return x


def _dense(x: Any, config: Any, weights: Any) -> Any:
    x = _sign(x) if config.get("input_quantizer") else x
    return _after(x @ _kernel(config, weights["kernel"]), config, weights)


def _padded(x: Any, config: Any, size: Any, stride: Any, fill: float) -> Any:
    """Channels first, padded as TensorFlow's 'same' is."""
    x = x.permute(0, 3, 1, 2)
    if config.get("padding") != "same":
        return x
    totals = []
    for side, length, step in zip(x.shape[2:], size, stride, strict=True):
        outputs = (side + step - 1) // step
        totals.append(max((outputs - 1) * step + length - side, 0))
    (above, left) = (total // 2 for total in totals)
    sides = (left, totals[1] - left, above, totals[0] - above)
    return functional.pad(x, sides, value=fill)


def _conv(x: Any, config: Any, weights: Any) -> Any:
    x = _sign(x) if config.get("input_quantizer") else x
    dilation = config.get("dilation_rate", (1, 1))
    size = [(side - 1) * d + 1 for side, d in zip(config["kernel_size"], dilation, strict=True)]
    x = _padded(x, config, size, config["strides"], config.get("pad_values", 0.0))
    groups = config.get("groups", 1)
    if "depthwise_kernel" in weights:
        kernel = _kernel(config, weights["depthwise_kernel"]).permute(2, 3, 0, 1)
        groups, kernel = len(kernel), kernel.reshape(-1, 1, *kernel.shape[2:])
    else:
        kernel = _kernel(config, weights["kernel"]).permute(3, 2, 0, 1)
    found = functional.conv2d(x, kernel, stride=config["strides"], dilation=dilation, groups=groups)
    return _after(found.permute(0, 2, 3, 1), config, weights)


def _norm(x: Any, config: Any, weights: Any) -> Any:
    x = (x - weights["moving_mean"]) / (weights["moving_variance"] + config["epsilon"]).sqrt()
    return x * weights.get("gamma", 1.0) + weights.get("beta", 0.0)


def _max_pool(x: Any, config: Any, _: Any) -> Any:
    size, stride = config["pool_size"], config["strides"]
    x = _padded(x, config, size, stride, -np.inf)
    return functional.max_pool2d(x, size, stride).permute(0, 2, 3, 1)


def _mean_pool(x: Any, config: Any, _: Any) -> Any:
    size, stride = config["pool_size"], config["strides"]
    sums = [
        functional.avg_pool2d(_padded(part, config, size, stride, 0.0), size, stride)
        for part in (x, torch.ones_like(x))
    ]
    return (sums[0] / sums[1]).permute(0, 2, 3, 1)


_LAYERS: dict[str, Any] = {
    "Dense": _dense,
    "Conv2D": _conv,
    "DepthwiseConv2D": _conv,
    "BatchNormalization": _norm,
    "MaxPooling2D": _max_pool,
    "AveragePooling2D": _mean_pool,
    "GlobalAveragePooling2D": lambda x, *_: x.mean((1, 2)),
    "Flatten": lambda x, *_: x.flatten(1),
    "Reshape": lambda x, c, _: x.reshape(len(x), *c["target_shape"]),
    "Dropout": lambda x, *_: x,
    "Activation": lambda x, c, _: _after(x, c, {}),
    "ZeroPadding2D": lambda x, c, _: functional.pad(x, (0, 0, *c["padding"][1], *c["padding"][0])),
    "Rescaling": lambda x, c, _: x * c["scale"] + c["offset"],
}

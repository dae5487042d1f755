"""Files of Keras: what layers a model has, how they follow each other, and their weights.

Read by h5py alone: neither Keras nor any code of the file runs. Both formats are those of whole
models: HDF5, ``model.save("net.h5")``, with the configuration in the attribute ``model_config`` and
weights by layer in ``model_weights``; and ``net.keras``, a zip of ``config.json`` and
``model.weights.h5``, whose weights go by class and number.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.content import LARGEST, first_line

__all__ = ["KerasLayer", "KerasModel", "read_model"]

Array = npt.NDArray[Any]

MOST_LAYERS = 5_000
MOST_NUMBERS = 2**27
"""Of all weights together."""

ORDER = {
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "DepthwiseConv2D": ("depthwise_kernel", "bias"),
    "QuantDepthwiseConv2D": ("depthwise_kernel", "bias"),
}
"""Weights of layers in the order of their numbers; those of others are a kernel and a bias."""


@dataclass(frozen=True)
class KerasLayer:
    """One layer.

    Parameters
    ----------
    name, kind : str
        The kind is Keras's class.
    config : dict
    inputs : tuple of str
        Names of the layers that it sees.
    weights : dict of str to array
        By the last part of their names: kernel, bias, gamma, ...
    """

    name: str
    kind: str
    config: dict[str, Any]
    inputs: tuple[str, ...]
    weights: dict[str, Array] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class KerasModel:
    """Layers, each behind those that it sees.

    Parameters
    ----------
    layers : tuple of KerasLayer
    output : str
        The layer whose output the model's is.
    input_shape : tuple of int
        Of one image.
    """

    layers: tuple[KerasLayer, ...]
    output: str
    input_shape: tuple[int, ...]


def read_model(content: bytes, name: str) -> KerasModel:
    """Read a file of either format.

    Parameters
    ----------
    content : bytes
    name : str
        What to call the file.
    """
    try:
        if content.startswith(b"PK"):
            return _read_archive(content)
        with h5py.File(io.BytesIO(content), "r") as file:
            return _read_hdf5(file)
    except NetworkFormatError as error:
        raise NetworkFormatError(f"{name}: {error}") from None
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        RuntimeError,
        RecursionError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise NetworkFormatError(f"{name} is no model of Keras: {first_line(error)}") from None


def _read_hdf5(file: h5py.File) -> KerasModel:
    config = file.attrs.get("model_config")
    if config is None:
        raise NetworkFormatError(
            "it has no model_config, as files of weights alone: save the whole model, "
            "model.save('net.h5')"
        )
    text = config.decode() if isinstance(config, bytes) else str(config)
    weights = _Weights()
    group = _child(file, "model_weights")

    def of_layer(layer: KerasLayer, _: str) -> dict[str, Array]:
        if layer.name not in group:
            return {}
        own = _child(group, layer.name)
        paths = [str(p.decode() if isinstance(p, bytes) else p) for p in _names(own)]
        return {_last(path): weights.read(own, path) for path in paths}

    return _model(json.loads(text), of_layer)


def _names(group: h5py.Group) -> list[Any]:
    """Of a layer's weights; long lists are split."""
    if "weight_names" in group.attrs:
        return list(group.attrs["weight_names"])
    found: list[Any] = []
    while f"weight_names{len(found)}" in group.attrs:
        found.append(list(group.attrs[f"weight_names{len(found)}"]))
    return [name for part in found for name in part]


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(":", 1)[0]


def _read_archive(content: bytes) -> KerasModel:
    weights = _Weights()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        config = json.loads(_member(archive, "config.json"))
        stored = _member(archive, "model.weights.h5")
    with h5py.File(io.BytesIO(stored), "r") as file:
        top = "layers" if "layers" in file else "_layer_checkpoint_dependencies"
        group = _child(file, top)

        def of_layer(layer: KerasLayer, key: str) -> dict[str, Array]:
            if key not in group:
                return {}
            own = _child(_child(group, key), "vars")
            names = _present(layer)
            if len(own) > len(names):
                raise NetworkFormatError(f"layer {layer.name!r} has {len(own)} weights")
            return {name: weights.read(own, str(n)) for n, name in enumerate(names[: len(own)])}

        return _model(config, of_layer)


def _present(layer: KerasLayer) -> list[str]:
    """Names of a layer's weights, in the order of their numbers."""
    config = layer.config
    absent = {"gamma": "scale", "beta": "center", "bias": "use_bias"}
    return [
        name
        for name in ORDER.get(layer.kind, ("kernel", "bias"))
        if name not in absent or config.get(absent[name], True)
    ]


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        found = file.read(LARGEST + 1)
    if len(found) > LARGEST:
        raise NetworkFormatError(f"its {name} has more than {LARGEST} bytes")
    return found


def _child(group: h5py.Group, path: str) -> Any:
    """What lies in a group, and in this file."""
    for part in path.strip("/").split("/"):
        if not isinstance(group, h5py.Group) or part not in group:
            raise NetworkFormatError(f"it has no {path!r} where its weights should be")
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise NetworkFormatError(f"{part!r} is a link to elsewhere")
        group = group[part]
    return group


class _Weights:
    """Reads arrays, all together within a limit."""

    def __init__(self) -> None:
        self._total = 0

    def read(self, group: h5py.Group, path: str) -> Array:
        found = _child(group, path)
        if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
            raise NetworkFormatError(f"{path!r} is no array in this file")
        self._total += math.prod(found.shape or ())
        if self._total > MOST_NUMBERS:
            raise NetworkFormatError(f"its weights have more than {MOST_NUMBERS} numbers")
        if found.dtype.kind not in "fiub":
            raise NetworkFormatError(f"{path!r} holds {found.dtype}, no numbers")
        values = np.asarray(found[()], dtype=np.float32)
        if not np.isfinite(values).all():
            raise NetworkFormatError(f"{path!r} holds numbers that are not finite")
        return values


def _model(config: Any, of_layer: Any) -> KerasModel:
    """From the configuration; `of_layer` gives a layer's weights."""
    kind = config["class_name"]
    if kind not in ("Sequential", "Functional", "Model"):
        raise NetworkFormatError(f"its class is {str(kind)!r}: only Sequential and Functional fit")
    inner = config["config"]
    listed = inner if isinstance(inner, list) else inner["layers"]
    if len(listed) > MOST_LAYERS:
        raise NetworkFormatError(f"it has {len(listed)} layers: at most {MOST_LAYERS} fit")
    is_chain = kind == "Sequential"
    bare = list(_chained(listed) if is_chain else map(_of_graph, listed))
    keys: dict[str, int] = {}
    layers = []
    for layer in bare:
        weights = of_layer(layer, _numbered(layer.kind, keys))
        layers.append(KerasLayer(layer.name, layer.kind, layer.config, layer.inputs, weights))
    if not layers:
        raise NetworkFormatError("it has no layers")
    output = layers[-1].name if is_chain else _one(inner["output_layers"], "output")
    about = inner if isinstance(inner, dict) else {}
    return KerasModel(tuple(_in_order(layers)), output, _input_shape(layers, about))


def _numbered(kind: str, used: dict[str, int]) -> str:
    """What an archive calls the weights of a layer: its class, and a number from the second on."""
    words = re.sub(r"\W+", "", kind)
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", words)
    key = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
    used[key] = used.get(key, -1) + 1
    return f"{key}_{used[key]}" if used[key] else key


def _chained(listed: list[Any]) -> Iterator[KerasLayer]:
    """Each layer sees the one before it."""
    before: tuple[str, ...] = ()
    for number, layer in enumerate(listed):
        config = layer["config"]
        name = str(config.get("name", f"layer {number}"))
        yield KerasLayer(name, str(layer["class_name"]), config, before)
        before = (name,)


def _of_graph(layer: dict[str, Any]) -> KerasLayer:
    nodes = layer.get("inbound_nodes", [])
    name = str(layer.get("name", layer["config"].get("name")))
    if len(nodes) > 1:
        raise NetworkFormatError(f"layer {name!r} is used {len(nodes)} times: once fits")
    inputs = tuple(_histories(nodes[0])) if nodes else ()
    return KerasLayer(name, str(layer["class_name"]), layer["config"], inputs)


def _histories(node: Any) -> Iterator[str]:
    """Names of the layers whose outputs a call takes, as Keras 2 and as Keras 3 write it."""
    if isinstance(node, dict) and "keras_history" in node:
        yield str(node["keras_history"][0])
    elif isinstance(node, dict):
        for part in node.values():
            yield from _histories(part)
    elif isinstance(node, list) and node and isinstance(node[0], str):
        yield node[0]
    elif isinstance(node, list):
        for part in node:
            yield from _histories(part)


def _one(listed: Any, what: str) -> str:
    """The name in a list of one output, or in that output itself."""
    names = [listed[0]] if listed and isinstance(listed[0], str) else [part[0] for part in listed]
    if len(names) != 1:
        raise NetworkFormatError(f"it has {len(names)} {what}s: one fits")
    return str(names[0])


def _in_order(layers: list[KerasLayer]) -> Iterator[KerasLayer]:
    """Each layer behind those that it sees."""
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names):
        raise NetworkFormatError("several of its layers have one name")
    done: set[str] = set()
    left = layers
    while left:
        ready = [layer for layer in left if done.issuperset(layer.inputs)]
        if not ready:
            raise NetworkFormatError(f"layer {left[0].name!r} sees layers that are not there")
        yield from ready
        done.update(layer.name for layer in ready)
        left = [layer for layer in left if layer.name not in done]


def _input_shape(layers: list[KerasLayer], about: dict[str, Any]) -> tuple[int, ...]:
    sources = [layer for layer in layers if not layer.inputs]
    if len(sources) != 1:
        raise NetworkFormatError(f"it has {len(sources)} inputs: one image fits")
    config = sources[0].config
    build = config.get("build_config") or {}
    for given in (
        config.get("batch_input_shape"),
        config.get("batch_shape"),
        about.get("build_input_shape"),
        build.get("input_shape") if isinstance(build, dict) else None,
    ):
        if given:
            shape = tuple(given[1:])
            if not shape or not all(isinstance(side, int) and side > 0 for side in shape):
                raise NetworkFormatError(
                    f"its input has the shape {tuple(given)}: every side but the batch's must be "
                    "a number"
                )
            return shape
    raise NetworkFormatError("it does not say the shape of its input: build the model first")

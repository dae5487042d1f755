"""Files of Keras: what layers a model has, how they follow each other, and their weights.

Neither Keras nor any code of the file runs. Both formats are those of whole models: HDF5,
``model.save("net.h5")``, with the configuration in the attribute ``model_config`` and weights by
layer in ``model_weights``; and ``net.keras``, a zip of ``config.json`` and ``model.weights.h5``,
whose weights go by class and number.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.content import LARGEST, first_line
from bnnopt.exchange.keras_files.hdf5 import hdf5_content

__all__ = ["KerasLayer", "KerasModel", "read_model"]

Array = npt.NDArray[Any]

MOST_LAYERS = 5_000
TOP = ("layers", "_layer_checkpoint_dependencies")
"""Where archives keep weights; the second name is that of older ones."""

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
        return _read_hdf5(content)
    except NetworkFormatError as error:
        raise NetworkFormatError(f"{name}: {error}") from None
    except (
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


def _read_hdf5(content: bytes) -> KerasModel:
    config, arrays = hdf5_content(content, ("model_weights",))
    if config is None:
        raise NetworkFormatError(
            "it has no model_config, as files of weights alone: save the whole model, "
            "model.save('net.h5')"
        )

    def of_layer(layer: KerasLayer, _: str) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for path, array in _below(arrays, f"model_weights/{layer.name}"):
            name = path.rsplit("/", 1)[-1].split(":", 1)[0]
            if name in found:
                raise NetworkFormatError(f"layer {layer.name!r} has several weights {name!r}")
            found[name] = array
        return found

    return _model(json.loads(config), of_layer)


def _below(arrays: dict[str, Array], group: str) -> list[tuple[str, Array]]:
    start = group.rstrip("/") + "/"
    return [(path[len(start) :], array) for path, array in arrays.items() if path.startswith(start)]


def _read_archive(content: bytes) -> KerasModel:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        config = json.loads(_member(archive, "config.json"))
        stored = _member(archive, "model.weights.h5")
    _, arrays = hdf5_content(stored, TOP)

    def of_layer(layer: KerasLayer, key: str) -> dict[str, Array]:
        own = dict(one for top in TOP for one in _below(arrays, f"{top}/{key}/vars"))
        names = _present(layer)
        if len(own) > len(names):
            raise NetworkFormatError(f"layer {layer.name!r} has {len(own)} weights")
        return {name: own[str(number)] for number, name in enumerate(names[: len(own)])}

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

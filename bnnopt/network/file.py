"""The file that keeps a network: its layers and what describes it, read as if it were hostile.

Format 2 describes each layer in the metadata: a ``dense`` one of ±1 is kept as bits, a ``sparse``
one as its compressed rows, a ``convolution`` as its kernel. Format 1, which is read too, has dense
layers only and describes them by their widths.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt import npz
from bnnopt.errors import NetworkFormatError
from bnnopt.network.checks import MAX_NONZEROS, MAX_WIDTH
from bnnopt.network.convolution import Convolution
from bnnopt.network.layers import HiddenLayer, OutputLayer

__all__ = ["decode", "encode"]

Array = npt.NDArray[Any]

FORMAT = 2
"""Version of the layout that `encode` writes."""

METADATA = ("levels", "name", "dataset", "input_shape", "class_names", "accuracy", "recipe")
GEOMETRY = ("input_shape", "stride", "padding", "dilation", "groups")
LAYOUT = "channels_last"
ROWS = ("data", "indices", "indptr")


def encode(parts: Mapping[str, Any]) -> bytes:
    """The content of a file.

    Parameters
    ----------
    parts : mapping
        The arguments of `BinarizedNetwork`.
    """
    arrays: dict[str, Array] = {}
    layers = []
    for number, layer in enumerate(parts["hidden"], 1):
        arrays[f"threshold_{number}"] = _narrow(layer.threshold)
        layers.append(_encode_layer(layer, number, arrays))
    output = parts["output"]
    arrays["output_scale"], arrays["output_bias"] = output.scale, output.bias
    arrays["output_weight"] = (_pack if output.is_binary else _narrow)(output.weight)
    head = {"kind": "dense" if output.is_binary else "real", "shape": output.shape}
    metadata = {key: parts[key] for key in METADATA}
    return npz.encode(arrays, metadata | {"format": FORMAT, "layers": layers, "output": head})


def _encode_layer(layer: HiddenLayer, number: int, arrays: dict[str, Array]) -> dict[str, Any]:
    """Add a layer's arrays; returns its description."""
    if layer.convolution is not None:
        arrays[f"kernel_{number}"] = layer.convolution.kernel
        geometry = {key: getattr(layer.convolution, key) for key in (*GEOMETRY, LAYOUT)}
        return {"kind": "convolution"} | geometry
    if isinstance(layer.weight, np.ndarray):
        arrays[f"weight_{number}"] = _pack(layer.weight)
        return {"kind": "dense", "shape": layer.shape}
    for name in ROWS:
        arrays[f"{name}_{number}"] = getattr(layer.weight, name)
    return {"kind": "sparse", "shape": layer.shape}


def decode(content: bytes, name: str) -> dict[str, Any]:
    """The arguments of `BinarizedNetwork` that `encode` was given; the bytes may be anything.

    Raises
    ------
    NetworkFormatError
        Its message names the content.
    """
    arrays, metadata = npz.decode(content, name)
    try:
        return _parts(arrays, metadata)
    except (NetworkFormatError, KeyError, TypeError, ValueError, OverflowError) as error:
        cause = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise NetworkFormatError(f"{name} is not a valid network: {cause}") from None


def _parts(arrays: dict[str, Array], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Every array is taken out of `arrays` once, and none may be left."""
    layers, head = _descriptions(metadata)
    hidden = tuple(_layer(about, number, arrays) for number, about in enumerate(layers, 1))
    output = _output(head, arrays)
    if arrays:
        raise NetworkFormatError(f"array {min(arrays)!r} belongs to none of its layers")
    texts = [metadata["name"], metadata["dataset"], *metadata["class_names"]]
    if not all(isinstance(text, str) for text in texts):
        raise NetworkFormatError("name, dataset and class_names must be text")
    parts = {key: metadata[key] for key in METADATA}
    parts |= {key: tuple(metadata[key]) for key in ("input_shape", "class_names")}
    return parts | {"hidden": hidden, "output": output}


def _descriptions(metadata: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Of the hidden layers and of the head."""
    if metadata["format"] == FORMAT:
        return list(metadata["layers"]), metadata["output"]
    if metadata["format"] != 1:
        raise NetworkFormatError(
            f"it is of format {metadata['format']!r}, and this version of bnnopt reads 1 and "
            f"{FORMAT}: read it with the version that wrote it, or a later one"
        )
    sizes = [metadata["num_inputs"], *metadata["widths"], metadata["num_classes"]]
    *layers, head = [{"kind": "dense", "shape": [out, into]} for into, out in pairwise(sizes)]
    return layers, head


def _layer(about: Mapping[str, Any], number: int, arrays: dict[str, Array]) -> HiddenLayer:
    threshold = arrays.pop(f"threshold_{number}")
    match about["kind"]:
        case "convolution":
            kernel = arrays.pop(f"kernel_{number}")
            geometry = {key: about[key] for key in GEOMETRY}
            is_last = about.get(LAYOUT, False) is True
            convolution = Convolution(kernel, **geometry, channels_last=is_last)
            return HiddenLayer(convolution, threshold)
        case "dense":
            packed = arrays.pop(f"weight_{number}")
            return HiddenLayer(_unpack(packed, _shape(about)), threshold)
        case "sparse":
            data, indices, starts = (arrays.pop(f"{name}_{number}") for name in ROWS)
            if indices.dtype.kind != "i" or starts.dtype.kind != "i":
                raise NetworkFormatError(f"layer {number} has indices that are no integers")
            from scipy.sparse import csr_array

            rows = csr_array((data, indices, starts), shape=_shape(about))
            return HiddenLayer(rows, threshold)
        case kind:
            raise NetworkFormatError(f"layer {number} is of an unknown kind, {kind!r}")


def _output(about: Mapping[str, Any], arrays: dict[str, Array]) -> OutputLayer:
    weight, shape = arrays.pop("output_weight"), _shape(about)
    if about["kind"] == "dense":
        weight = _unpack(weight, shape)
    elif about["kind"] != "real" or weight.shape != shape:
        raise NetworkFormatError(f"the output layer is not of kind real and shape {shape}")
    return OutputLayer(weight, arrays.pop("output_scale"), arrays.pop("output_bias"))


def _shape(about: Mapping[str, Any]) -> tuple[int, int]:
    rows, columns = (_size(side) for side in about["shape"])
    return rows, columns


def _size(value: Any) -> int:
    if not isinstance(value, int) or not 1 <= value <= MAX_WIDTH:
        raise NetworkFormatError(f"a layer's size is an integer from 1 to {MAX_WIDTH}: {value!r}")
    return value


def _narrow(values: Array) -> Array:
    """The same numbers in a smaller type of whole numbers, where one has them all."""
    for kind in (np.int8, np.int16, np.int32):
        with np.errstate(invalid="ignore", over="ignore"):  # what does not fit is not equal
            narrow = values.astype(kind)
        if np.array_equal(narrow, values):
            return narrow
    return values


def _pack(signs: Array) -> npt.NDArray[np.uint8]:
    return np.packbits(signs > 0)


def _unpack(packed: Array, shape: tuple[int, int]) -> npt.NDArray[np.int8]:
    count = shape[0] * shape[1]
    if count > MAX_NONZEROS or packed.dtype != np.uint8 or packed.shape != (-(-count // 8),):
        raise NetworkFormatError(f"packed weights do not fit a matrix of shape {shape}")
    bits = np.unpackbits(packed, count=count).reshape(shape)
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)

"""The file that keeps a network: its layers and what describes it, read as if it were hostile."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt import npz
from bnnopt.errors import NetworkFormatError
from bnnopt.network.layers import MAX_WIDTH, HiddenLayer, OutputLayer

__all__ = ["decode", "encode"]

Array = npt.NDArray[Any]

FORMAT = 1
"""Version of the ``.npz`` layout that `encode` writes."""

METADATA = ("levels", "name", "dataset", "input_shape", "class_names", "accuracy", "recipe")


def encode(parts: Mapping[str, Any]) -> bytes:
    """The content of a file.

    Parameters
    ----------
    parts : mapping
        The arguments of `BinarizedNetwork`.
    """
    hidden, output = parts["hidden"], parts["output"]
    arrays: dict[str, Array] = {"output_scale": output.scale, "output_bias": output.bias}
    arrays["output_weight"] = np.packbits(output.weight > 0)
    for number, layer in enumerate(hidden, 1):
        arrays[f"weight_{number}"] = np.packbits(layer.weight > 0)
        arrays[f"threshold_{number}"] = layer.threshold
    metadata = {key: parts[key] for key in METADATA}
    metadata |= {
        "format": FORMAT,
        "num_inputs": hidden[0].shape[1],
        "widths": [layer.shape[0] for layer in hidden],
        "num_classes": output.shape[0],
    }
    return npz.encode(arrays, metadata)


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


def _parts(arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> dict[str, Any]:
    if metadata["format"] != FORMAT:
        raise NetworkFormatError(
            f"it is of format {metadata['format']!r}, and this version of bnnopt reads {FORMAT}"
        )
    widths = [_size(value) for value in metadata["widths"]]
    if len(arrays) != 3 + 2 * len(widths):
        raise NetworkFormatError(f"{len(arrays)} arrays do not make {len(widths)} hidden layers")
    sizes = [_size(metadata["num_inputs"]), *widths]
    hidden = [
        HiddenLayer(
            _unpack(arrays[f"weight_{number}"], (fan_out, fan_in)), arrays[f"threshold_{number}"]
        )
        for number, (fan_in, fan_out) in enumerate(pairwise(sizes), 1)
    ]
    shape = (_size(metadata["num_classes"]), sizes[-1])
    output = OutputLayer(
        _unpack(arrays["output_weight"], shape), arrays["output_scale"], arrays["output_bias"]
    )
    texts = [metadata["name"], metadata["dataset"], *metadata["class_names"]]
    if not all(isinstance(text, str) for text in texts):
        raise NetworkFormatError("name, dataset and class_names must be text")
    parts = {key: metadata[key] for key in METADATA}
    parts |= {key: tuple(metadata[key]) for key in ("input_shape", "class_names")}
    return parts | {"hidden": tuple(hidden), "output": output}


def _size(value: Any) -> int:
    if not isinstance(value, int) or not 1 <= value <= MAX_WIDTH:
        raise NetworkFormatError(f"a layer's size is an integer from 1 to {MAX_WIDTH}: {value!r}")
    return value


def _unpack(packed: Array, shape: tuple[int, int]) -> npt.NDArray[np.int8]:
    count = shape[0] * shape[1]
    if packed.dtype != np.uint8 or packed.shape != (-(-count // 8),):
        raise NetworkFormatError(f"packed weights do not fit a matrix of shape {shape}")
    bits = np.unpackbits(packed, count=count).reshape(shape)
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)

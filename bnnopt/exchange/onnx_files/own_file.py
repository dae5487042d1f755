"""Files that `bnnopt.to_onnx` wrote: their first nodes find the levels, which are known here."""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["LEVELS", "PRODUCER", "behind_levels", "levels_of"]

PRODUCER = "bnnopt"
LEVELS = "levels"
"""What such a file calls the tensor of levels, shape (N, n), and their number in its properties."""


def levels_of(model: Any, otherwise: int) -> int:
    """How many levels the file's network has, as it says, if it is one of ours."""
    if model.producer_name != PRODUCER:
        return otherwise
    said = next((entry.value for entry in model.metadata_props if entry.key == LEVELS), None)
    if said is None:
        return otherwise
    if not (said.isascii() and said.isdecimal() and len(said) <= 5):
        raise NetworkFormatError("the number of levels that it says is none")
    return int(said)


def behind_levels(model: Any, image: Tensor) -> tuple[Any, dict[str, Tensor]]:
    """The part of a model that sees levels, and what stands for those; another model as it is.

    Parameters
    ----------
    model : onnx.ModelProto
    image : Tensor
        Pixels in [0, 1].

    Returns
    -------
    model : onnx.ModelProto
        A copy without the nodes before.
    known : dict of str to Tensor
    """
    import onnx

    givers = {name: node for node in model.graph.node for name in node.output}
    if model.producer_name != PRODUCER or LEVELS not in givers:
        return model, {}
    pixels = image.elements.sums.pixels
    assert pixels is not None
    if pixels.low != 0 or pixels.unit * pixels.levels != 1:
        raise NetworkFormatError("bnnopt wrote this file: it takes pixels in [0, 1]")
    part = onnx.ModelProto()
    part.CopyFrom(model)
    wanted = _behind(model.graph, givers)
    del part.graph.node[:]
    part.graph.node.extend(node for node in model.graph.node if node.output[0] in wanted)
    size = int(np.prod(image.shape))
    flat = image.reshaped((1, size)).apply("multiply", np.float64(pixels.levels))
    return part, {LEVELS: flat}


def _behind(graph: Any, givers: dict[str, Any]) -> set[str]:
    """Names that the output needs and that are no part of finding the levels."""
    left, found = [value.name for value in graph.output], set()
    while left:
        name = left.pop()
        if name in found or name == LEVELS or name not in givers:
            continue
        found.update(givers[name].output)
        left += givers[name].input
    return found

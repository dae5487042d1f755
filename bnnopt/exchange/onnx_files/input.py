"""The one input of an ONNX file: the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.content import short
from bnnopt.exchange.image import FileInput
from bnnopt.exchange.onnx_files.nodes import numpy_kind

__all__ = ["file_input"]


def file_input(model: onnx.ModelProto) -> FileInput:
    """The one input that no initializer gives."""
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in given]
    if len(inputs) != 1:
        names = ", ".join(short(value.name) for value in inputs[:9])
        raise NetworkFormatError(f"the file has {len(inputs)} inputs, {names}: one image fits")
    kind = inputs[0].type.tensor_type
    sides = [d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim]
    if not sides:
        raise NetworkFormatError("the file does not say the shape of its input")
    has_batch = len(sides) > 1
    whole = tuple(side for side in sides[has_batch:] if side is not None)
    if len(whole) != len(sides) - has_batch:
        raise NetworkFormatError(
            f"its input has the shape {sides[:9]}: every side but the batch's must be a number"
        )
    batch = sides[0] if has_batch else None
    return FileInput(inputs[0].name, whole, _input_kind(kind.elem_type), batch, has_batch)


def _input_kind(number: int) -> np.dtype[Any]:
    kind = numpy_kind(number)
    if kind.kind not in "iuf":
        raise NetworkFormatError(f"its input is of type {number}: whole or real numbers fit")
    return kind

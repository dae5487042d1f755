"""The one input of an ONNX file: the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.nodes import short
from bnnopt.exchange.tensor import Elements, Pixels, Sums, Tensor, Term
from bnnopt.network.checks import MAX_WIDTH

__all__ = ["FileInput", "file_input", "image_tensor"]


@dataclass(frozen=True)
class FileInput:
    """What the file takes.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of one image, without the batch's axis.
    dtype : dtype
    batch : int or None
        The batch that the file is written for; None if any will do.
    has_batch : bool
        Whether there is a batch's axis.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    batch: int | None
    has_batch: bool


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
    if math.prod(whole) > MAX_WIDTH:
        raise NetworkFormatError(f"its input has {math.prod(whole)} numbers: {MAX_WIDTH} fit")
    batch = sides[0] if has_batch else None
    return FileInput(inputs[0].name, whole, _input_kind(kind.elem_type), batch, has_batch)


def _input_kind(number: int) -> np.dtype[Any]:
    try:
        kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number))
    except (KeyError, ValueError, TypeError):
        kind = np.dtype(object)
    if kind.kind not in "iuf":
        raise NetworkFormatError(f"its input is of type {number}: whole or real numbers fit")
    return kind


def image_tensor(about: FileInput, levels: int, limits: tuple[Fraction, Fraction]) -> Tensor:
    """The image as the file sees it: levels between two limits."""
    low, high = limits
    pixels = Pixels(about.shape, levels, low, (high - low) / levels)
    place = np.arange(pixels.size)
    term = Term(place, np.ones(pixels.size))
    elements = Elements(Sums((pixels,)), (term,), np.full(pixels.size, float(low)))
    shape = (1, *about.shape) if about.has_batch else about.shape
    return Tensor(elements, place.reshape(*shape, 1), about.dtype)

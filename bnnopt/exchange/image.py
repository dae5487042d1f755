"""The image as a network is read with it: what the file takes, and a tensor in its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_fraction, read_whole
from bnnopt.errors import InputError, NetworkFormatError
from bnnopt.exchange.traced.tensor import Elements, Pixels, Sums, Tensor, Term
from bnnopt.network.checks import MAX_WIDTH

__all__ = ["FileInput", "Image", "Limits", "image_of", "spread"]

Array = npt.NDArray[Any]
Limits = tuple[Any, Any]

MOST_LEVELS = 2**16


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


@dataclass(frozen=True, eq=False)
class Image:
    """The image as a network is read with it: `tensor` stands for what the file takes."""

    tensor: Tensor
    about: FileInput
    limits: tuple[Fraction, Fraction]
    mean: Any
    std: Any


def image_of(
    about: FileInput, input_range: Limits, mean: npt.ArrayLike, std: npt.ArrayLike, levels: int
) -> Image:
    """The image as the file sees it, from the arguments of a reader."""
    if math.prod(about.shape) > MAX_WIDTH:
        raise NetworkFormatError(f"its input has {math.prod(about.shape)} numbers: {MAX_WIDTH} fit")
    limits = _limits(input_range)
    levels = read_whole(levels, "levels", low=1, high=MOST_LEVELS)
    if about.dtype.kind in "iu":
        _check_whole(about.dtype, limits, mean, std, levels)
    tensor = _normalized(_between(about, levels, limits), mean, std, about.shape)
    return Image(tensor, about, limits, mean, std)


def spread(values: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    """One number for all, one a channel, or the image's shape, as broadcasts to the image."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1 and array.size > 1 and len(shape) > 1:
        axes = [axis for axis in (0, len(shape) - 1) if shape[axis] == array.size]
        if not axes:
            raise InputError(f"mean and std of {array.size} channels do not fit images {shape}")
        sides = [1] * len(shape)
        sides[axes[0]] = array.size
        return array.reshape(sides)
    return array


def _limits(given: Limits) -> tuple[Fraction, Fraction]:
    if not isinstance(given, Sequence | np.ndarray) or len(given) != 2:
        raise InputError(f"input_range is two numbers, such as (0, 255), not {given!r}")
    low, high = (read_fraction(value, "input_range", low=-math.inf) for value in given)
    if low >= high:
        raise InputError(f"input_range must rise, not go from {given[0]} to {given[1]}")
    return low, high


def _check_whole(kind: np.dtype[Any], limits: Limits, mean: Any, std: Any, levels: int) -> None:
    """Whether a file of whole numbers has one for each level."""
    low, high = limits
    steps = (low, high, (high - low) / levels)
    is_plain = not np.any(np.asarray(mean) != 0) and not np.any(np.asarray(std) != 1)
    bounds = np.iinfo(kind)
    if not is_plain or any(Fraction(v).denominator != 1 for v in steps):
        raise InputError(
            f"the file takes whole numbers, {kind}: give an input_range of one for each of the "
            f"{levels} levels, such as (0, {levels}), without mean and std"
        )
    if low < bounds.min or high > bounds.max:
        raise InputError(f"input_range {low} to {high} is not that of {kind}")


def _between(about: FileInput, levels: int, limits: tuple[Fraction, Fraction]) -> Tensor:
    """Levels between two limits."""
    low, high = limits
    pixels = Pixels(about.shape, levels, low, (high - low) / levels)
    place = np.arange(pixels.size)
    term = Term(place, np.ones(pixels.size))
    elements = Elements(Sums((pixels,)), (term,), np.full(pixels.size, float(low)))
    shape = (1, *about.shape) if about.has_batch else about.shape
    return Tensor(elements, place.reshape(*shape, 1), about.dtype)


def _normalized(image: Tensor, mean: Any, std: Any, shape: tuple[int, ...]) -> Tensor:
    centre, deviation = spread(mean, shape), spread(std, shape)
    if not np.all(np.isfinite(centre)) or not np.all(deviation > 0):
        raise InputError("mean must be finite and std above 0")
    if centre.any():
        image = image.apply("add", -centre)
    return image.apply("divide", deviation) if (deviation != 1).any() else image

"""A network that was read from elsewhere: what it takes, and what is known about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_fraction, read_whole
from bnnopt.errors import InputError
from bnnopt.exchange.assemble import assembled
from bnnopt.exchange.building import Walk
from bnnopt.exchange.tensor import SINGLE, Elements, Pixels, Sums, Tensor, Term
from bnnopt.network import BinarizedNetwork

__all__ = ["FileInput", "Image", "Imported", "Limits", "finished", "image_of"]

Array = npt.NDArray[Any]
Limits = tuple[Any, Any]
Evaluate = Callable[[Array, list[str]], list[Array]]

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


@dataclass(eq=False)
class Imported:
    """A network that was read from a file, and what is known about that.

    Parameters
    ----------
    network : BinarizedNetwork
        Its images lie in [0, 1] and have the file's own shape, without the batch's axis.
    softmax : bool
        Whether a Softmax or LogSoftmax at the end was left out: it keeps the logits' order.
    notes : tuple of str
        What was put on a grid, and other things to know.
    precision : dtype
        The coarsest in which the file has real numbers before a sign.
    logits : str
        What an ONNX file calls them.
    evaluate : callable or None
        Another program's evaluation: takes an array of shape (batch, *shape) and names of
        `signs`, and returns these tensors and the output last, a row an image; None for ONNX.
    """

    network: BinarizedNetwork
    softmax: bool
    notes: tuple[str, ...]
    model: Any = field(repr=False)
    about: Any = field(repr=False)
    limits: tuple[Fraction, Fraction] = (Fraction(0), Fraction(1))
    signs: dict[str, Tensor] = field(default_factory=dict, repr=False)
    layers: Any = field(default=None, repr=False)
    mean: Any = field(default=0.0, repr=False)
    std: Any = field(default=1.0, repr=False)
    precision: np.dtype[Any] = field(default=SINGLE, repr=False)
    logits: str = field(default="", repr=False)
    agreement: Any = None
    evaluate: Evaluate | None = field(default=None, repr=False)

    def file_values(self, x: npt.ArrayLike) -> Array:
        """What the file takes for images, shape (batch, *shape), in its precision.

        Parameters
        ----------
        x : array_like
            Images as `BinarizedNetwork.images` takes them.
        """
        return self.file_values_of_levels(self.network.levels_of(x))

    def file_values_of_levels(self, levels: npt.NDArray[np.float64]) -> Array:
        """What the file takes for levels, shape (batch, n) to (batch, *shape)."""
        low, high = self.limits
        values = float(low) + float(high - low) * levels / self.network.levels
        images = values.reshape(len(values), *self.about.shape)
        kind = self.about.dtype
        normal = (images - self.spread_mean()) / _spread(self.std, self.about.shape)
        return np.asarray(np.rint(normal) if kind.kind in "iu" else normal).astype(kind)

    def spread_mean(self) -> npt.NDArray[np.float64]:
        """What the file takes off each pixel, as broadcasts to the image's shape."""
        return _spread(self.mean, self.about.shape)


def image_of(
    about: FileInput, input_range: Limits, mean: npt.ArrayLike, std: npt.ArrayLike, levels: int
) -> Image:
    """The image as the file sees it, from the arguments of a reader."""
    limits = _limits(input_range)
    levels = read_whole(levels, "levels", low=1, high=MOST_LEVELS)
    if about.dtype.kind in "iu":
        _check_whole(about.dtype, limits, mean, std, levels)
    tensor = _normalized(_between(about, levels, limits), mean, std, about.shape)
    return Image(tensor, about, limits, mean, std)


def finished(
    found: Walk, image: Image, name: str, *, model: Any = None, evaluate: Evaluate | None = None
) -> Imported:
    """The network of layers, from what a walk found."""
    network, layers = assembled(found.output, name=name)
    return Imported(
        network,
        found.softmax,
        tuple(found.notes),
        model,
        image.about,
        image.limits,
        found.signs,
        layers,
        image.mean,
        image.std,
        found.precision,
        found.logits,
        evaluate=evaluate,
    )


def _between(about: FileInput, levels: int, limits: tuple[Fraction, Fraction]) -> Tensor:
    """Levels between two limits."""
    low, high = limits
    pixels = Pixels(about.shape, levels, low, (high - low) / levels)
    place = np.arange(pixels.size)
    term = Term(place, np.ones(pixels.size))
    elements = Elements(Sums((pixels,)), (term,), np.full(pixels.size, float(low)))
    shape = (1, *about.shape) if about.has_batch else about.shape
    is_real = about.dtype.kind == "f"
    precision, kind = (about.dtype, None) if is_real else (SINGLE, about.dtype)
    return Tensor(elements, place.reshape(*shape, 1), precision, kind)


def _check_whole(
    kind: np.dtype[Any], limits: tuple[Fraction, Fraction], mean: Any, std: Any, levels: int
) -> None:
    """Whether a file of whole numbers has one for each level."""
    low, high = limits
    is_plain = not np.any(np.asarray(mean) != 0) and not np.any(np.asarray(std) != 1)
    if not is_plain or any(part.denominator != 1 for part in (low, (high - low) / levels)):
        raise InputError(
            f"the file takes whole numbers, {kind}: give an input_range of one for each of the "
            f"{levels} levels, such as (0, {levels}), without mean and std"
        )
    if low < np.iinfo(kind).min or high > np.iinfo(kind).max:
        raise InputError(f"input_range {low} to {high} is not that of {kind}")


def _limits(given: Limits) -> tuple[Fraction, Fraction]:
    if not isinstance(given, Sequence | np.ndarray) or len(given) != 2:
        raise InputError(f"input_range is two numbers, such as (0, 255), not {given!r}")
    low, high = (read_fraction(value, "input_range", low=-math.inf) for value in given)
    if low >= high:
        raise InputError(f"input_range must rise, not go from {given[0]} to {given[1]}")
    return low, high


def _spread(values: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
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


def _normalized(image: Tensor, mean: Any, std: Any, shape: tuple[int, ...]) -> Tensor:
    centre, deviation = _spread(mean, shape), _spread(std, shape)
    if not np.all(np.isfinite(centre)) or not np.all(deviation > 0):
        raise InputError("mean must be finite and std above 0")
    if centre.any():
        image = image.apply("add", -centre)
    return image.apply("divide", deviation) if (deviation != 1).any() else image

"""Read a network from an ONNX or QONNX file."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_fraction, read_whole
from bnnopt.errors import InputError, NetworkFormatError
from bnnopt.exchange.content import file_content, needs
from bnnopt.exchange.tensor import Tensor
from bnnopt.network import BinarizedNetwork

__all__ = ["Imported", "from_onnx", "read_onnx"]

Array = npt.NDArray[Any]
Limits = tuple[Any, Any]

MOST_LEVELS = 2**16


@dataclass(frozen=True, eq=False)
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
        normal = (images - _spread(self.mean, self.about.shape)) / _spread(
            self.std, self.about.shape
        )
        return np.asarray(np.rint(normal) if kind.kind in "iu" else normal).astype(kind)


def from_onnx(
    path: str | os.PathLike[str],
    *,
    input_range: Limits = (0, 1),
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    levels: int = 255,
    check: npt.ArrayLike | int = 200,
) -> BinarizedNetwork:
    """Read a binarized network from an ONNX or QONNX file, and compare it with the file.

    Parameters
    ----------
    path : path
        An ``.onnx`` file, or one in ``.gz``.
    input_range : (number, number)
        What the file takes for black and white, pixels 0 and 1: (0, 255), (-1, 1), ...
    mean, std : array_like
        The file takes ``(value - mean) / std`` of a value in that range; one number, one a
        channel, or of the image's shape.
    levels : int
        Steps between black and white; 255 for 8-bit images.
    check : array_like of images, or int
        Images on which every neuron is compared with what the file gives, by onnxruntime; or how
        many to draw: random ones, and some that lie on thresholds. 0 compares nothing.

    Returns
    -------
    BinarizedNetwork
        Of images in [0, 1] of the file's own shape.

    Raises
    ------
    NetworkFormatError
        If a node is none of a binarized network's, with its name; or the comparison fails.

    Examples
    --------
    >>> network = bnnopt.from_onnx("net.onnx")                      # doctest: +SKIP
    >>> bnnopt.attack(network, image, epsilon="2/255").flipped      # doctest: +SKIP
    """
    imported = read_onnx(path, input_range=input_range, mean=mean, std=std, levels=levels)
    from bnnopt.exchange.agreement import compared

    compared(imported, check).raise_if_wrong()
    return imported.network


def read_onnx(
    source: str | os.PathLike[str] | bytes,
    *,
    input_range: Limits = (0, 1),
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    levels: int = 255,
) -> Imported:
    """Read a network from a file or its bytes, with what is known about it; nothing is compared.

    Parameters are those of `from_onnx`.
    """
    needs("onnx", "reading ONNX files")
    from bnnopt.exchange.assemble import assembled
    from bnnopt.exchange.graph import file_input, image_tensor, walk

    content, name = file_content(source)
    model = _parsed(content, name)
    about = file_input(model)
    limits = _limits(input_range)
    levels = read_whole(levels, "levels", low=1, high=MOST_LEVELS)
    image = image_tensor(about, levels, limits)
    image = _normalized(image, mean, std, about.shape)
    found = walk(model, about, image)
    network, layers = assembled(found.output, name=_stem(name))
    return Imported(
        network,
        found.softmax,
        tuple(found.notes),
        model,
        about,
        limits,
        found.signs,
        layers,
        mean,
        std,
    )


def _stem(name: str) -> str:
    base = os.path.basename(name)
    for ending in (".gz", ".onnx", ".qonnx"):
        base = base.removesuffix(ending)
    return base


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


def _parsed(content: bytes, name: str) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise NetworkFormatError(f"{name} is no ONNX file: {error}") from None
    if not model.graph.node:
        raise NetworkFormatError(f"{name} is no ONNX file: it has no nodes")
    if model.functions:
        import onnx.inliner

        try:
            model = onnx.inliner.inline_local_functions(model)
        except (RuntimeError, ValueError) as error:
            raise NetworkFormatError(f"{name} has functions that do not inline: {error}") from None
    return model

"""A network that was read from elsewhere, and what is known about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.exchange.image import Image, spread
from bnnopt.exchange.traced.assemble import assembled
from bnnopt.exchange.traced.building import Walk
from bnnopt.exchange.traced.tensor import SINGLE, Tensor
from bnnopt.network import BinarizedNetwork

__all__ = ["Evaluate", "Imported", "finished"]

Array = npt.NDArray[Any]
Evaluate = Callable[[Array, list[str]], list[Array]]


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
    model : onnx.ModelProto or None
        The file's content, for ONNX.
    about : FileInput
        What the file takes.
    limits : (Fraction, Fraction)
        What it takes for black and white, before `mean` and `std`.
    signs : dict of str to Tensor
        The tensors that became neurons, by the file's names.
    layers : Layers
        Which neurons are where in the network.
    mean, std : array_like
        As given to the reader.
    precision : dtype
        The coarsest in which the file has real numbers before a sign.
    logits : str
        What the file calls them.
    agreement : Agreement or None
        What a comparison found, if `bnnopt.exchange.read.read` made one.
    evaluate : callable or None
        Another program's evaluation: takes an array of shape (batch, *shape) and names of
        `signs` or `logits`, and returns these tensors, a row an image; None for ONNX.
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
        normal = (images - self.spread_mean()) / spread(self.std, self.about.shape)
        return np.asarray(np.rint(normal) if kind.kind in "iu" else normal).astype(kind)

    def spread_mean(self) -> npt.NDArray[np.float64]:
        """What the file takes off each pixel, as broadcasts to the image's shape."""
        return spread(self.mean, self.about.shape)


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

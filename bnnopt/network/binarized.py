"""The folded binarized network and its exact forward pass."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bnnopt import npz
from bnnopt.arguments import read_class
from bnnopt.counts import counted
from bnnopt.errors import InputError, NetworkFormatError
from bnnopt.files import write_atomically
from bnnopt.images import Images, as_array, read_images
from bnnopt.network import file
from bnnopt.network.checks import MAX_SINGLE
from bnnopt.network.layers import HiddenLayer, OutputLayer
from bnnopt.notebook import Shown
from bnnopt.plotting import figure_of

__all__ = ["GRID", "BinarizedNetwork"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

GRID = 2.0**20
"""Levels are multiples of ``1 / GRID``, so that float64 sums of them are exact."""

BLOCK = 2**20
"""Activations of one layer that are computed at a time."""

MAX_DEPTH = 64
MAX_LEVELS = 2**16


@dataclass(frozen=True, eq=False, repr=False)
class BinarizedNetwork(Shown):
    """A binarized network as layers of whole weights and thresholds (docs/networks.md).

    The network sees an image ``x`` in [0, 1]^n as levels ``z = levels * x``, rounded to a
    multiple of 2**-20 of a level: on that grid every float64 sum below is free of rounding, so
    the forward pass is exact, in any order of summation and on any machine. An 8-bit image
    ``k / 255`` gives its integer levels exactly. Deeper thresholds get their canonical parity
    (`HiddenLayer.canonical`) and the head its grid (`OutputLayer.on_grid`); `given` keeps both
    as they came, for files and fingerprints.

    Parameters
    ----------
    hidden : sequence of HiddenLayer
        One to 64 layers whose shapes chain.
    output : OutputLayer
        The head.
    levels : int
        The number of steps between black and white; 255 for 8-bit images.
    name, dataset : str
        For tables and files.
    input_shape : tuple of int
        Shape of one image, such as (28, 28); its product is the fan-in of the first layer. If it
        is not given, that of the first layer's convolution, or (n,).
    class_names : tuple of str
        One a class, or empty.
    accuracy : float or None
        Share of the test set that the folded network classifies right, in [0, 1].
    recipe : mapping
        How it was trained; JSON values only.

    Raises
    ------
    NetworkFormatError
        If the parts do not make a network.
    """

    hidden: tuple[HiddenLayer, ...]
    output: OutputLayer
    levels: int = 255
    name: str = ""
    dataset: str = ""
    input_shape: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    accuracy: float | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[tuple[HiddenLayer, ...], OutputLayer] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        hidden = _read_layers(self.hidden, self.output)
        if not isinstance(self.levels, int | np.integer) or not 1 <= self.levels <= MAX_LEVELS:
            raise NetworkFormatError(f"levels must be an integer from 1 to {MAX_LEVELS}")
        self._check_metadata(hidden[0].shape[1])
        _check_sums(hidden, int(self.levels))
        object.__setattr__(self, "given", (hidden, self.output))
        first, *deeper = hidden
        canonical = (first, *(layer.canonical() for layer in deeper))
        object.__setattr__(self, "hidden", canonical)
        object.__setattr__(self, "output", self.output.on_grid())
        object.__setattr__(self, "levels", int(self.levels))
        object.__setattr__(self, "input_shape", self._image_shape())
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "recipe", MappingProxyType(dict(self.recipe)))

    def __repr__(self) -> str:
        sides = "x".join(map(str, self.input_shape))
        layers = ["x".join(map(str, layer.output_shape)) for layer in self.hidden]
        name = f"{self.name!r}: " if self.name else ""
        return (
            f"BinarizedNetwork({name}{sides} pixels, hidden {' - '.join(layers)}, "
            f"{counted(self.num_classes, 'class')})"
        )

    def plot(self) -> Any:
        """A matplotlib figure of the first layer's weights.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependencyError
            If matplotlib is not installed.
        """
        return figure_of("network", self)

    def _image_shape(self) -> tuple[int, ...]:
        first = self.given[0][0]
        own = first.convolution.image_shape if first.convolution else first.shape[1:]
        return tuple(self.input_shape) or own

    def _check_metadata(self, fan_in: int) -> None:
        shape = tuple(self.input_shape)
        if shape and (
            not all(isinstance(side, int) and side > 0 for side in shape)
            or int(np.prod(shape, dtype=object)) != fan_in
        ):
            raise NetworkFormatError(
                f"input_shape {shape} does not have {fan_in} pixels, the first layer's fan-in"
            )
        if self.class_names and len(self.class_names) != self.num_classes:
            raise NetworkFormatError(
                f"{len(self.class_names)} class names for {self.num_classes} classes"
            )
        if self.accuracy is not None and not 0.0 <= self.accuracy <= 1.0:
            raise NetworkFormatError(f"accuracy {self.accuracy} is not in [0, 1]")

    def __reduce__(self) -> tuple[Any, ...]:
        # The read-only mapping of `recipe` does not pickle; worker processes need the rest.
        return _rebuild, (self._parts(),)

    @property
    def num_inputs(self) -> int:
        """Number of pixels n."""
        return int(self.hidden[0].shape[1])

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return int(self.output.shape[0])

    @property
    def depth(self) -> int:
        """Number of hidden layers D."""
        return len(self.hidden)

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of neurons of each hidden layer."""
        return tuple(int(layer.shape[0]) for layer in self.hidden)

    def images(self, x: npt.ArrayLike) -> FloatArray:
        """Check images and flatten them to values in [0, 1], shape (batch, n).

        Parameters
        ----------
        x : array_like, shape (n,), (batch, n), input_shape or (batch, *input_shape)
            An array, nested lists, a torch tensor, a pandas table or PIL images. Floats are
            values in [0, 1], integers are levels 0 to `levels`, such as 0 to 255. Axes of size
            one may be anywhere, as in (batch, 1, 28, 28); a first axis of size one before a whole
            image is a batch of one.

        Raises
        ------
        InputError
            On another type or shape, a NaN, a value outside [0, 1] or a level outside 0 to
            `levels`.

        Notes
        -----
        In float32 and float16 the number nearest to ``k / levels``, or one unit in the last place
        from it, is level k exactly, as torchvision's ``ToTensor`` gives it; in float16 only for
        up to 256 levels, which it tells apart. Values in float64 are taken as they are.
        """
        return self._read(x).values()

    def scaled(self, x: npt.ArrayLike) -> FloatArray:
        """``levels * x`` before it is rounded to the grid, shape (batch, n).

        It is whole where a pixel is a level, in every type; else it is rounded as float64 is.
        """
        return self._read(x).scaled()

    def levels_of(self, x: npt.ArrayLike) -> FloatArray:
        """The levels that the network sees: ``levels * x`` on the grid, shape (batch, n)."""
        return self._read(x).on_grid(GRID)

    def _read(self, x: npt.ArrayLike) -> Images:
        return read_images(x, self.input_shape, self.levels)

    def activations_of_levels(self, z: FloatArray) -> list[FloatArray]:
        """Activations of every hidden layer for levels `z` on the grid, shape (batch, n)."""
        return [signs.astype(np.float64) for signs in self._signs(z)]

    def _signs(self, z: FloatArray) -> Iterator[npt.NDArray[np.int8]]:
        """Layer by layer, in single precision wherever that is exact."""
        first, *deeper = self.hidden
        is_single = self._levels_are_single and bool((z == np.rint(z)).all())
        signs = first.signs(z.astype(np.float32) if is_single else z)
        yield signs
        for layer in deeper:
            signs = layer.signs(signs.astype(np.float32))
            yield signs

    @cached_property
    def _levels_are_single(self) -> bool:
        """Whether single precision has the first layer's sums of whole levels exactly."""
        return int(self.hidden[0].magnitude.max()) * self.levels < MAX_SINGLE

    def _blocks(self, z: FloatArray) -> Iterator[slice]:
        """So many images at a time that the widest layer stays in the cache."""
        rows = max(BLOCK // self._widest, 1)
        return (slice(at, at + rows) for at in range(0, len(z), rows))

    @cached_property
    def _widest(self) -> int:
        return max(self.num_inputs, *self.widths)

    def logits_of_levels(self, z: FloatArray) -> FloatArray:
        """Logits for levels `z` on the grid, shape (batch, n) to (batch, C)."""
        if len(z) <= 1 or len(z) * self._widest <= BLOCK:
            *_, last = self._signs(z)
            return self.output(last.astype(np.float32))
        logits = [self.logits_of_levels(z[rows]) for rows in self._blocks(z)]
        return np.concatenate(logits)

    def activations(self, x: npt.ArrayLike) -> tuple[npt.NDArray[np.int8], ...]:
        """Activations in {-1, +1}, one int8 array (out,) or (batch, out) a hidden layer.

        Parameters
        ----------
        x : array_like, shape (n,), (batch, n), input_shape or (batch, *input_shape)
            Images, as `images` takes them.
        """
        given = self._read(x)
        z = given.on_grid(GRID)
        layers = tuple(np.empty((len(z), width), dtype=np.int8) for width in self.widths)
        for rows in self._blocks(z):
            for layer, found in zip(layers, self._signs(z[rows]), strict=True):
                layer[rows] = found
        return tuple(layer[0] for layer in layers) if given.single else layers

    def logits(self, x: npt.ArrayLike) -> FloatArray:
        """Logits, shape (C,) for one image or (batch, C) for a batch (`images` gives shapes).

        Parameters
        ----------
        x : array_like, shape (n,), (batch, n), input_shape or (batch, *input_shape)
            Images, as `images` takes them.
        """
        given = self._read(x)
        logits = self.logits_of_levels(given.on_grid(GRID))
        return logits[0] if given.single else logits

    def predict(self, x: npt.ArrayLike) -> Any:
        """The class of the largest logit, the lowest index on ties.

        Parameters
        ----------
        x : array_like, shape (n,), (batch, n), input_shape or (batch, *input_shape)
            Images, as `images` takes them.

        Returns
        -------
        int or array of int64, shape (batch,)
        """
        classes = np.argmax(self.logits(x), axis=-1)
        return int(classes) if classes.ndim == 0 else classes

    def margin(self, x: npt.ArrayLike, target: npt.ArrayLike, source: npt.ArrayLike) -> Any:
        """The paper's objective (1): logit of `target` minus logit of `source`.

        Parameters
        ----------
        x : array_like
            One image or a batch, as `images` takes them.
        target, source : int, str or array of int, shape (batch,)
            Classes, 0 to C - 1, or names among `class_names`.

        Returns
        -------
        float or array of float64, shape (batch,)
        """
        logits = self.logits(x)
        rows = np.atleast_2d(logits)
        margin = self._pick(rows, target, "target") - self._pick(rows, source, "source")
        return float(margin[0]) if logits.ndim == 1 else margin

    def _pick(self, logits: FloatArray, classes: Any, what: str) -> FloatArray:
        if not isinstance(classes, list | tuple) and getattr(classes, "shape", ()) == ():
            return logits[:, read_class(classes, what, self.num_classes, self.class_names)]
        index = as_array(classes, what)
        if index.shape != (len(logits),):
            raise InputError(f"{what} has shape {index.shape}: give ({len(logits)},), one an image")
        known = (index >= 0) & (index < self.num_classes) & (index == np.rint(index))
        if index.dtype == bool or not np.all(known):
            raise InputError(f"{what} must hold class numbers from 0 to {self.num_classes - 1}")
        picked: FloatArray = logits[np.arange(len(logits)), index.astype(np.int64)]
        return picked

    @property
    def head(self) -> Literal["integer", "batchnorm"]:
        """``"integer"`` where every logit is an integer, else ``"batchnorm"``."""
        return "integer" if self.output.is_integer else "batchnorm"

    def with_rows(self) -> BinarizedNetwork:
        """The same network with rows for convolutions, as the checker of proofs reads it."""
        hidden, output = self.given
        rows = tuple(
            layer if layer.convolution is None else HiddenLayer(layer.weight, layer.threshold)
            for layer in hidden
        )
        return BinarizedNetwork(**self._parts() | {"hidden": rows, "output": output})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to an ``.npz`` file, weights bit-packed, whole or not at all.

        Parameters
        ----------
        path : path
            Where to; its folder is made if missing.
        """
        write_atomically(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The content of the file that `save` writes."""
        return file.encode(self._parts())

    @staticmethod
    def load(path: str | os.PathLike[str]) -> BinarizedNetwork:
        """Read a network that `save` wrote; the file may come from anywhere.

        Parameters
        ----------
        path : path
            Of an ``.npz`` file.

        Raises
        ------
        NetworkFormatError
            If the file is missing, truncated, of another format version, or not a network.
        """
        return BinarizedNetwork.from_bytes(npz.file_content(path), os.fspath(path))

    @staticmethod
    def from_bytes(content: bytes, name: str = "the content") -> BinarizedNetwork:
        """Read what `to_bytes` gave; the bytes may come from anywhere.

        Parameters
        ----------
        content : bytes
            Of a whole file.
        name : str
            What a message calls it.

        Raises
        ------
        NetworkFormatError
            As `load` does.
        """
        parts = file.decode(content, name)
        try:
            return BinarizedNetwork(**parts)
        except (NetworkFormatError, TypeError, ValueError) as error:
            raise NetworkFormatError(f"{name} is not a valid network: {error}") from None

    def _parts(self) -> dict[str, Any]:
        hidden, output = self.given
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        return parts | {"hidden": hidden, "output": output, "recipe": dict(self.recipe)}


def _read_layers(given: Any, output: Any) -> tuple[HiddenLayer, ...]:
    """The hidden layers, one or several, if they and the head make a chain."""
    hidden = tuple(given) if isinstance(given, Iterable) else (given,)
    wrong = [layer for layer in hidden if not isinstance(layer, HiddenLayer)]
    if wrong or not isinstance(output, OutputLayer):
        raise NetworkFormatError(
            "hidden must be a sequence of HiddenLayer and output an OutputLayer, not "
            f"{type(wrong[0] if wrong else output).__name__}"
        )
    if not 1 <= len(hidden) <= MAX_DEPTH:
        raise NetworkFormatError(f"a network has 1 to {MAX_DEPTH} hidden layers, not {len(hidden)}")
    for number, (layer, following) in enumerate(pairwise([*hidden, output]), 1):
        if layer.shape[0] != following.shape[1]:
            raise NetworkFormatError(
                f"layer {number} has {layer.shape[0]} neurons but layer {number + 1} takes "
                f"{following.shape[1]} inputs; the two must be equal"
            )
    return hidden


def _check_sums(hidden: tuple[HiddenLayer, ...], levels: int) -> None:
    """Every sum must be exact: in double precision on the grid, in single for signs."""
    first, *deeper = (int(layer.magnitude.max()) for layer in hidden)
    if first * levels * int(GRID) >= 2**53:
        raise NetworkFormatError(
            f"layer 1: the absolute weights of a neuron add up to {first}; times levels, {levels}, "
            "that must be less than 2**33, so that every sum is exact: divide the weights by a "
            "common factor, or round them more coarsely"
        )
    for number, most in enumerate(deeper, 2):
        if most >= MAX_SINGLE:
            raise NetworkFormatError(
                f"layer {number}: the absolute weights of a neuron add up to {most}; that must be "
                "less than 2**24, so that every sum is exact: divide them by a common factor"
            )


def _rebuild(parts: dict[str, Any]) -> BinarizedNetwork:
    return BinarizedNetwork(**parts)

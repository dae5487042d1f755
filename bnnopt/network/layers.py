"""The two kinds of layer of a folded binarized network, validated and immutable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bnnopt.counts import counted
from bnnopt.errors import NetworkFormatError
from bnnopt.network.checks import (
    MAX_SINGLE,
    check_nonzeros,
    check_width,
    frozen,
    is_sparse,
    numbers,
    whole,
)
from bnnopt.network.convolution import Convolution
from bnnopt.network.weights import LinearMap, Product, Weight, read_weight

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["HiddenLayer", "OutputLayer", "Weight"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Reals = npt.NDArray[np.floating[Any]]

MAX_THRESHOLD = 2**40
"""Largest size of a threshold, and of the head's numbers."""

ONE = np.int8(1)

EXACT_BITS = 50
"""Bits that the largest logit may take on the head's grid; sums of its terms take two more."""


def _check_fit(rows: csr_array, shape: tuple[int, int]) -> None:
    """Raise `NetworkFormatError` unless a layer of this shape takes the outputs of `rows`."""
    if rows.shape[0] != shape[1]:
        raise NetworkFormatError(
            f"a layer of {shape[1]} inputs does not fit behind {rows.shape[0]} outputs"
        )


def _exponent_of_largest(weight: Array, scale: FloatArray, bias: FloatArray) -> int:
    """The exponent of the power of two above the largest logit, whose sum is not rounded here."""
    sums = np.abs(scale) * np.abs(weight).sum(axis=1, dtype=np.float64) + np.abs(bias)
    largest = float(sums.max())
    exponent = math.frexp(largest)[1]
    power = math.ldexp(1.0, exponent - 1 if largest < 0.75 * 2.0**exponent else exponent)
    if abs(largest - power) > 1e-9 * power:  # far more than rounding can be
        return exponent
    rows = np.column_stack([np.abs(scale)[:, None] * np.abs(weight), np.abs(bias)]).tolist()
    # The sign of an exact sum is that of the rounded one.
    reaches = any(math.fsum([*row, -power]) >= 0.0 for row in rows)
    return math.frexp(power)[1] - (not reaches)


def _numbered(chosen: npt.ArrayLike) -> IntArray:
    array = np.asarray(chosen)
    return np.flatnonzero(array) if array.dtype == bool else array.astype(np.int64)


def _vector(values: npt.ArrayLike, size: int, what: str) -> Array:
    array = numbers(values, what)
    if array.shape != (size,):
        raise NetworkFormatError(f"{what} has shape {array.shape}; it must be ({size},)")
    return array


@dataclass(frozen=True, eq=False, repr=False, init=False)
class HiddenLayer:
    """A layer of sign neurons: neuron j is +1 iff ``weight[j] @ input >= threshold[j]``.

    Parameters
    ----------
    weight : array_like or sparse matrix of int, shape (out, in), or Convolution
        Whole numbers of at most 2**15 - 1 in size; zeros are absent inputs.
    threshold : array_like of int, shape (out,)
        In units of the layer's input: levels for the first layer, ±1 activations
        for the deeper ones. At most 2**40 in size.

    Attributes
    ----------
    threshold : array of int64, shape (out,)

    Raises
    ------
    NetworkFormatError
        If a shape is out of bounds, or a number is not whole or too large.
    """

    threshold: IntArray
    _map: LinearMap

    def __init__(
        self, weight: npt.ArrayLike | csr_array | LinearMap, threshold: npt.ArrayLike
    ) -> None:
        linear = weight if isinstance(weight, LinearMap) else read_weight(weight)
        what = "hidden layer: threshold"
        array = _vector(threshold, linear.shape[0], what)
        remedy = "round up, since sums are whole"
        array = whole(array, MAX_THRESHOLD, what, remedy).astype(np.int64)
        object.__setattr__(self, "_map", linear)
        object.__setattr__(self, "threshold", frozen(array))

    def __reduce__(self) -> tuple[Any, ...]:
        return HiddenLayer, (self._map, self.threshold)  # not what was computed from them

    def __repr__(self) -> str:
        kind = type(self._map).__name__
        inputs = counted(self.shape[1], "input")
        return f"HiddenLayer({kind}, {inputs}, output_shape={self.output_shape})"

    @property
    def shape(self) -> tuple[int, int]:
        """Number of neurons and of inputs."""
        return self._map.shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Channels, rows and columns of a convolution's neurons; else their number."""
        return self._map.output_shape

    @property
    def convolution(self) -> Convolution | None:
        """What the layer was given as, where that was a convolution."""
        return self._map if isinstance(self._map, Convolution) else None

    @property
    def weight(self) -> Weight:
        """Shape (out, in): int8 where every entry is ±1, else CSR, sorted and without zeros.

        A convolution is unrolled when first asked for it.
        """
        return self._map.matrix

    @property
    def is_dense(self) -> bool:
        """Whether every weight is ±1."""
        return self._map.is_dense

    @cached_property
    def magnitude(self) -> IntArray:
        """The largest size of each neuron's sum of ±1: its absolute weights, shape (out,)."""
        ones = np.ones(self.shape[1])
        return frozen(self.spread(ones).astype(np.int64))

    def spread(self, radius: FloatArray) -> FloatArray:
        """How far each sum can be from its centre: ``abs(weight) @ radius``.

        Parameters
        ----------
        radius : array of float64, shape (in,) or (batch, in)
            How far each input can be from its centre, at least 0.

        Returns
        -------
        array of float64, shape (out,) or (batch, out)
        """
        return self._map.spread(radius)

    def rows(self, neurons: npt.ArrayLike) -> csr_array:
        """Weights of some neurons, by number or mask, shape (count, in), in double precision.

        Parameters
        ----------
        neurons : array_like of int or bool
            Numbers, or a mask of shape (out,).
        """
        return self._map.rows(_numbered(neurons))

    def columns(self, inputs: npt.ArrayLike) -> csr_array:
        """Weights of some inputs, by number or mask, shape (out, count), in double precision.

        Parameters
        ----------
        inputs : array_like of int or bool
            Numbers, or a mask of shape (in,).
        """
        return self._map.columns(_numbered(inputs))

    def canonical(self) -> HiddenLayer:
        """The same neurons in one spelling, for inputs of ±1.

        A sum has the parity of f, its absolute weights; thresholds between two of those are one
        threshold: the upper one, from -f (always on) to f + 2 (never).
        """
        most = self.magnitude
        threshold = 2 * -((-self.threshold - most) // 2) - most
        return HiddenLayer(self._map, np.clip(threshold, -most, most + 2))

    def behind(self, rows: csr_array, divisor: int = 1) -> HiddenLayer:
        """The same neurons of inputs x, where their own inputs are ``rows @ x / divisor``.

        Parameters
        ----------
        rows : sparse matrix of int, shape (in, inputs before)
            What makes the inputs of this layer.
        divisor : int
            Above 0.
        """
        from scipy.sparse import csr_array

        _check_fit(rows, self.shape)
        product = csr_array(self.weight) @ rows.astype(np.int64)
        return HiddenLayer(product, divisor * self.threshold)

    def pre_activation(self, inputs: FloatArray) -> FloatArray:
        """``weight @ input`` of each row of `inputs`, shape (batch, in) to (batch, out).

        Parameters
        ----------
        inputs : array of float, shape (batch, in)
            Levels, or ±1.
        """
        return np.asarray(self._map.sums(np.asarray(inputs, dtype=np.float64)), dtype=np.float64)

    def signs(self, inputs: Reals) -> npt.NDArray[np.int8]:
        """Activations in {-1, +1}, shape (batch, in) to (batch, out).

        Sums are in the precision of `inputs`: single is exact where they are whole and below
        2**24, as deeper layers' are.

        Parameters
        ----------
        inputs : array of float, shape (batch, in)
            Levels, or ±1.
        """
        sums = self._map.sums(inputs)
        is_on = sums >= (self._single if sums.dtype.char == "f" else self._double)
        signs = is_on.view(np.int8)  # 1 and 0; np.where would take ten times as long
        signs += signs
        signs -= ONE
        return signs

    @cached_property
    def _single(self) -> npt.NDArray[np.float32]:
        # What is rounded here is above 2**24 in size, and stays there.
        return self.threshold.astype(np.float32)

    @cached_property
    def _double(self) -> FloatArray:
        return self.threshold.astype(np.float64)

    def __call__(self, inputs: FloatArray) -> FloatArray:
        """Activations in {-1, +1}, shape (batch, in) to (batch, out)."""
        return self.signs(np.asarray(inputs, dtype=np.float64)).astype(np.float64)


@dataclass(frozen=True, eq=False, repr=False)
class OutputLayer:
    """The head: logits = scale * (weight @ h) + bias.

    Parameters
    ----------
    weight : array_like or sparse matrix, shape (classes, in)
        Real numbers of at most 2**40 in size; -1 and +1 where the head is binarized. It is kept
        as int8 where every entry is ±1, else as float64.
    scale, bias : array_like of float, shape (classes,)
        1 and integers for the default head, so that logits are integers. At most 2**40 in size.

    Raises
    ------
    NetworkFormatError
        If a shape is out of bounds, or a number is not finite or too large.
    """

    weight: Array
    scale: FloatArray
    bias: FloatArray

    def __post_init__(self) -> None:
        where = "output layer"
        given: Any = self.weight
        if is_sparse(given):
            check_width(given.shape, where)
            check_nonzeros(given.shape[0] * given.shape[1], where)
            given = given.toarray()
        weight = numbers(given, f"{where}: weight")
        check_width(weight.shape, where)
        parts = {"weight": weight}
        for name in ("scale", "bias"):
            parts[name] = _vector(getattr(self, name), len(weight), f"{where}: {name}")
        for name, part in parts.items():
            wrong = part[~(np.abs(part) <= MAX_THRESHOLD)]  # or not a number
            if wrong.size:
                raise NetworkFormatError(
                    f"{where}: {name} must hold finite numbers of at most 2**40 in size, "
                    f"not {wrong.flat[0]}"
                )
            is_binary = name == "weight" and np.all((part == 1) | (part == -1))
            kept = frozen(part.astype(np.int8 if is_binary else np.float64))
            object.__setattr__(self, name, kept)

    def __repr__(self) -> str:
        kind = "±1" if self.is_binary else "real"
        inputs, classes = counted(self.shape[1], "input"), counted(self.shape[0], "class")
        return f"OutputLayer({kind}, {inputs}, {classes})"

    def __reduce__(self) -> tuple[Any, ...]:
        return OutputLayer, (self.weight, self.scale, self.bias)

    @property
    def is_binary(self) -> bool:
        """Whether every weight is ±1."""
        return self.weight.dtype == np.int8

    @property
    def shape(self) -> tuple[int, int]:
        """Number of classes and of inputs."""
        rows, columns = self.weight.shape
        return int(rows), int(columns)

    def on_grid(self) -> OutputLayer:
        """The same head with its numbers on a grid on which float64 has every logit exactly.

        The grid is a power of two, 2^-50 of the largest logit or less, so that sums of logits'
        terms, and differences of two logits, are exact in any order of summation. Real weights
        take their scale with them, which becomes 1.
        """
        weight, scale, bias = self.weight, self.scale, self.bias
        if not self.is_binary:
            weight, scale = scale[:, None] * weight, np.ones(len(scale))
        step = 0.0
        while True:  # rounding may reach the next power of two, once
            wanted = 2.0 ** (_exponent_of_largest(weight, scale, bias) - EXACT_BITS)
            if wanted <= step:
                return OutputLayer(weight, scale, bias)
            step = wanted
            bias = np.round(bias / step) * step
            if self.is_binary:
                scale = np.round(scale / step) * step
            else:
                weight = np.round(weight / step) * step

    def gain(self, target: int, source: int) -> tuple[FloatArray, float]:
        """The margin of a target over a source: ``gain @ h + constant``, h of ±1.

        Parameters
        ----------
        target, source : int
            Classes.

        Returns
        -------
        gain : array of float64, shape (in,)
        constant : float
        """
        weight, scale = self.weight, self.scale
        gain = scale[target] * weight[target] - scale[source] * weight[source]
        return gain, float(self.bias[target] - self.bias[source])

    def behind(self, rows: csr_array, divisor: int = 1) -> OutputLayer:
        """The same logits of inputs x, where their own inputs are ``rows @ x / divisor``.

        Parameters
        ----------
        rows : sparse matrix of int, shape (in, inputs before)
            What makes the inputs of this layer.
        divisor : int
            Above 0.
        """
        _check_fit(rows, self.shape)
        product = self.weight.astype(np.float64) @ rows.astype(np.int64)
        return OutputLayer(product, self.scale / divisor, self.bias)

    @property
    def is_integer(self) -> bool:
        """Whether every logit is an integer: all scales 1, all weights and biases whole."""
        parts = self.weight, self.bias
        return bool(np.all(self.scale == 1.0) and all(np.all(p == np.round(p)) for p in parts))

    @cached_property
    def _product(self) -> Product:
        return Product(self.weight)

    @cached_property
    def _is_single(self) -> bool:
        """Whether single precision has every sum exactly."""
        sizes = np.abs(self.weight).sum(axis=1, dtype=np.float64)
        return bool(np.all(self.weight == np.round(self.weight)) and sizes.max() < MAX_SINGLE)

    def __call__(self, activations: Reals) -> FloatArray:
        """Logits, shape (batch, in) to (batch, classes)."""
        if not self._is_single:
            activations = np.asarray(activations, dtype=np.float64)
        return self.scale * self._product(activations).astype(np.float64) + self.bias

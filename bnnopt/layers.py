"""The two kinds of layer of a folded binarized network, validated and immutable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError

__all__ = ["MAX_WIDTH", "HiddenLayer", "OutputLayer"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_WIDTH = 2**16
"""Most inputs or neurons of a layer; keeps every sum of the forward pass exact."""


def _binary_weight(weight: npt.ArrayLike, where: str) -> npt.NDArray[np.int8]:
    """Check that `weight` is a matrix of -1 and +1 of bounded size; return it read-only."""
    array = np.asarray(weight)
    if array.ndim != 2 or 0 in array.shape or max(array.shape) > MAX_WIDTH:
        raise NetworkFormatError(
            f"{where}: weight has shape {array.shape}; it must be a matrix (out, in) "
            f"with 1 to {MAX_WIDTH} rows and columns"
        )
    if array.dtype.kind not in "iuf" or not np.all((array == 1) | (array == -1)):
        raise NetworkFormatError(f"{where}: every weight must be exactly -1 or +1")
    return _frozen(array.astype(np.int8))


def _frozen(array: Array) -> Array:
    array = np.array(array, order="C")
    array.setflags(write=False)
    return array


def _vector(values: npt.ArrayLike, size: int, where: str) -> FloatArray:
    array = np.asarray(values)
    if array.shape != (size,):
        raise NetworkFormatError(f"{where} has shape {array.shape}; it must be ({size},)")
    if array.dtype.kind not in "iuf" or not np.all(np.isfinite(array)):
        raise NetworkFormatError(f"{where} must hold finite numbers")
    return array.astype(np.float64)


EXACT_BITS = 50
"""Bits that the largest logit may take on the head's grid; sums of its terms take two more."""


@dataclass(frozen=True, eq=False)
class HiddenLayer:
    """A layer of sign neurons: neuron j is +1 iff ``weight[j] @ input >= threshold[j]``.

    Parameters
    ----------
    weight : array of int8, shape (out, in)
        Entries -1 or +1.
    threshold : array of int64, shape (out,)
        In units of the layer's input: levels (0 to 255) for the first layer, ±1 activations
        for the deeper ones.

    Raises
    ------
    NetworkFormatError
        If a weight is not ±1, or a threshold is not a finite integer of at most 2**40.
    """

    weight: npt.NDArray[np.int8]
    threshold: IntArray

    def __post_init__(self) -> None:
        weight = _binary_weight(self.weight, "hidden layer")
        threshold = _vector(self.threshold, weight.shape[0], "hidden layer: threshold")
        if np.any(threshold != np.round(threshold)) or np.any(np.abs(threshold) > 2.0**40):
            raise NetworkFormatError(
                "hidden layer: thresholds must be integers between -2**40 and 2**40"
            )
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "threshold", _frozen(threshold.astype(np.int64)))

    def canonical(self) -> HiddenLayer:
        """The same neurons in one spelling, for inputs of ±1.

        Their sums have the parity of the fan-in f, so thresholds between two of those are one
        threshold: the upper one, from -f (always on) to f + 2 (never).
        """
        fan_in = self.weight.shape[1]
        threshold = 2 * -((-self.threshold - fan_in) // 2) - fan_in
        return HiddenLayer(self.weight, np.clip(threshold, -fan_in, fan_in + 2))

    @cached_property
    def _float_weight(self) -> FloatArray:
        return _frozen(self.weight.T.astype(np.float64))

    def pre_activation(self, inputs: FloatArray) -> FloatArray:
        """``weight @ input`` of each row of `inputs`, shape (batch, in) to (batch, out)."""
        return inputs @ self._float_weight

    def __call__(self, inputs: FloatArray) -> FloatArray:
        """Activations in {-1, +1}, shape (batch, in) to (batch, out)."""
        return np.where(self.pre_activation(inputs) >= self.threshold, 1.0, -1.0)


@dataclass(frozen=True, eq=False)
class OutputLayer:
    """The head: logits = scale * (weight @ h) + bias.

    Parameters
    ----------
    weight : array of int8, shape (classes, in)
        Entries -1 or +1.
    scale, bias : array of float64, shape (classes,)
        1 and integers for the default head, so that logits are integers.
    """

    weight: npt.NDArray[np.int8]
    scale: FloatArray
    bias: FloatArray

    def __post_init__(self) -> None:
        weight = _binary_weight(self.weight, "output layer")
        object.__setattr__(self, "weight", weight)
        for name in ("scale", "bias"):
            values = _vector(getattr(self, name), weight.shape[0], f"output layer: {name}")
            if np.any(np.abs(values) > 2.0**40):
                raise NetworkFormatError(f"output layer: {name} must be at most 2**40 in size")
            object.__setattr__(self, name, _frozen(values))

    def on_grid(self) -> OutputLayer:
        """The same head with scale and bias on a grid on which float64 has every logit exactly.

        The grid is a power of two, 2^-50 of the largest logit or less, so that sums of logits'
        terms, and differences of two logits, are exact in any order of summation.
        """
        scale, bias, fan_in = self.scale, self.bias, self.weight.shape[1]
        step = 0.0
        while True:  # rounding may reach the next power of two, once
            largest = float((np.abs(scale) * fan_in + np.abs(bias)).max())
            wanted = 2.0 ** (np.frexp(largest)[1] - EXACT_BITS)
            if largest == 0.0 or wanted <= step:
                return OutputLayer(self.weight, scale, bias)
            step = wanted
            scale, bias = np.round(scale / step) * step, np.round(bias / step) * step

    def difference(self, target: int, source: int) -> tuple[FloatArray, float]:
        """The margin of a target over a source: ``gain @ h + constant``, h of ±1.

        Returns
        -------
        gain : array of float64, shape (in,)
        constant : float
        """
        gain = self.scale[target] * self.weight[target] - self.scale[source] * self.weight[source]
        return gain, float(self.bias[target] - self.bias[source])

    @property
    def is_integer(self) -> bool:
        """Whether every logit is an integer: all scales 1, all biases whole."""
        return bool(np.all(self.scale == 1.0) and np.all(self.bias == np.round(self.bias)))

    @cached_property
    def _float_weight(self) -> FloatArray:
        return _frozen(self.weight.T.astype(np.float64))

    def __call__(self, activations: FloatArray) -> FloatArray:
        """Logits, shape (batch, in) to (batch, classes)."""
        return self.scale * (activations @ self._float_weight) + self.bias

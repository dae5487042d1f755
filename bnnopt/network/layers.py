"""The two kinds of layer of a folded binarized network, validated and immutable."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, issparse

from bnnopt.errors import NetworkFormatError
from bnnopt.network.convolution import Convolution

__all__ = ["MAX_WIDTH", "HiddenLayer", "OutputLayer", "Weight"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Weight = npt.NDArray[np.int8] | csr_array
"""Of ±1 throughout, or whole numbers of which most may be absent."""

MAX_WIDTH = 2**20
"""Most inputs or neurons of a layer."""

MAX_NONZEROS = 2**27
"""Most weights of a layer that are not zero."""

MAX_WEIGHT = 2**15 - 1
"""Largest size of a weight."""

MAX_THRESHOLD = 2**40

EXACT_BITS = 50
"""Bits that the largest logit may take on the head's grid; sums of its terms take two more."""

DENSE_SHARE, DENSE_SIZE = 1 / 16, 2**24
"""Matrices with at least this share of nonzeros, and no more entries, are multiplied as dense."""


def _frozen(array: Array) -> Array:
    array = np.array(array, order="C")
    array.setflags(write=False)
    return array


def _check_shape(shape: tuple[int, ...], where: str) -> None:
    if len(shape) != 2 or 0 in shape or max(shape) > MAX_WIDTH:
        raise NetworkFormatError(
            f"{where}: weight has shape {shape}; it must be a matrix (out, in) "
            f"with 1 to {MAX_WIDTH} rows and columns"
        )


def _is_binary(values: Array) -> bool:
    return bool(np.all((values == 1) | (values == -1)))


def _whole_weight(weight: Any, where: str) -> Weight:
    """Check a matrix of whole numbers; read-only int8 where it is ±1 throughout, else CSR."""
    given = weight if issparse(weight) else np.asarray(weight)
    _check_shape(given.shape, where)
    if given.dtype.kind not in "iuf":
        raise NetworkFormatError(f"{where}: weights must be whole numbers, not {given.dtype}")
    if not issparse(given) and given.size <= MAX_NONZEROS and _is_binary(given):
        return _frozen(given.astype(np.int8))
    matrix = csr_array(given)
    values = matrix.data
    if not np.all(np.isfinite(values)) or np.any(values != np.round(values)):
        raise NetworkFormatError(f"{where}: every weight must be a whole number")
    if len(values) and np.abs(values.astype(np.float64)).max() > MAX_WEIGHT:
        raise NetworkFormatError(f"{where}: weights must be at most {MAX_WEIGHT} in size")
    return _compact(matrix, where)


def _compact(matrix: csr_array, where: str) -> Weight:
    """Without zeros, in the smallest type; dense where every entry is ±1."""
    if matrix.nnz > MAX_NONZEROS:
        raise NetworkFormatError(f"{where}: more than {MAX_NONZEROS} weights that are not zero")
    matrix = matrix.astype(np.int64)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if matrix.nnz == matrix.shape[0] * matrix.shape[1] and _is_binary(matrix.data):
        return _frozen(matrix.toarray().astype(np.int8))
    largest = int(np.abs(matrix.data).max(initial=0))
    matrix = matrix.astype(np.int8 if largest < 2**7 else np.int16 if largest < 2**15 else np.int64)
    for part in (matrix.data, matrix.indices, matrix.indptr):
        part.setflags(write=False)
    return matrix


def _vector(values: npt.ArrayLike, size: int, where: str) -> FloatArray:
    array = np.asarray(values)
    if array.shape != (size,):
        raise NetworkFormatError(f"{where} has shape {array.shape}; it must be ({size},)")
    if array.dtype.kind not in "iuf" or not np.all(np.isfinite(array)):
        raise NetworkFormatError(f"{where} must hold finite numbers")
    return array.astype(np.float64)


class HiddenLayer:
    """A layer of sign neurons: neuron j is +1 iff ``weight[j] @ input >= threshold[j]``.

    Parameters
    ----------
    weight : array_like or sparse matrix of int, shape (out, in), or Convolution
        Whole numbers of at most 2**15 - 1 in size; zeros are absent inputs.
    threshold : array of int64, shape (out,)
        In units of the layer's input: levels (0 to 255) for the first layer, ±1 activations
        for the deeper ones.

    Raises
    ------
    NetworkFormatError
        If a weight is not whole, or a threshold is not a finite integer of at most 2**40.
    """

    def __init__(
        self, weight: npt.ArrayLike | csr_array | Convolution, threshold: npt.ArrayLike
    ) -> None:
        where = "hidden layer"
        self._source: Weight | Convolution
        if isinstance(weight, Convolution):
            _check_shape(weight.shape, where)
            _whole_weight(weight.kernel.reshape(len(weight.kernel), -1), where)
            self._source = weight
        else:
            self._source = _whole_weight(weight, where)
        array = _vector(threshold, self.shape[0], f"{where}: threshold")
        if np.any(array != np.round(array)) or np.any(np.abs(array) > MAX_THRESHOLD):
            raise NetworkFormatError(f"{where}: thresholds must be integers between ±2**40")
        self._threshold: IntArray = _frozen(array.astype(np.int64))

    def __reduce__(self) -> tuple[Any, ...]:
        return HiddenLayer, (self._source, self._threshold)  # not what is made of them

    @property
    def threshold(self) -> IntArray:
        """Shape (out,)."""
        return self._threshold

    @property
    def shape(self) -> tuple[int, int]:
        """Number of neurons and of inputs."""
        rows, columns = self._source.shape
        return int(rows), int(columns)

    @property
    def convolution(self) -> Convolution | None:
        """What the layer was given as, where that was a convolution."""
        return self._source if isinstance(self._source, Convolution) else None

    @cached_property
    def weight(self) -> Weight:
        """An array of int8 where every entry is ±1, else a CSR array without zeros."""
        if not isinstance(self._source, Convolution):
            return self._source
        return _compact(self._source.matrix(), "hidden layer")

    @property
    def is_dense(self) -> bool:
        """Whether every weight is ±1."""
        return isinstance(self.weight, np.ndarray)

    @cached_property
    def magnitude(self) -> IntArray:
        """The largest size of each neuron's sum of ±1: its absolute weights, shape (out,)."""
        ones = np.ones(self.shape[1])
        return _frozen(self.spread(ones).astype(np.int64))

    def spread(self, radius: FloatArray) -> FloatArray:
        """How far each sum can be from its centre: ``abs(weight) @ radius``, (in,) to (out,)."""
        if isinstance(self._source, Convolution):
            return self._source.magnitude()(radius[None])[0]
        if isinstance(self._source, np.ndarray):
            return np.full(self.shape[0], float(radius.sum()))
        return np.asarray(abs(self._source).astype(np.float64) @ radius)

    def rows(self, neurons: npt.ArrayLike) -> csr_array:
        """Weights of some neurons, shape (count, in), in double precision."""
        chosen = self.weight[np.asarray(neurons, dtype=np.int64)]
        return csr_array(chosen).astype(np.float64)

    def columns(self, inputs: npt.ArrayLike) -> csr_array:
        """Weights of some inputs, shape (out, count), in double precision."""
        chosen = self.weight[:, np.asarray(inputs, dtype=np.int64)]
        return csr_array(chosen).astype(np.float64)

    def canonical(self) -> HiddenLayer:
        """The same neurons in one spelling, for inputs of ±1.

        A sum has the parity of f, its absolute weights; thresholds between two of those are one
        threshold: the upper one, from -f (always on) to f + 2 (never).
        """
        most = self.magnitude
        threshold = 2 * -((-self.threshold - most) // 2) - most
        return self._with_threshold(np.clip(threshold, -most, most + 2))

    def _with_threshold(self, threshold: IntArray) -> HiddenLayer:
        if np.array_equal(threshold, self.threshold):
            return self
        return HiddenLayer(self._source, threshold)

    @cached_property
    def _factor(self) -> Any:
        """What inputs are multiplied with, transposed: shape (in, out)."""
        weight = self.weight
        if isinstance(weight, np.ndarray):
            return _frozen(weight.T.astype(np.float64))
        size = weight.shape[0] * weight.shape[1]
        if size <= DENSE_SIZE and weight.nnz >= DENSE_SHARE * size:
            return _frozen(weight.toarray().T.astype(np.float64))
        return weight.astype(np.float64).T

    def pre_activation(self, inputs: FloatArray) -> FloatArray:
        """``weight @ input`` of each row of `inputs`, shape (batch, in) to (batch, out)."""
        if isinstance(self._source, Convolution):
            return self._source(inputs)
        if isinstance(self._factor, np.ndarray):
            return np.asarray(inputs @ self._factor)
        return np.ascontiguousarray((self._factor.T @ inputs.T).T)

    def __call__(self, inputs: FloatArray) -> FloatArray:
        """Activations in {-1, +1}, shape (batch, in) to (batch, out)."""
        return np.where(self.pre_activation(inputs) >= self.threshold, 1.0, -1.0)


class OutputLayer:
    """The head: logits = scale * (weight @ h) + bias.

    Parameters
    ----------
    weight : array_like or sparse matrix, shape (classes, in)
        Real numbers; -1 and +1 where the head is binarized.
    scale, bias : array of float64, shape (classes,)
        1 and integers for the default head, so that logits are integers.

    Raises
    ------
    NetworkFormatError
        If a number is not finite or above 2**40 in size.
    """

    def __init__(self, weight: Any, scale: npt.ArrayLike, bias: npt.ArrayLike) -> None:
        where = "output layer"
        array = weight.toarray() if issparse(weight) else np.asarray(weight)
        _check_shape(array.shape, where)
        if array.dtype.kind not in "iuf" or not np.all(np.isfinite(array)):
            raise NetworkFormatError(f"{where}: weight must hold finite numbers")
        parts = {"weight": array, "scale": scale, "bias": bias}
        for name in ("scale", "bias"):
            parts[name] = _vector(parts[name], array.shape[0], f"{where}: {name}")
        if any(np.abs(part).max() > MAX_THRESHOLD for part in parts.values()):
            raise NetworkFormatError(f"{where}: numbers must be at most 2**40 in size")
        self._weight = _frozen(array.astype(np.int8 if _is_binary(array) else np.float64))
        self._scale, self._bias = _frozen(parts["scale"]), _frozen(parts["bias"])

    def __reduce__(self) -> tuple[Any, ...]:
        return OutputLayer, (self._weight, self._scale, self._bias)

    @property
    def weight(self) -> Array:
        """Shape (classes, in): int8 where every entry is ±1, else float64."""
        return self._weight

    @property
    def scale(self) -> FloatArray:
        """Shape (classes,)."""
        return self._scale

    @property
    def bias(self) -> FloatArray:
        """Shape (classes,)."""
        return self._bias

    @property
    def shape(self) -> tuple[int, int]:
        """Number of classes and of inputs."""
        rows, columns = self._weight.shape
        return int(rows), int(columns)

    def on_grid(self) -> OutputLayer:
        """The same head with its numbers on a grid on which float64 has every logit exactly.

        The grid is a power of two, 2^-50 of the largest logit or less, so that sums of logits'
        terms, and differences of two logits, are exact in any order of summation. Real weights
        take their scale with them, which becomes 1.
        """
        weight, scale, bias = self._weight, self._scale, self._bias
        if weight.dtype != np.int8:
            weight, scale = scale[:, None] * weight, np.ones(len(scale))
        is_real, step = weight.dtype != np.int8, 0.0
        while True:  # rounding may reach the next power of two, once
            sums = scale * np.abs(weight).sum(axis=1, dtype=np.float64)
            largest = float((np.abs(sums) + np.abs(bias)).max())
            wanted = 2.0 ** (np.frexp(largest)[1] - EXACT_BITS)
            if largest == 0.0 or wanted <= step:
                return OutputLayer(weight, scale, bias)
            step = wanted
            bias = np.round(bias / step) * step
            if is_real:
                weight = np.round(weight / step) * step
            else:
                scale = np.round(scale / step) * step

    def gain(self, target: int, source: int) -> tuple[FloatArray, float]:
        """The margin of a target over a source: ``gain @ h + constant``, h of ±1.

        Returns
        -------
        gain : array of float64, shape (in,)
        constant : float
        """
        weight, scale = self._weight, self._scale
        gain = scale[target] * weight[target] - scale[source] * weight[source]
        return gain, float(self._bias[target] - self._bias[source])

    @property
    def is_integer(self) -> bool:
        """Whether every logit is an integer: all scales 1, all weights and biases whole."""
        parts = self._weight, self._bias
        return bool(np.all(self._scale == 1.0) and all(np.all(p == np.round(p)) for p in parts))

    @cached_property
    def _factor(self) -> FloatArray:
        return _frozen(self._weight.T.astype(np.float64))

    def __call__(self, activations: FloatArray) -> FloatArray:
        """Logits, shape (batch, in) to (batch, classes)."""
        return self._scale * (activations @ self._factor) + self._bias

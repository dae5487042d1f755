"""Matrices of whole numbers as layers keep them: all of ±1, or sparse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, issparse

from bnnopt.errors import InputError, NetworkFormatError
from bnnopt.images import as_array

__all__ = [
    "MAX_NONZEROS",
    "MAX_WEIGHT",
    "MAX_WIDTH",
    "LinearMap",
    "Product",
    "SignMatrix",
    "SparseMatrix",
    "Weight",
    "check_nonzeros",
    "check_width",
    "frozen",
    "is_sparse",
    "numbers",
    "of_rows",
    "read_weight",
    "whole",
]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Reals = npt.NDArray[np.floating[Any]]
"""Of single or double precision."""

Weight = npt.NDArray[np.int8] | csr_array
"""Of ±1 throughout, or whole numbers of which most may be absent."""

MAX_WIDTH = 2**20
"""Most inputs or neurons of a layer."""

MAX_NONZEROS = 2**26
"""Most weights of a layer that are not zero."""

MAX_WEIGHT = 2**15 - 1
"""Largest size of a weight."""

WHERE = "hidden layer"

BLOCK = 2**22
"""Weights that are converted to real numbers at a time; of up to so many the result is kept."""

DENSE_SHARE, DENSE_SIZE = 1 / 8, 2**24
"""Matrices with at least this share of nonzeros, and no more entries, are multiplied as dense."""


def frozen(array: Array) -> Array:
    """A read-only copy."""
    array = np.array(array, order="C")
    array.setflags(write=False)
    return array


def numbers(values: Any, what: str) -> Array:
    """An array of whole or real numbers, from numpy, torch or lists.

    Raises
    ------
    NetworkFormatError
        Its message calls them `what`.
    """
    try:
        array = as_array(values, what)
    except InputError as error:
        raise NetworkFormatError(str(error)) from None
    if array.dtype.kind not in "iuf":
        raise NetworkFormatError(f"{what} must hold numbers, not {array.dtype}")
    return array


def whole(values: Array, largest: int, what: str, remedy: str) -> Array:
    """Numbers in the smallest type of signed integers that holds them.

    Raises
    ------
    NetworkFormatError
        If one is not whole, or above `largest` in size.
    """
    if values.dtype.kind == "f":
        broken = values != np.rint(values)
        if np.any(broken):
            raise NetworkFormatError(
                f"{what} must be whole numbers, not {values[broken].flat[0]}: {remedy}"
            )
    low, high = values.min(initial=0), values.max(initial=0)
    size = max(-float(low), float(high))
    if size > largest:
        raise NetworkFormatError(f"{what} must be at most {largest} in size, not {size:.17g}")
    kinds = (np.int8, np.int16, np.int32, np.int64)
    return values.astype(next(kind for kind in kinds if size <= np.iinfo(kind).max))


def check_width(shape: tuple[int, ...], where: str) -> None:
    """Raise `NetworkFormatError` unless this is the shape of a matrix of bounded size."""
    if len(shape) != 2 or 0 in shape or max(shape) > MAX_WIDTH:
        raise NetworkFormatError(
            f"{where}: weight has shape {tuple(shape)}; it must be a matrix (out, in) "
            f"with 1 to {MAX_WIDTH} rows and columns"
        )


def check_nonzeros(count: int, where: str) -> None:
    """Raise `NetworkFormatError` if a layer cannot have so many weights."""
    if count > MAX_NONZEROS:
        raise NetworkFormatError(f"{where}: it has {count} weights; at most {MAX_NONZEROS} fit")


def is_sparse(weight: Any) -> bool:
    """Whether it is a sparse matrix of scipy's."""
    return bool(issparse(weight))


class LinearMap(ABC):
    """Whole weights of each output for each input, however they are kept. Immutable."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """Number of outputs and of inputs."""

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the outputs: (out,), or that of an image."""
        return self.shape[:1]

    @property
    @abstractmethod
    def matrix(self) -> Weight:
        """Read-only: int8 where every entry is ±1, else CSR, sorted and without zeros."""

    @property
    def is_dense(self) -> bool:
        """Whether every weight is ±1."""
        return isinstance(self.matrix, np.ndarray)

    @abstractmethod
    def sums(self, inputs: Reals) -> Reals:
        """``matrix @ input`` of each row of `inputs`, in their precision."""

    @abstractmethod
    def spread(self, radius: FloatArray) -> FloatArray:
        """``abs(matrix) @ radius``, shape (in,) to (out,), or (batch, in) to (batch, out)."""

    def rows(self, outputs: npt.NDArray[np.int64]) -> csr_array:
        """Weights of some outputs, shape (count, in), in double precision."""
        return csr_array(self.matrix[outputs]).astype(np.float64)

    def columns(self, inputs: npt.NDArray[np.int64]) -> csr_array:
        """Weights of some inputs, shape (out, count), in double precision."""
        return csr_array(self.matrix[:, inputs]).astype(np.float64)

    def __reduce__(self) -> tuple[Any, ...]:
        parts = [getattr(self, part.name) for part in fields(self)]  # type: ignore[arg-type]
        return type(self), tuple(parts)  # not what was computed from them


class Product:
    """A dense matrix as it is multiplied with: transposed, in the precision of the inputs.

    Parameters
    ----------
    matrix : array, shape (out, in)
    """

    def __init__(self, matrix: Array) -> None:
        self._matrix = matrix
        self._kept: dict[str, Reals] = {}

    def __call__(self, inputs: Reals) -> Reals:
        """Shape (batch, in) to (batch, out)."""
        kept = self._kept.get(inputs.dtype.char)
        if kept is None and self._matrix.size <= BLOCK:
            kept = self._kept[inputs.dtype.char] = frozen(self._matrix.T.astype(inputs.dtype))
        return inputs @ kept if kept is not None else self._in_blocks(inputs)

    def _in_blocks(self, inputs: Reals) -> Reals:
        found = np.empty((len(inputs), len(self._matrix)), inputs.dtype)
        step = max(BLOCK // self._matrix.shape[1], 1)
        for at in range(0, len(self._matrix), step):
            rows = self._matrix[at : at + step]
            np.matmul(inputs, rows.T.astype(inputs.dtype), out=found[:, at : at + step])
        return found


@dataclass(frozen=True, eq=False)
class SignMatrix(LinearMap):
    """A matrix of ±1.

    Parameters
    ----------
    signs : array of int8, shape (out, in)
        Not copied.
    """

    signs: npt.NDArray[np.int8]

    def __post_init__(self) -> None:
        self.signs.setflags(write=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of outputs and of inputs."""
        rows, columns = self.signs.shape
        return int(rows), int(columns)

    @property
    def matrix(self) -> Weight:
        """Read-only."""
        return self.signs

    @cached_property
    def _product(self) -> Product:
        return Product(self.signs)

    def sums(self, inputs: Reals) -> Reals:
        """``matrix @ input`` of each row of `inputs`, in their precision."""
        return self._product(inputs)

    def spread(self, radius: FloatArray) -> FloatArray:
        """``abs(matrix) @ radius``: the same for every output."""
        total = radius.sum(axis=-1, keepdims=True)
        return np.broadcast_to(total, (*radius.shape[:-1], self.shape[0])).copy()


@dataclass(frozen=True, eq=False)
class SparseMatrix(LinearMap):
    """A matrix of whole numbers in compressed rows, sorted, without zeros.

    Parameters
    ----------
    data : array of int8 or int16
    indices : array of int32
    indptr : array
        None of the three is copied.
    sides : (int, int)
        Number of outputs and of inputs.
    """

    data: Array
    indices: Array
    indptr: Array
    sides: tuple[int, int]

    def __post_init__(self) -> None:
        for part in (self.data, self.indices, self.indptr):
            part.setflags(write=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of outputs and of inputs."""
        return self.sides

    @property
    def matrix(self) -> Weight:
        """A new array around the read-only parts: who inserts into it changes no layer."""
        return self._with(self.data)

    def _with(self, data: Array) -> csr_array:
        matrix = csr_array((data, self.indices, self.indptr), shape=self.shape)
        matrix.has_canonical_format = True
        return matrix

    @cached_property
    def _product(self) -> Product | None:
        size = self.shape[0] * self.shape[1]
        if size > DENSE_SIZE or len(self.data) < DENSE_SHARE * size:
            return None
        return Product(self._with(self.data).toarray())

    @cached_property
    def _kept(self) -> dict[np.dtype[Any], csr_array]:
        return {}

    def sums(self, inputs: Reals) -> Reals:
        """``matrix @ input`` of each row of `inputs`, in their precision."""
        if self._product is not None:
            return self._product(inputs)
        kind = inputs.dtype
        if len(self.data) > BLOCK:
            found = np.concatenate([part @ inputs.T for part in self._blocks(kind)])
        else:
            if kind not in self._kept:
                self._kept[kind] = self._with(self.data.astype(kind))
            found = self._kept[kind] @ inputs.T
        return found.T  # as the next sparse layer takes it

    def _blocks(self, kind: np.dtype[Any]) -> Iterator[csr_array]:
        """Some rows at a time, in real numbers."""
        at = 0
        while at < self.shape[0]:
            end = int(np.searchsorted(self.indptr, self.indptr[at] + BLOCK, side="right")) - 1
            end = min(max(end, at + 1), self.shape[0])
            part = slice(self.indptr[at], self.indptr[end])
            parts = self.data[part].astype(kind), self.indices[part]
            starts = self.indptr[at : end + 1] - self.indptr[at]
            yield csr_array((*parts, starts), shape=(end - at, self.shape[1]))
            at = end

    def spread(self, radius: FloatArray) -> FloatArray:
        """``abs(matrix) @ radius``, shape (in,) to (out,), or (batch, in) to (batch, out)."""
        blocks = self._blocks(np.dtype(np.float64))
        return np.concatenate([abs(block) @ radius.T for block in blocks]).T


def read_weight(weight: Any) -> LinearMap:
    """Check a matrix of whole numbers, dense or sparse, that may be anything.

    Raises
    ------
    NetworkFormatError
        If its size is out of bounds or an entry is not whole or too large.
    """
    if is_sparse(weight):
        check_width(weight.shape, WHERE)
        if weight.dtype.kind not in "iuf":
            raise NetworkFormatError(f"{WHERE}: weights must be numbers, not {weight.dtype}")
        return _read_sparse(weight)
    given = numbers(weight, f"{WHERE}: weight")
    check_width(given.shape, WHERE)
    if given.size <= MAX_NONZEROS and np.all((given == 1) | (given == -1)):
        return SignMatrix(np.array(given, dtype=np.int8, order="C"))
    check_nonzeros(int(np.count_nonzero(given)), WHERE)
    return _read_sparse(csr_array(given))


REMEDY = "give signs, or put the real weights of a first layer on a grid"


def _read_sparse(given: Any) -> LinearMap:
    matrix = _checked(given)
    data = whole(matrix.data, MAX_WEIGHT, f"{WHERE}: weights", REMEDY)
    own = csr_array((data, matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape)
    if not own.has_canonical_format:  # sums of small types would overflow
        own = own.astype(np.int64)
        own.sum_duplicates()
    if np.any(own.data == 0):
        own.eliminate_zeros()
    return of_rows(own.data, own.indices, own.indptr, (int(own.shape[0]), int(own.shape[1])))


def of_rows(data: Array, indices: Array, starts: Array, shape: tuple[int, int]) -> LinearMap:
    """The one way to keep a matrix, given in compressed rows, sorted, without zeros."""
    data = whole(data, MAX_WEIGHT, f"{WHERE}: weights", REMEDY)
    if len(data) == shape[0] * shape[1] and np.all(np.abs(data) == 1):
        return SignMatrix(data.reshape(shape))
    return SparseMatrix(data, indices.astype(np.int32), starts.astype(np.int32), shape)


def _checked(given: Any) -> Any:
    """CSR whose parts are what they claim: C code follows them without looking."""
    try:
        if hasattr(given, "check_format"):
            given.check_format(full_check=True)
        # Other formats add up duplicates on the way, which small types do not hold.
        matrix = given if given.format == "csr" else given.astype(np.float64).tocsr()
    except (TypeError, ValueError, IndexError) as error:
        raise NetworkFormatError(f"{WHERE}: weight is a broken sparse matrix: {error}") from None
    check_nonzeros(int(matrix.nnz), WHERE)
    return matrix

"""Matrices of whole numbers as layers keep them: all of ±1, or sparse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.network.checks import (
    MAX_NONZEROS,
    MAX_WEIGHT,
    check_nonzeros,
    check_width,
    frozen,
    is_sparse,
    numbers,
    whole,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["LinearMap", "Product", "SignMatrix", "SparseMatrix", "Weight", "of_rows", "read_weight"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Reals = npt.NDArray[np.floating[Any]]
"""Of single or double precision."""

Weight: TypeAlias = "npt.NDArray[np.int8] | csr_array"
"""Of ±1 throughout, or whole numbers of which most may be absent."""

WHERE = "hidden layer"
REMEDY = "give signs, or put the real weights of a first layer on a grid"

KEPT = 2**24
"""Entries of a dense matrix up to which its real numbers are kept."""

BLOCK = 2**22
"""Weights that are made real numbers at a time; those of a sparse matrix are kept up to here."""

DENSE_SHARE = 1 / 8
"""Matrices of this share of nonzeros or more are multiplied as dense, if that can be kept."""


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
        from scipy.sparse import csr_array

        return csr_array(self.matrix[outputs]).astype(np.float64)

    def columns(self, inputs: npt.NDArray[np.int64]) -> csr_array:
        """Weights of some inputs, shape (out, count), in double precision."""
        from scipy.sparse import csr_array

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
        if kept is None and self._matrix.size <= KEPT:
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
        from scipy.sparse import csr_array

        matrix = csr_array((data, self.indices, self.indptr), shape=self.shape)
        matrix.has_canonical_format = True
        return matrix

    @cached_property
    def _product(self) -> Product | None:
        size = self.shape[0] * self.shape[1]
        if size > KEPT or len(self.data) < DENSE_SHARE * size:
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
            columns = np.ascontiguousarray(inputs.T)
            found = np.concatenate([part @ columns for part in self._blocks(kind)])
        else:
            if kind not in self._kept:
                self._kept[kind] = self._with(self.data.astype(kind))
            found = self._kept[kind] @ inputs.T
        return found.T  # as the next sparse layer takes it

    def _blocks(self, kind: np.dtype[Any]) -> Iterator[csr_array]:
        """Some rows at a time, in real numbers."""
        from scipy.sparse import csr_array

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
    from scipy.sparse import csr_array

    check_nonzeros(int(np.count_nonzero(given)), WHERE)
    return _read_sparse(csr_array(given))


def _read_sparse(given: Any) -> LinearMap:
    from scipy.sparse import csr_array

    matrix = _checked(given)
    data = whole(matrix.data, MAX_WEIGHT, f"{WHERE}: weights", REMEDY)
    own = csr_array((data, matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape)
    if not own.has_canonical_format:  # sums of small types would overflow
        own = own.astype(np.int64)
        own.sum_duplicates()
    own.eliminate_zeros()
    return of_rows(own.data, own.indices, own.indptr, (int(own.shape[0]), int(own.shape[1])))


def of_rows(data: Array, indices: Array, starts: Array, shape: tuple[int, int]) -> LinearMap:
    """The one way to keep a matrix, given in rows of its own, sorted, without zeros."""
    data = whole(data, MAX_WEIGHT, f"{WHERE}: weights", REMEDY)
    if len(data) == shape[0] * shape[1] and np.all(np.abs(data) == 1):
        return SignMatrix(data.reshape(shape))
    indices, starts = (part.astype(np.int32, copy=False) for part in (indices, starts))
    return SparseMatrix(data, indices, starts, shape)


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

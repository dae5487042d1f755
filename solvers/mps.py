"""Writing a model in free MPS format, always as a minimisation and at full precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csc_array, csr_array

__all__ = ["column_name", "mps_lines"]

FloatArray = npt.NDArray[np.float64]


def column_name(column: int) -> str:
    """The name of a column in the file; plain, whatever characters the model's names have."""
    return f"C{column}"


def mps_lines(
    cost: FloatArray,
    offset: float,
    columns: tuple[FloatArray, FloatArray],
    integer: npt.NDArray[np.bool_],
    matrix: csr_array,
    rows: tuple[FloatArray, FloatArray],
) -> Iterator[str]:
    """The lines of the file.

    Parameters
    ----------
    cost : array of float, shape (n,)
        Minimised.
    offset : float
        The objective's constant.
    columns, rows : pair of arrays
        Lower and upper bounds.
    integer : array of bool, shape (n,)
    matrix : csr_array, shape (m, n)
    """
    kinds = [_row_kind(low, high) for low, high in zip(*map(_floats, rows), strict=True)]
    yield "NAME model FREE\nROWS\n N OBJ\n"
    yield "".join(f" {kind} R{row}\n" for row, kind in enumerate(kinds))
    yield "COLUMNS\n"
    yield from _columns(cost, integer, csc_array(matrix))
    yield f"RHS\n RHS OBJ {-offset!r}\n"
    ranges = []
    for row, (kind, low, high) in enumerate(zip(kinds, *map(_floats, rows), strict=True)):
        if kind != "N":
            yield f" RHS R{row} {(high if kind == 'L' else low)!r}\n"
        if kind == "G" and high < np.inf:
            ranges.append(f" RNG R{row} {high - low!r}\n")
    if ranges:
        yield "RANGES\n" + "".join(ranges)
    yield "BOUNDS\n"
    for column, (low, high) in enumerate(zip(*map(_floats, columns), strict=True)):
        yield _bounds(column_name(column), low, high)
    yield "ENDATA\n"


def _floats(values: FloatArray) -> Sequence[float]:
    floats: list[float] = values.tolist()
    return floats


def _row_kind(low: float, high: float) -> str:
    if low == high:
        return "E"
    if low > -np.inf:
        return "G"
    return "L" if high < np.inf else "N"


def _columns(cost: FloatArray, integer: npt.NDArray[np.bool_], matrix: csc_array) -> Iterator[str]:
    inside = False
    for column, (value, whole) in enumerate(zip(cost.tolist(), integer.tolist(), strict=True)):
        if whole != inside:
            yield f" M{column} 'MARKER' '{'INTORG' if whole else 'INTEND'}'\n"
            inside = whole
        name = column_name(column)
        span = slice(matrix.indptr[column], matrix.indptr[column + 1])
        entries = zip(matrix.indices[span].tolist(), matrix.data[span].tolist(), strict=True)
        yield f" {name} OBJ {value!r}\n"
        yield "".join(f" {name} R{row} {entry!r}\n" for row, entry in entries)
    if inside:
        yield " MEND 'MARKER' 'INTEND'\n"


def _bounds(name: str, low: float, high: float) -> str:
    """Both bounds in full: readers differ in what they assume for integers."""
    if low == -np.inf and high == np.inf:
        return f" FR BND {name}\n"
    first = f" MI BND {name}\n" if low == -np.inf else f" LO BND {name} {low!r}\n"
    second = f" PL BND {name}\n" if high == np.inf else f" UP BND {name} {high!r}\n"
    return first + second

"""Writing a model in free MPS format, at full precision."""

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
    *,
    names: tuple[Sequence[str], Sequence[str]] | None = None,
    maximize: bool = False,
) -> Iterator[str]:
    """The lines of the file.

    Parameters
    ----------
    cost : array of float, shape (n,)
    offset : float
        The objective's constant.
    columns, rows : pair of arrays
        Lower and upper bounds.
    integer : array of bool, shape (n,)
    matrix : csr_array, shape (m, n)
    names : pair of sequences of str, optional
        Of the columns and the rows; `column_name` and R0, R1, ... if there are none.
    maximize : bool
    """
    called, labels = names or (
        [column_name(column) for column in range(len(cost))],
        [f"R{row}" for row in range(matrix.shape[0])],
    )
    kinds = [_row_kind(low, high) for low, high in zip(*map(_floats, rows), strict=True)]
    yield "NAME model FREE\n" + ("OBJSENSE\n    MAX\n" if maximize else "")
    yield "ROWS\n N OBJ\n"
    yield "".join(f" {kind} {row}\n" for row, kind in zip(labels, kinds, strict=True))
    yield "COLUMNS\n"
    yield from _columns(cost, integer, csc_array(matrix), called, labels)
    yield f"RHS\n RHS OBJ {-offset!r}\n"
    ranges = []
    for row, kind, low, high in zip(labels, kinds, *map(_floats, rows), strict=True):
        if kind != "N":
            yield f" RHS {row} {(high if kind == 'L' else low)!r}\n"
        if kind == "G" and high < np.inf:
            ranges.append(f" RNG {row} {high - low!r}\n")
    if ranges:
        yield "RANGES\n" + "".join(ranges)
    yield "BOUNDS\n"
    for name, low, high in zip(called, *map(_floats, columns), strict=True):
        yield _bounds(name, low, high)
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


def _columns(
    cost: FloatArray,
    integer: npt.NDArray[np.bool_],
    matrix: csc_array,
    names: Sequence[str],
    rows: Sequence[str],
) -> Iterator[str]:
    inside = False
    for column, (value, whole) in enumerate(zip(cost.tolist(), integer.tolist(), strict=True)):
        if whole != inside:
            yield f" M{column} 'MARKER' '{'INTORG' if whole else 'INTEND'}'\n"
            inside = whole
        name = names[column]
        span = slice(matrix.indptr[column], matrix.indptr[column + 1])
        entries = zip(matrix.indices[span].tolist(), matrix.data[span].tolist(), strict=True)
        yield f" {name} OBJ {value!r}\n"
        yield "".join(f" {name} {rows[row]} {entry!r}\n" for row, entry in entries)
    if inside:
        yield " MEND 'MARKER' 'INTEND'\n"


def _bounds(name: str, low: float, high: float) -> str:
    """Both bounds in full: readers differ in what they assume for integers."""
    if low == -np.inf and high == np.inf:
        return f" FR BND {name}\n"
    first = f" MI BND {name}\n" if low == -np.inf else f" LO BND {name} {low!r}\n"
    second = f" PL BND {name}\n" if high == np.inf else f" UP BND {name} {high!r}\n"
    return first + second

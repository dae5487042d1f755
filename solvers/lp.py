"""Writing a model in the LP format, as every reader takes it and at full precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from solvers.model import CompiledModel

__all__ = ["lp_lines"]

PER_LINE = 8
"""Terms of a line, whose length readers limit."""


def lp_lines(model: CompiledModel, columns: list[str], rows: list[str], one: str) -> Iterator[str]:
    """The lines of the file.

    Readers differ in what they make of a constant in the objective, of a section that is empty,
    and of ``bin`` for ``Binary``; so there is none of these.

    Parameters
    ----------
    model : CompiledModel
    columns, rows : list of str
        Their names. A row with two sides is written as two, with ``_low`` and ``_high`` behind it.
    one : str
        Name of a variable that is 1, for constants.
    """
    yield "Maximize\n" if model.maximize else "Minimize\n"
    used = np.flatnonzero(model.objective)
    terms = [*zip(model.objective[used].tolist(), (columns[j] for j in used), strict=True)]
    yield f" obj:{_sum([*terms, (model.constant, one)])}\n"
    yield "Subject To\n"
    for row, name in enumerate(rows):
        span = slice(model.matrix.indptr[row], model.matrix.indptr[row + 1])
        entries = zip(model.matrix.data[span], model.matrix.indices[span], strict=True)
        body = _sum([(float(value), columns[j]) for value, j in entries] or [(0.0, one)])
        yield from _sides(name, body, float(model.row_lower[row]), float(model.row_upper[row]))
    yield f"Bounds\n 1 <= {one} <= 1\n"
    bounds = zip(columns, model.lower.tolist(), model.upper.tolist(), strict=True)
    yield "".join(f" {_number(low)} <= {name} <= {_number(high)}\n" for name, low, high in bounds)
    if model.integer.any():
        yield "General\n"
        yield "".join(f" {columns[j]}\n" for j in np.flatnonzero(model.integer))
    yield "End\n"


def _sides(name: str, body: str, low: float, high: float) -> Iterator[str]:
    if low == high:
        yield f" {name}:{body} = {_number(low)}\n"
        return
    both = np.isfinite(low) and np.isfinite(high)
    if np.isfinite(low):
        yield f" {name}{'_low' if both else ''}:{body} >= {_number(low)}\n"
    if np.isfinite(high):
        yield f" {name}{'_high' if both else ''}:{body} <= {_number(high)}\n"


def _sum(terms: Iterable[tuple[float, str]]) -> str:
    """Signed terms, some a line."""
    parts = [f" {'-' if value < 0 else '+'} {_number(abs(value))} {name}" for value, name in terms]
    lines = ("".join(parts[at : at + PER_LINE]) for at in range(0, len(parts), PER_LINE))
    return "\n ".join(lines)


def _number(value: float) -> str:
    """The shortest text that is read as the same number."""
    return repr(value).removesuffix(".0")

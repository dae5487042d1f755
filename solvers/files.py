"""A model as the text of an LP or MPS file, for solvers elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from solvers.lp import lp_lines
from solvers.model import CompiledModel
from solvers.mps import mps_lines

__all__ = ["COMMENTS", "model_lines"]

COMMENTS = {".lp": "\\", ".mps": "*"}
"""What a line of comment begins with, by the ending of the format's files."""

ONE = "one"
"""In LP files, a variable that is 1."""

TAKEN = re.compile(
    r"[\d.]|e\d|(free|inf|infinity|st|bin|binary|binaries|gen|general|generals|int|integer|integers"
    r"|end|bound|bounds|max|maximum|maximize|min|minimum|minimize|subject|semi|sos|obj|one)$",
    re.IGNORECASE,
)
"""What readers of LP files, or these files, take for something else, at a name's beginning."""


def model_lines(model: CompiledModel, ending: str, comment: Iterable[str] = ()) -> Iterator[str]:
    """The lines of a file; the same model gives the same.

    Parameters
    ----------
    model : CompiledModel
        A column ``h[1,17]`` is called ``h1_17`` in the file, and a row ``on[2,5]`` ``on_2_5``.
    ending : {".lp", ".mps"}
    comment : iterable of str
        Lines to begin with.
    """
    columns, rows = _plain(model.column_names, ""), _plain(model.row_names, "_")
    head = (f"{COMMENTS[ending]} {line}\n" for line in comment)
    if ending == ".lp":
        return chain(head, lp_lines(model, columns, rows, ONE))
    lines = mps_lines(
        model.objective,
        model.constant,
        (model.lower, model.upper),
        model.integer,
        model.matrix,
        (model.row_lower, model.row_upper),
        names=(columns, rows),
        maximize=model.maximize,
    )
    return chain(head, lines)


def _plain(names: Iterable[str], joint: str) -> list[str]:
    """Letters, digits and underscores, each name once; `joint` comes before an index."""
    given: dict[str, None] = {}
    for name in names:
        base, _, index = name.partition("[")
        parts = re.findall(r"\w+", index, re.ASCII)
        plain = re.sub(r"\W", "_", base, flags=re.ASCII) + (joint if parts else "")
        plain += "_".join(parts)
        if TAKEN.match(plain):
            plain = f"_{plain}"
        number, unique = 2, plain
        while unique in given:
            unique, number = f"{plain}_{number}", number + 1
        given[unique] = None
    return list(given)

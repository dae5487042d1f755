"""Models as files for solvers elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bnnopt.errors import InputError
from bnnopt.files import naming

__all__ = ["ENDINGS", "write_model"]

ENDINGS = (".lp", ".mps")


def write_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a Pyomo model as LP or MPS, by the file's ending, with its variables' names.

    The file appears whole or not at all. Pyomo writes an index ``p[3]`` as ``p(3)`` and
    ``h[1,4]`` as ``h(1_4)``. MPS has no sense of its own, so a maximisation is written as the
    minimisation of the negated objective.

    Raises
    ------
    InputError
        If the ending is another one.
    """
    target = Path(path)
    if target.suffix not in ENDINGS:
        raise InputError(f"a model file ends in {' or '.join(ENDINGS)}, not {target.name!r}")
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    with naming(target):
        try:
            model.write(str(partial), io_options={"symbolic_solver_labels": True})
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

"""Figures of results and networks, which `bnnopt.report` draws if matplotlib is there.

That package stands on the results, so this is the one place that names something above it.
"""

from __future__ import annotations

import importlib
from typing import Any

from bnnopt.errors import MissingDependencyError

__all__ = ["figure_of"]

DRAWINGS = "bnnopt.report.drawings"


def figure_of(kind: str, *arguments: Any) -> Any:
    """A matplotlib figure.

    Parameters
    ----------
    kind : str
        A function of `bnnopt.report.drawings`.
    *arguments
        What it takes.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    try:
        drawings = importlib.import_module(DRAWINGS)
    except ImportError as error:
        raise MissingDependencyError(error.name or "matplotlib", "plot()", "report") from None
    return getattr(drawings, kind)(*arguments)

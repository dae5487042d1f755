"""Errors of the solver layer: each says what is wrong and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CompilationStoppedError",
    "ModelError",
    "ModelTooLargeError",
    "SolverError",
    "SolverUnavailableError",
    "UnknownSolverError",
    "UnsupportedOptionError",
]


class SolverError(Exception):
    """Base class of the solver layer's errors."""


class ModelError(SolverError, ValueError):
    """The model is not a mixed-integer linear program, or a change does not fit it."""


class ModelTooLargeError(SolverError, RuntimeError):
    """The model exceeds what the solver's licence allows."""


class CompilationStoppedError(SolverError, TimeoutError):
    """`compile_model` was told to stop before it was done."""

    def __init__(self) -> None:
        super().__init__("the compilation of the model was stopped before it was done")


class UnsupportedOptionError(SolverError, ValueError):
    """An option is out of range, or this solver cannot honour it."""


class UnknownSolverError(SolverError, ValueError):
    """No solver of that name is registered.

    Parameters
    ----------
    name : str
        What was asked for.
    known : iterable of str
        What there is.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = str(name)
        choices = sorted(known)
        close = difflib.get_close_matches(str(name), choices, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        super().__init__(f"unknown solver {str(name)!r}{hint}: choose from {', '.join(choices)}")


class SolverUnavailableError(SolverError, ImportError):
    """The solver is known but cannot be used here.

    Parameters
    ----------
    name : str
        Of the solver.
    reason : str
        Why not, with the remedy.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"solver {name!r} is not available: {reason}")

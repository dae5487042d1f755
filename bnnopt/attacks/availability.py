"""Whether a solver can be used: asked before an attack runs, not when it needs it."""

from __future__ import annotations

import solvers

__all__ = ["ensure_available"]


def ensure_available(adapter: solvers.Solver) -> None:
    """Complain before any work.

    Raises
    ------
    solvers.SolverUnavailableError
        If the solver's package is not installed.
    """
    info = adapter.describe()
    if not info.available:
        raise solvers.SolverUnavailableError(adapter.name, info.reason)

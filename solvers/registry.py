"""Finding solvers by entry point, so that a third party can add one."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from solvers.adapter import Solver
from solvers.description import SolverInfo
from solvers.errors import SolverUnavailableError, UnknownSolverError
from solvers.options import SolveOptions
from solvers.result import SolveResult

__all__ = ["available", "get", "names", "solve"]

GROUP = "bnnopt.solvers"


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> list[str]:
    """The registered solvers, installed or not."""
    return sorted(_entries())


def get(name: str) -> Solver:
    """The adapter of a solver; the solver itself is imported by its first session.

    Parameters
    ----------
    name : str
        Of `names`.

    Raises
    ------
    UnknownSolverError
        If no such solver is registered.
    SolverUnavailableError
        If its adapter cannot be loaded.
    """
    entry = _entries().get(name)
    if entry is None:
        raise UnknownSolverError(name, names())
    try:
        adapter = entry.load()()
    except Exception as error:
        raise SolverUnavailableError(name, f"its adapter does not load ({error})") from error
    if not isinstance(adapter, Solver):
        raise SolverUnavailableError(name, "its entry point is not a solvers.Solver")
    return adapter


def available() -> list[SolverInfo]:
    """Every registered solver, with whether it is available and why not.

    Imports no solver, takes no licence, and survives a broken installation.
    """
    return [_describe(name) for name in names()]


def _describe(name: str) -> SolverInfo:
    try:
        return get(name).describe()
    except Exception as error:  # noqa: BLE001 - a broken install must not hide the other solvers
        return SolverInfo(name, False, str(error), "", "", None)


def solve(model: Any, solver: str = "highs", **options: Any) -> SolveResult:
    """Solve a Pyomo model with the solver of that name; `options` are `SolveOptions`' fields.

    Parameters
    ----------
    model : pyomo ConcreteModel
        Linear, with one objective.
    solver : str
        Of `names`.
    **options
        Fields of `SolveOptions`.
    """
    return get(solver).solve(model, SolveOptions(**options))

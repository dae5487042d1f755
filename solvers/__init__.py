"""One Pyomo model, any solver: a switch between HiGHS, CBC, Gurobi and SCIP.

>>> result = solvers.solve(model, "highs", time_limit=60)

or, for a model that is solved again and again,

>>> compiled = solvers.compile_model(model)
>>> with solvers.get("highs").session(compiled) as session:
...     result = session.solve(solvers.SolveOptions(time_limit=60))

This package knows nothing of neural networks.
"""

from __future__ import annotations

from solvers.adapter import Solver
from solvers.description import Capabilities, SolverInfo
from solvers.errors import (
    CompilationStoppedError,
    ModelError,
    ModelTooLargeError,
    SolverError,
    SolverUnavailableError,
    UnknownSolverError,
    UnsupportedOptionError,
)
from solvers.model import CompiledModel, compile_model
from solvers.options import SolveOptions
from solvers.registry import available, get, names, solve
from solvers.result import SolveResult, Termination, Values
from solvers.session import Outcome, Session

__all__ = [
    "Capabilities",
    "CompilationStoppedError",
    "CompiledModel",
    "ModelError",
    "ModelTooLargeError",
    "Outcome",
    "Session",
    "SolveOptions",
    "SolveResult",
    "Solver",
    "SolverError",
    "SolverInfo",
    "SolverUnavailableError",
    "Termination",
    "UnknownSolverError",
    "UnsupportedOptionError",
    "Values",
    "available",
    "compile_model",
    "get",
    "names",
    "solve",
]

"""What every solver adapter offers."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from solvers.description import Description
from solvers.errors import CompilationStoppedError, SolverUnavailableError
from solvers.model import CompiledModel, compile_model
from solvers.options import SolveOptions
from solvers.result import SolveResult, Termination
from solvers.session import Session

__all__ = ["Solver"]


class Solver(Description, ABC):
    """A solver: its `Description`, which needs no import of it, and sessions with it."""

    def session(self, model: Any) -> Session:
        """Load a Pyomo model, or a `CompiledModel`, into the solver.

        Raises
        ------
        SolverUnavailableError
            If the solver is not installed, or does not start.
        ModelError
            If the model is not a mixed-integer linear program.
        """
        reason = self._missing()
        if reason:
            raise SolverUnavailableError(self.name, reason)
        compiled = _compiled(model)
        try:
            return self._open(compiled)
        except (ImportError, OSError) as error:
            raise SolverUnavailableError(
                self.name, f"its installation does not work ({error}); try: {self.install}"
            ) from error

    def solve(self, model: Any, options: SolveOptions | None = None) -> SolveResult:
        """Solve a Pyomo model once, and set its variables to the point found.

        Compiling and loading count towards the time limit. If it ends before the solver could
        start, the result has the termination ``time_limit`` and claims nothing. Ctrl-C before
        the solver starts raises `KeyboardInterrupt`.
        """
        began = time.perf_counter()
        options = options or SolveOptions()
        self.check(options)
        limit = math.inf if options.time_limit is None else options.time_limit

        def left() -> float:
            return limit - (time.perf_counter() - began)

        try:
            compiled = _compiled(model, lambda: left() <= 0)
            with self.session(compiled) as session:
                if left() <= 0:
                    raise CompilationStoppedError  # loaded, but too late
                if options.time_limit is not None:
                    options = replace(options, time_limit=left())
                result = session.solve(options)
        except CompilationStoppedError:
            return SolveResult(
                Termination.TIME_LIMIT,
                wall_time=time.perf_counter() - began,
                raw_status="the time was up before the solver started",
            )
        if result.values is not None:
            compiled.load(result.values.array)
        return replace(result, wall_time=time.perf_counter() - began)

    @abstractmethod
    def _open(self, model: CompiledModel) -> Session:
        """A session of this solver."""


def _compiled(model: Any, stop: Callable[[], bool] | None = None) -> CompiledModel:
    return model if isinstance(model, CompiledModel) else compile_model(model, stop)

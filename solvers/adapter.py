"""What every solver adapter offers."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from solvers.errors import (
    CompilationStoppedError,
    SolverUnavailableError,
    UnsupportedOptionError,
)
from solvers.model import CompiledModel, compile_model
from solvers.options import SolveOptions
from solvers.result import SolveResult, Termination
from solvers.session import Session

__all__ = ["Capabilities", "Solver", "SolverInfo"]


@dataclass(frozen=True)
class Capabilities:
    """What a solver can do behind this layer.

    Parameters
    ----------
    warm_start : bool
        It takes a starting point.
    resolve_in_place : bool
        A session keeps the model loaded.
    trace : bool
        It reports incumbents as it finds them.
    cutoff : bool
        It uses `SolveOptions.cutoff` to search less.
    threads : bool
        It takes more than one.
    duals : bool
        It gives those of a linear program.
    node_limit : bool
        It honours `SolveOptions.node_limit`; with one thread and no time limit, the same
        options then give the same run.
    """

    warm_start: bool
    resolve_in_place: bool
    trace: bool
    cutoff: bool
    threads: bool
    duals: bool = False
    node_limit: bool = False


@dataclass(frozen=True)
class SolverInfo:
    """A line of ``solvers.available()``.

    Parameters
    ----------
    name : str
    available : bool
    reason : str
        Why not, with the remedy; empty if available.
    version : str
        Of the installed package; empty if not available.
    licence : str
    capabilities : Capabilities or None
        None where the adapter itself cannot be loaded.
    """

    name: str
    available: bool
    reason: str
    version: str
    licence: str
    capabilities: Capabilities | None

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


class Solver(ABC):
    """A solver: describes itself without being imported, and opens sessions.

    Attributes
    ----------
    name : str
        As in ``solver="highs"``.
    package : str
        The Python package that must be importable.
    install : str
        The pip command that brings it.
    licence : str
    capabilities : Capabilities
    """

    name: ClassVar[str]
    package: ClassVar[str]
    install: ClassVar[str]
    licence: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def describe(self) -> SolverInfo:
        """Whether the solver is here; neither imports it nor takes a licence."""
        reason = self._missing()
        version = "" if reason else self._version()
        return SolverInfo(self.name, not reason, reason, version, self.licence, self.capabilities)

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

    def check(self, options: SolveOptions) -> None:
        """Raise `UnsupportedOptionError` for an option that this solver cannot honour."""
        if options.threads > 1 and not self.capabilities.threads:
            raise UnsupportedOptionError(
                f"solver {self.name!r} runs on one thread; use threads=1 or another solver"
            )
        if options.node_limit is not None and not self.capabilities.node_limit:
            raise UnsupportedOptionError(
                f"solver {self.name!r} takes no node limit; use a time limit or another solver"
            )

    def _missing(self) -> str:
        """Why the solver cannot be used, with the remedy; empty if it seems usable."""
        try:
            found = importlib.util.find_spec(self.package) is not None
        except (ImportError, ValueError):
            found = False
        return "" if found else f"package {self.package!r} is not installed: {self.install}"

    def _version(self) -> str:
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return "unknown"

    @abstractmethod
    def _open(self, model: CompiledModel) -> Session:
        """A session of this solver."""


def _compiled(model: Any, stop: Callable[[], bool] | None = None) -> CompiledModel:
    return model if isinstance(model, CompiledModel) else compile_model(model, stop)

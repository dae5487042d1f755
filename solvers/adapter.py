"""What every solver adapter offers."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from solvers.errors import SolverUnavailableError, UnsupportedOptionError
from solvers.model import CompiledModel, compile_model
from solvers.options import SolveOptions
from solvers.result import SolveResult
from solvers.session import Session

__all__ = ["Capabilities", "Solver", "SolverInfo"]


@dataclass(frozen=True)
class Capabilities:
    """What a solver can do behind this layer."""

    warm_start: bool
    resolve_in_place: bool
    trace: bool
    cutoff: bool
    threads: bool
    duals: bool = False


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
        compiled = model if isinstance(model, CompiledModel) else compile_model(model)
        try:
            return self._open(compiled)
        except (ImportError, OSError) as error:
            raise SolverUnavailableError(
                self.name, f"its installation does not work ({error}); try: {self.install}"
            ) from error

    def solve(self, model: Any, options: SolveOptions | None = None) -> SolveResult:
        """Solve a Pyomo model once, and set its variables to the point found.

        Compiling and loading count towards the time limit.
        """
        began = time.perf_counter()
        options = options or SolveOptions()
        self.check(options)
        compiled = model if isinstance(model, CompiledModel) else compile_model(model)
        with self.session(compiled) as session:
            if options.time_limit is not None:
                left = max(options.time_limit - (time.perf_counter() - began), 0.01)
                options = replace(options, time_limit=left)
            result = session.solve(options)
        if result.values is not None:
            compiled.load(result.values.array)
        return replace(result, wall_time=time.perf_counter() - began)

    def check(self, options: SolveOptions) -> None:
        """Raise `UnsupportedOptionError` for an option that this solver cannot honour."""
        if options.threads > 1 and not self.capabilities.threads:
            raise UnsupportedOptionError(
                f"solver {self.name!r} runs on one thread; use threads=1 or another solver"
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

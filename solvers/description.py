"""What a solver says of itself: whether it is here, and what it can do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from solvers.errors import UnsupportedOptionError
from solvers.options import SolveOptions

__all__ = ["Capabilities", "Description", "SolverInfo"]


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
        What `get` takes.
    available : bool
        Whether it can be used here.
    reason : str
        Why not, with the remedy; empty if available.
    version : str
        Of the installed package; empty if not available.
    licence : str
        Of the solver, in words.
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


class Description:
    """A solver that describes itself without being imported.

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

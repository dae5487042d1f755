"""What a solve returns: how it ended, apart from whether it found a point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from solvers.model import CompiledModel

__all__ = ["SolveResult", "Termination", "Values"]


class Termination(StrEnum):
    """Why the solver stopped."""

    OPTIMAL = "optimal"
    """The point returned is proved optimal within the gaps asked for."""
    INFEASIBLE = "infeasible"
    """There is no feasible point (none better than the cutoff, where one was given)."""
    UNBOUNDED = "unbounded"
    """Feasible, and the objective has no finite optimum."""
    TIME_LIMIT = "time_limit"
    NODE_LIMIT = "node_limit"
    INTERRUPTED = "interrupted"
    ERROR = "error"
    """The solver failed, or what it returned did not stand our check; see `message`."""


class Values(Mapping[str, float]):
    """The values of a point, by variable name or by Pyomo variable; `array` is by column.

    Parameters
    ----------
    model : CompiledModel
        Whose columns they belong to.
    array : array of float, shape (n,)
        The values, by column.
    """

    def __init__(self, model: CompiledModel, array: npt.NDArray[np.float64]) -> None:
        self._model = model
        self.array = array

    def __getitem__(self, key: Any) -> float:
        return float(self.array[self._model.column(key)])

    def __iter__(self) -> Iterator[str]:
        return iter(self._model.column_names)

    def __len__(self) -> int:
        return len(self.array)


@dataclass(frozen=True)
class SolveResult:
    """The outcome of one solve.

    Parameters
    ----------
    termination : Termination
        Why the solver stopped.
    objective : float or None
        Of the point returned, recomputed from its values; None without a point.
    bound : float or None
        Proved bound on the optimum, on the right side of `objective` in either sense; None
        where nothing is proved.
    values : Values or None
        The point: checked for bounds, rows and integrality.
    wall_time : float
        Seconds, measured around the call.
    nodes : int or None
        Branch-and-bound nodes.
    duals : array of float or None, shape (m,)
        Of the rows of a linear program solved to optimality: the change of the objective per
        unit of the row's binding bound. A claim, not checked here; None where the adapter has
        none (see `Capabilities.duals`).
    raw_status : str
        The solver's own words.
    trace : list of (float, float)
        (seconds, objective) of each incumbent, in order of time.
    message : str
        What is wrong, where the termination is ``error``.
    violation : float
        The largest violation of the point: absolute for integrality, relative to the row's
        size for rows and bounds.
    interrupted : bool
        Whether Ctrl-C came, even if the solver then ended by itself.
    """

    termination: Termination
    objective: float | None = None
    bound: float | None = None
    values: Values | None = None
    wall_time: float = 0.0
    nodes: int | None = None
    duals: npt.NDArray[np.float64] | None = None
    raw_status: str = ""
    trace: list[tuple[float, float]] = field(default_factory=list)
    message: str = ""
    violation: float = 0.0
    interrupted: bool = False

    @property
    def has_solution(self) -> bool:
        """Whether there is a point, whatever the termination."""
        return self.values is not None

    @property
    def gap(self) -> float | None:
        """Distance from the objective to the bound; None where either is missing."""
        if self.objective is None or self.bound is None:
            return None
        return abs(self.bound - self.objective)

"""A compiled model kept loaded in a solver: change it, start it, solve it again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from solvers import audit
from solvers.errors import ModelError
from solvers.model import CompiledModel
from solvers.options import SolveOptions
from solvers.result import SolveResult, Termination, Values

if TYPE_CHECKING:
    from solvers.adapter import Solver

__all__ = ["Outcome", "Session"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass
class Outcome:
    """What an adapter reports of one run, in the minimised sense and with the constant.

    ``termination`` None means "infeasible or unbounded"; the session finds out which.
    """

    termination: Termination | None
    values: FloatArray | None = None
    bound: float | None = None
    nodes: int | None = None
    raw_status: str = ""
    trace: list[tuple[float, float]] = field(default_factory=list)
    message: str = ""
    interrupted: bool = False
    duals: FloatArray | None = None


class Session(ABC):
    """A model in a solver.

    An adapter implements `_load`, `_push_objective`, `_push_columns`, `_push_rows`, `_run` and
    `_close`. It always minimises `cost`; the model's sense is the session's business, and so are
    the checks of what comes back.

    Attributes
    ----------
    solver : Solver
    model : CompiledModel
    cost : array of float, shape (n,)
        Objective coefficients, negated where the model maximises.
    offset : float
        The objective's constant, likewise.
    lower, upper, row_lower, row_upper : array of float
        As they stand now.
    """

    def __init__(self, solver: Solver, model: CompiledModel) -> None:
        self.solver = solver
        self.model = model
        self._sign = -1.0 if model.maximize else 1.0
        self.cost = self._sign * model.objective
        self.offset = self._sign * model.constant
        self.lower, self.upper = model.lower.copy(), model.upper.copy()
        self.row_lower, self.row_upper = model.row_lower.copy(), model.row_upper.copy()
        self.start: FloatArray | None = None
        self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def is_integer_program(self) -> bool:
        """Whether any variable is integer."""
        return bool(np.any(self.model.integer))

    def set_objective(self, coefficients: npt.ArrayLike, constant: float = 0.0) -> None:
        """Replace the objective's coefficients, shape (n,), and constant; the sense stays."""
        values = _finite(coefficients, self.model.num_columns, "objective")
        self.cost, self.offset = self._sign * values, self._sign * float(constant)
        self._push_objective()

    def set_variable_bounds(
        self, columns: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike
    ) -> None:
        """Replace the bounds of some columns (see `CompiledModel.column`)."""
        index = _indices(columns, self.model.num_columns, "column")
        self.lower[index], self.upper[index] = _bounds(lower), _bounds(upper)
        self._push_columns(index)

    def set_row_bounds(
        self, rows: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike
    ) -> None:
        """Replace the bounds of some rows (see `CompiledModel.rows`)."""
        index = _indices(rows, self.model.num_rows, "row")
        self.row_lower[index], self.row_upper[index] = _bounds(lower), _bounds(upper)
        self._push_rows(index)

    def set_start(self, values: npt.ArrayLike | None) -> None:
        """Give a starting point for the next solves, shape (n,); NaN where it says nothing."""
        if values is None:
            self.start = None
            return
        start = np.array(values, dtype=np.float64)
        if start.shape != (self.model.num_columns,) or np.any(np.isinf(start)):
            raise ModelError(
                f"a starting point has one finite number or NaN for each of the "
                f"{self.model.num_columns} columns, not shape {start.shape}"
            )
        self.start = start

    def solve(self, options: SolveOptions | None = None) -> SolveResult:
        """Solve the model as it stands.

        Ctrl-C stops the solver; the result then has the termination ``interrupted`` and the
        incumbent.

        Parameters
        ----------
        options : SolveOptions, optional

        Returns
        -------
        SolveResult

        Raises
        ------
        SolverError
            If an option is not supported, or the solver cannot be used.
        """
        options = options or SolveOptions()
        self.solver.check(options)
        began = time.perf_counter()
        trivial = self._trivial()
        if trivial is not None:
            outcome = trivial
        else:
            outcome = self._run(self._in_minimised_sense(options))
            if outcome.termination is None:
                outcome = self._disambiguate(outcome, options, began)
        return self._audited(outcome, options, began)

    def close(self) -> None:
        """Free what the solver holds; the session cannot be used after."""
        self._close()

    def _in_minimised_sense(self, options: SolveOptions) -> SolveOptions:
        if options.cutoff is None or self._sign > 0:
            return options
        return replace(options, cutoff=-options.cutoff)

    def _trivial(self) -> Outcome | None:
        """What needs no solver: crossed bounds, or no columns at all."""
        why = audit.contradiction(self.model.integer, *self._constraints())
        if why:
            return Outcome(Termination.INFEASIBLE, raw_status=why)
        if self.model.num_columns == 0:
            empty = np.zeros(0)
            return Outcome(Termination.OPTIMAL, empty, self.offset, raw_status="no columns")
        return None

    def _constraints(
        self,
    ) -> tuple[tuple[FloatArray, FloatArray], Any, tuple[FloatArray, FloatArray]]:
        return (
            (self.lower, self.upper),
            self.model.matrix,
            (self.row_lower, self.row_upper),
        )

    def _disambiguate(self, outcome: Outcome, options: SolveOptions, began: float) -> Outcome:
        """Tell infeasible from unbounded: drop the objective and look for any point."""
        if options.time_limit is not None:
            left = max(options.time_limit - (time.perf_counter() - began), 0.01)
            options = replace(options, time_limit=left)
        kept = self.cost, self.offset
        self.cost, self.offset = np.zeros_like(self.cost), 0.0
        self._push_objective()
        feasibility = self._run(replace(options, cutoff=None))
        self.cost, self.offset = kept
        self._push_objective()
        if feasibility.termination is Termination.OPTIMAL:
            outcome.termination = Termination.UNBOUNDED
        else:
            outcome.termination = feasibility.termination or Termination.INFEASIBLE
        outcome.interrupted |= feasibility.interrupted
        outcome.values = outcome.bound = None
        return outcome

    def _audited(self, outcome: Outcome, options: SolveOptions, began: float) -> SolveResult:
        """Check the point and the bound, and put both into the model's sense."""
        termination, message = outcome.termination or Termination.ERROR, outcome.message
        x, objective, bound = outcome.values, None, outcome.bound
        if bound is not None and not np.isfinite(bound):
            bound = None
        worst = 0.0
        if x is not None:
            worst = audit.violation(x, self.model.integer, *self._constraints())
            if worst > audit.FEASIBILITY_TOLERANCE:
                message = f"the solver's point violates the model by {worst:.2g} and was dropped"
                termination, x = Termination.ERROR, None
            else:
                objective = float(self.cost @ x) + self.offset
        if objective is not None:
            slack = audit.BOUND_TOLERANCE * max(1.0, abs(objective))
            if bound is not None and bound > objective + slack:
                message = f"the solver's bound {bound:g} excludes its own point {objective:g}"
                termination, bound = Termination.ERROR, None
            elif bound is not None:
                bound = min(bound, objective)
            if termination is Termination.OPTIMAL:
                allowed = max(options.absolute_gap, options.relative_gap * abs(objective)) + slack
                if bound is None or objective - bound > allowed:
                    message = f"the solver claims an optimum that its bound {bound} does not prove"
                    termination = Termination.ERROR
        termination, x, objective, bound = self._cut_off(
            termination, x, objective, bound, self._in_minimised_sense(options).cutoff
        )
        seconds = time.perf_counter() - began
        return SolveResult(
            termination=termination,
            objective=None if objective is None else self._sign * objective,
            bound=None if bound is None else self._sign * bound,
            values=None if x is None else Values(self.model, x),
            wall_time=seconds,
            nodes=outcome.nodes,
            duals=None if outcome.duals is None else self._sign * outcome.duals,
            raw_status=outcome.raw_status,
            trace=self._finished_trace(outcome.trace, objective, seconds),
            message=message,
            violation=worst,
            interrupted=outcome.interrupted or termination is Termination.INTERRUPTED,
        )

    @staticmethod
    def _cut_off(
        termination: Termination,
        x: FloatArray | None,
        objective: float | None,
        bound: float | None,
        cutoff: float | None,
    ) -> tuple[Termination, FloatArray | None, float | None, float | None]:
        """Apply the meaning of a cutoff, which solvers read in slightly different ways."""
        if cutoff is None:
            return termination, x, objective, bound
        if objective is not None and objective >= cutoff - 1e-9 * max(1.0, abs(cutoff)):
            x = objective = None
            if termination is Termination.OPTIMAL:
                termination = Termination.INFEASIBLE
        if termination is Termination.INFEASIBLE and bound is None:
            bound = cutoff
        return termination, x, objective, bound

    def _finished_trace(
        self, trace: list[tuple[float, float]], objective: float | None, seconds: float
    ) -> list[tuple[float, float]]:
        """Improving steps only, ending in the point that is returned."""
        if objective is None:
            return []
        steps: list[tuple[float, float]] = []
        best, tolerance = 1e20, 1e-6 * max(1.0, abs(objective))
        for when, value in trace:
            if value <= objective + tolerance:  # logs round: this is the final point
                seconds = when
                break
            if value < best:
                best = value
                steps.append((when, self._sign * value))
        return [*steps, (seconds, self._sign * objective)]

    @abstractmethod
    def _load(self) -> None:
        """Load the model into the solver."""

    @abstractmethod
    def _push_objective(self) -> None:
        """Hand `cost` and `offset` to the solver."""

    @abstractmethod
    def _push_columns(self, columns: IntArray) -> None:
        """Hand the bounds of some columns to the solver."""

    @abstractmethod
    def _push_rows(self, rows: IntArray) -> None:
        """Hand the bounds of some rows to the solver."""

    @abstractmethod
    def _run(self, options: SolveOptions) -> Outcome:
        """Run the solver from `start`; options are in the minimised sense."""

    @abstractmethod
    def _close(self) -> None:
        """Free the solver's memory and licence."""


def _finite(values: npt.ArrayLike, size: int, what: str) -> FloatArray:
    array = np.array(values, dtype=np.float64)
    if array.shape != (size,) or not np.all(np.isfinite(array)):
        raise ModelError(f"the {what} needs {size} finite numbers, not shape {array.shape}")
    return array


def _bounds(values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if np.any(np.isnan(array)):
        raise ModelError("a bound must be a number or infinite, not NaN")
    return array


def _indices(values: npt.ArrayLike, size: int, what: str) -> IntArray:
    index = np.atleast_1d(np.asarray(values, dtype=np.int64))
    if index.size and (index.min() < 0 or index.max() >= size):
        raise ModelError(f"{what} indices run from 0 to {size - 1}")
    return index

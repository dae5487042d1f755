"""A compiled model kept loaded in a solver: change it, start it, solve it again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from solvers import audit
from solvers.audit import FEASIBILITY_TOLERANCE as TOLERANCE
from solvers.claim import Claim
from solvers.description import Description
from solvers.errors import ModelError
from solvers.model import CompiledModel
from solvers.options import SolveOptions
from solvers.result import SolveResult, Termination, Values
from solvers.trouble import explain

__all__ = ["Outcome", "Session"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

WITNESS_TOLERANCE = 1e-9
"""A starting point refutes a solver's claim if it holds without the help of tolerances."""


@dataclass
class Outcome:
    """What an adapter reports of one run, in the minimised sense and with the constant.

    ``termination`` None means "infeasible or unbounded"; the session finds out which.

    Parameters
    ----------
    termination : Termination or None
        Why the solver stopped.
    values : array of float, shape (n,), or None
        The best point, by column.
    bound : float or None
        A proved lower bound on the minimum.
    nodes : int or None
        Of branch and bound.
    raw_status : str
        The solver's own words.
    trace : list of (float, float)
        (seconds, objective) of each incumbent.
    message : str
        What is wrong, where something is.
    interrupted : bool
        Whether Ctrl-C came.
    duals : array of float, shape (m,), or None
        Of the rows of a linear program.
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

    Parameters
    ----------
    solver : Description
        The adapter whose session it is.
    model : CompiledModel
        What is loaded.

    Attributes
    ----------
    solver : Description
    model : CompiledModel
    cost : array of float, shape (n,)
        Objective coefficients, negated where the model maximises.
    offset : float
        The objective's constant, likewise.
    lower, upper, row_lower, row_upper : array of float
        As they stand now.
    """

    def __init__(self, solver: Description, model: CompiledModel) -> None:
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
            Limits, gaps and the like; the defaults if not given.

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
        """Tell infeasible from unbounded: drop the cutoff, then the objective."""
        if options.cutoff is not None:
            # Infeasible because of the cutoff, perhaps: that says nothing of the model itself.
            outcome = self._run_again(outcome, replace(options, cutoff=None), began)
            if outcome.termination is not None:
                return outcome
        kept = self.cost, self.offset
        self.cost, self.offset = np.zeros_like(self.cost), 0.0
        try:
            self._push_objective()
            found = self._run_again(outcome, replace(options, cutoff=None), began)
        finally:
            self.cost, self.offset = kept
            self._push_objective()
        if found.values is not None and self._violation(found.values) <= TOLERANCE:
            found.termination = Termination.UNBOUNDED  # feasible, so not the other of the two
        elif found.termination is Termination.OPTIMAL:
            found.termination = Termination.ERROR
            found.message = f"{self.solver.name} claims a feasible model without a feasible point"
        else:
            found.termination = found.termination or Termination.INFEASIBLE
        return replace(found, values=None, bound=None, duals=None)

    def _run_again(self, outcome: Outcome, options: SolveOptions, began: float) -> Outcome:
        """Run once more, within what is left of the time."""
        if options.time_limit is not None:
            left = options.time_limit - (time.perf_counter() - began)
            if left <= 0:
                return replace(outcome, termination=Termination.TIME_LIMIT)
            options = replace(options, time_limit=left)
        again = self._run(self._in_minimised_sense(options))
        again.interrupted |= outcome.interrupted
        again.raw_status = f"{outcome.raw_status}, then {again.raw_status}"
        return again

    def _violation(self, x: FloatArray) -> float:
        return audit.violation(x, self.model.integer, *self._constraints())

    def _audited(self, outcome: Outcome, options: SolveOptions, began: float) -> SolveResult:
        """Check the point and the bound, and put both into the model's sense."""
        cutoff = self._in_minimised_sense(options).cutoff
        claim = self._claim(outcome)
        if cutoff is not None:
            claim.cut_off(cutoff)
        allowed = max(options.absolute_gap, options.relative_gap * abs(claim.objective or 0.0))
        claim.refute(self._witness(), allowed)
        message = claim.message
        if claim.termination is Termination.ERROR and not message:
            message = explain(self.solver.name, outcome.raw_status)
        seconds = time.perf_counter() - began
        x, objective, bound = claim.x, claim.objective, claim.bound
        optimal = claim.termination is Termination.OPTIMAL
        return SolveResult(
            termination=claim.termination,
            objective=None if objective is None else self._sign * objective,
            bound=None if bound is None else self._sign * bound,
            values=None if x is None else Values(self.model, x),
            wall_time=seconds,
            nodes=outcome.nodes,
            duals=self._sign * outcome.duals if optimal and outcome.duals is not None else None,
            raw_status=outcome.raw_status,
            trace=self._finished_trace(outcome.trace, objective, seconds),
            message=message if claim.termination is Termination.ERROR else "",
            violation=claim.violation,
            interrupted=outcome.interrupted or claim.termination is Termination.INTERRUPTED,
        )

    def _claim(self, outcome: Outcome) -> Claim:
        """What the adapter reports, its point checked."""
        claim = Claim(outcome.termination or Termination.ERROR, outcome.message)
        if outcome.bound is not None and np.isfinite(outcome.bound):
            claim.bound = outcome.bound
        if outcome.values is not None:
            claim.violation = self._violation(outcome.values)
            if claim.violation <= TOLERANCE:
                claim.x = outcome.values
                claim.objective = float(self.cost @ outcome.values) + self.offset
            else:
                claim.refuse(
                    f"the solver's point violates the model by {claim.violation:.2g} and was "
                    "dropped"
                )
        return claim

    def _witness(self) -> float | None:
        """The objective of the starting point, if that is a point; no bound may exclude it."""
        if self.start is None or not np.all(np.isfinite(self.start)):
            return None
        if self._violation(self.start) > WITNESS_TOLERANCE:
            return None
        return float(self.cost @ self.start) + self.offset

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

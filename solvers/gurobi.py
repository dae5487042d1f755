"""Gurobi, through gurobipy's matrix interface."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, hstack

from solvers.adapter import Solver
from solvers.description import Capabilities
from solvers.errors import ModelTooLargeError, SolverError, SolverUnavailableError
from solvers.interrupt import run_interruptible
from solvers.model import CompiledModel
from solvers.options import SolveOptions
from solvers.result import Termination
from solvers.session import IntArray, Outcome, Session

__all__ = ["Gurobi"]

SIZE_LIMIT_EXCEEDED = 10010
NO_LICENCE = 10009


class Gurobi(Solver):
    """Gurobi: the licence that pip installs takes 2000 variables and 2000 rows."""

    name: ClassVar[str] = "gurobi"
    package: ClassVar[str] = "gurobipy"
    install: ClassVar[str] = "pip install gurobipy"
    licence: ClassVar[str] = "commercial; pip installs one limited to 2000 variables and rows"
    capabilities: ClassVar[Capabilities] = Capabilities(
        warm_start=True,
        resolve_in_place=True,
        trace=True,
        cutoff=True,
        threads=True,
        node_limit=True,
    )

    def _open(self, model: CompiledModel) -> Session:
        return _GurobiSession(self, model)


class _GurobiSession(Session):
    """Rows of two different finite bounds become equations with a bounded slack column."""

    def _load(self) -> None:
        import gurobipy

        self._api = gurobipy
        try:
            self._env = gurobipy.Env(empty=True)
            self._env.setParam("OutputFlag", 0)
            self._env.start()
        except gurobipy.GurobiError as error:
            raise SolverUnavailableError("gurobi", f"it gives no licence ({error})") from None
        self._gurobi: Any = None
        self._build()

    def _build(self) -> None:
        api = self._api
        if self._gurobi is not None:
            self._gurobi.dispose()
        self._gurobi = api.Model(env=self._env)
        self._ranged = self._range_rows()
        kinds = np.where(self.model.integer, api.GRB.INTEGER, api.GRB.CONTINUOUS)
        self._x = self._gurobi.addMVar(
            self.model.num_columns, lb=self.lower, ub=self.upper, obj=self.cost, vtype=kinds
        )
        self._gurobi.ObjCon = self.offset
        self._slack = self._gurobi.addMVar(
            len(self._ranged), lb=self.row_lower[self._ranged], ub=self.row_upper[self._ranged]
        )
        slack_part = csr_array(
            (
                -np.ones(len(self._ranged)),
                (self._ranged, np.arange(len(self._ranged))),
            ),
            shape=(self.model.num_rows, len(self._ranged)),
        )
        matrix = hstack([self.model.matrix, slack_part], format="csr")
        columns = api.concatenate([self._x, self._slack])
        self._senses, right = self._rows()
        self._row_handles = self._gurobi.addMConstr(matrix, columns, self._senses, right)
        self._gurobi.update()

    def _range_rows(self) -> IntArray:
        finite = np.isfinite(self.row_lower) & np.isfinite(self.row_upper)
        return np.flatnonzero(finite & (self.row_lower != self.row_upper))

    def _rows(self) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64]]:
        """Sense and right-hand side of every row."""
        senses = np.where(np.isfinite(self.row_lower), ">", "<")
        senses[self.row_lower == self.row_upper] = "="
        right = np.where(senses == "<", self.row_upper, self.row_lower)
        senses[self._ranged], right[self._ranged] = "=", 0.0
        return senses, right

    def _push_objective(self) -> None:
        self._x.Obj = self.cost
        self._gurobi.ObjCon = self.offset

    def _push_columns(self, columns: IntArray) -> None:
        self._x[columns].LB = self.lower[columns]
        self._x[columns].UB = self.upper[columns]

    def _push_rows(self, rows: IntArray) -> None:
        if not np.array_equal(self._ranged, self._range_rows()):
            self._build()
            return
        senses, right = self._rows()
        if np.array_equal(senses, self._senses):
            self._row_handles[rows].RHS = right[rows]
            self._slack.LB = self.row_lower[self._ranged]
            self._slack.UB = self.row_upper[self._ranged]
        else:
            self._build()

    def _run(self, options: SolveOptions) -> Outcome:
        grb = self._api.GRB
        parameters: dict[str, Any] = {
            "OutputFlag": int(options.log),
            "TimeLimit": grb.INFINITY if options.time_limit is None else options.time_limit,
            "Threads": options.threads,
            "Seed": options.seed,
            "MIPGap": options.relative_gap,
            "MIPGapAbs": options.absolute_gap,
            "Cutoff": grb.INFINITY if options.cutoff is None else options.cutoff,
            "NodeLimit": grb.INFINITY if options.node_limit is None else options.node_limit,
        }
        for name, value in parameters.items():
            self._gurobi.setParam(name, value)
        if self.start is not None:
            self._x.Start = np.where(np.isnan(self.start), grb.UNDEFINED, self.start)
        trace: list[tuple[float, float]] = []
        began = time.perf_counter()

        def on_event(model: Any, where: int) -> None:
            if where == grb.Callback.MIPSOL:
                objective = model.cbGet(grb.Callback.MIPSOL_OBJ)
                trace.append((time.perf_counter() - began, float(objective)))

        try:
            interrupted = run_interruptible(
                lambda: self._gurobi.optimize(on_event), self._gurobi.terminate
            )
        except self._api.GurobiError as error:
            raise self._explained(error) from None
        outcome = self._outcome(trace)
        outcome.interrupted = interrupted
        return outcome

    def _explained(self, error: Any) -> SolverError:
        if error.errno == SIZE_LIMIT_EXCEEDED:
            return ModelTooLargeError(
                f"the model has {self.model.num_columns} variables and {self.model.num_rows} rows, "
                "and Gurobi's limited licence takes 2000 of each: use another solver, "
                "or install a full licence"
            )
        if error.errno == NO_LICENCE:
            return SolverUnavailableError("gurobi", str(error))
        return SolverError(f"Gurobi failed: {error}")

    def _outcome(self, trace: list[tuple[float, float]]) -> Outcome:
        grb = self._api.GRB
        status = self._gurobi.Status
        known: dict[int, Termination | None] = {
            grb.OPTIMAL: Termination.OPTIMAL,
            grb.INFEASIBLE: Termination.INFEASIBLE,
            grb.CUTOFF: Termination.INFEASIBLE,
            grb.INF_OR_UNBD: None,
            grb.UNBOUNDED: None,
            grb.TIME_LIMIT: Termination.TIME_LIMIT,
            grb.NODE_LIMIT: Termination.NODE_LIMIT,
            grb.INTERRUPTED: Termination.INTERRUPTED,
        }
        names = {getattr(grb.Status, n): n for n in dir(grb.Status) if n.isupper()}
        outcome = Outcome(
            known.get(status, Termination.ERROR), raw_status=names.get(status, str(status))
        )
        if outcome.termination in (None, Termination.INFEASIBLE):
            return outcome
        outcome.trace = trace
        if self._gurobi.SolCount:
            outcome.values = np.array(self._x.X)
        if outcome.termination is Termination.ERROR:
            return outcome  # numerical trouble, say: there may be no bound, or none that holds
        if self.is_integer_program:
            outcome.nodes = int(self._gurobi.NodeCount)
            outcome.bound = float(self._gurobi.ObjBound)
        elif status == grb.OPTIMAL:
            outcome.bound = float(self._gurobi.ObjVal)
        if outcome.bound is not None and abs(outcome.bound) >= grb.INFINITY:
            outcome.bound = None
        return outcome

    def _close(self) -> None:
        self._gurobi.dispose()
        self._env.dispose()

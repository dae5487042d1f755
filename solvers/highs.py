"""HiGHS, through highspy."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from solvers.adapter import Capabilities, Solver
from solvers.errors import SolverError
from solvers.interrupt import run_interruptible
from solvers.model import CompiledModel
from solvers.options import SolveOptions
from solvers.result import Termination
from solvers.session import IntArray, Outcome, Session

if TYPE_CHECKING:
    import highspy

__all__ = ["Highs"]


class Highs(Solver):
    """HiGHS: re-solved in place, warm-started, with a trace."""

    name: ClassVar[str] = "highs"
    package: ClassVar[str] = "highspy"
    install: ClassVar[str] = "pip install highspy"
    licence: ClassVar[str] = "MIT"
    capabilities: ClassVar[Capabilities] = Capabilities(
        warm_start=True, resolve_in_place=True, trace=True, cutoff=True, threads=True, duals=True
    )

    def _open(self, model: CompiledModel) -> Session:
        return _HighsSession(self, model)


class _HighsSession(Session):
    _highs: highspy.Highs

    def _load(self) -> None:
        import highspy

        self._api = highspy
        self._stop = False
        self._trace: list[tuple[float, float]] = []
        self._began = 0.0
        self._highs = highspy.Highs()
        self._highs.silent()
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.model.num_columns, self.model.num_rows
        lp.col_cost_, lp.offset_ = self.cost, self.offset
        lp.col_lower_, lp.col_upper_ = self.lower, self.upper
        lp.row_lower_, lp.row_upper_ = self.row_lower, self.row_upper
        matrix = self.model.matrix
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = lp.num_col_, lp.num_row_
        lp.a_matrix_.start_ = matrix.indptr
        lp.a_matrix_.index_ = matrix.indices
        lp.a_matrix_.value_ = matrix.data
        if self.is_integer_program:
            kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
            lp.integrality_ = [kinds[int(flag)] for flag in self.model.integer]
        self._expect(self._highs.passModel(lp), "load the model")
        self._listen()

    def _listen(self) -> None:
        kinds = self._api.cb.HighsCallbackType
        # The base class's method takes one plain function, which costs less a call than the
        # event objects of highspy's wrapper.
        base: Any = self._api.highs._Highs
        # HiGHS keeps it out of the garbage collector's sight: a reference to this session, which
        # keeps HiGHS, would keep both for ever.
        on_event = weakref.WeakMethod(self._on_event)

        def pass_on(*event: Any) -> None:
            receiver = on_event()
            if receiver is not None:
                receiver(*event)

        base.setCallback(self._highs, pass_on, None)
        for kind in (
            kinds.kCallbackMipInterrupt,
            kinds.kCallbackSimplexInterrupt,
            kinds.kCallbackIpmInterrupt,
            kinds.kCallbackMipImprovingSolution,
        ):
            self._highs.startCallback(kind)
        self._improving = kinds.kCallbackMipImprovingSolution

    def _on_event(self, kind: Any, message: str, out: Any, into: Any, data: Any) -> None:
        if kind == self._improving:
            seconds = time.perf_counter() - self._began
            self._trace.append((seconds, float(out.objective_function_value)))
        elif self._stop:
            into.user_interrupt = True

    def _push_objective(self) -> None:
        index = np.arange(len(self.cost), dtype=np.int32)
        self._expect(self._highs.changeColsCost(len(index), index, self.cost), "set costs")
        self._expect(self._highs.changeObjectiveOffset(self.offset), "set the constant")

    def _push_columns(self, columns: IntArray) -> None:
        index = columns.astype(np.int32)
        status = self._highs.changeColsBounds(
            len(index), index, self.lower[columns], self.upper[columns]
        )
        self._expect(status, "set variable bounds")

    def _push_rows(self, rows: IntArray) -> None:
        for row in rows.tolist():
            low, high = float(self.row_lower[row]), float(self.row_upper[row])
            self._expect(self._highs.changeRowBounds(row, low, high), "set row bounds")

    def _run(self, options: SolveOptions) -> Outcome:
        self._stop, self._trace = False, []
        self._began = time.perf_counter()
        self._set_options(options)
        if self.start is not None:
            given = np.flatnonzero(~np.isnan(self.start))
            self._highs.setSolution(len(given), given.astype(np.int32), self.start[given])

        def request_stop() -> None:
            self._stop = True

        interrupted = run_interruptible(self._highs.run, request_stop)
        outcome = self._outcome(interrupted)
        outcome.interrupted = interrupted
        return outcome

    def _set_options(self, options: SolveOptions) -> None:
        self._highs.resetOptions()  # HiGHS keeps options from one run to the next
        values: dict[str, Any] = {
            "output_flag": options.log,
            "threads": options.threads,
            "random_seed": options.seed,
            "mip_rel_gap": options.relative_gap,
            "mip_abs_gap": options.absolute_gap,
        }
        if options.time_limit is not None:
            # HiGHS's clock runs on from one run to the next.
            values["time_limit"] = self._highs.getRunTime() + options.time_limit
        if options.node_limit is not None:
            values["mip_max_nodes"] = options.node_limit
        if options.cutoff is not None:
            values["objective_bound"] = options.cutoff
        for name, value in values.items():
            self._expect(self._highs.setOptionValue(name, value), f"set option {name}")

    def _outcome(self, interrupted: bool) -> Outcome:
        status = self._highs.getModelStatus()
        info = self._highs.getInfo()
        outcome = Outcome(
            self._termination(status, interrupted),
            raw_status=self._highs.modelStatusToString(status),
            trace=self._trace,
        )
        feasible = info.primal_solution_status == self._api.kSolutionStatusFeasible
        if feasible and outcome.termination not in (Termination.INFEASIBLE, None):
            outcome.values = np.array(self._highs.getSolution().col_value, dtype=np.float64)
        if self.is_integer_program:
            outcome.nodes = int(info.mip_node_count)
            outcome.bound = float(info.mip_dual_bound)
        elif outcome.termination is Termination.OPTIMAL:
            outcome.bound = float(info.objective_function_value)
            outcome.duals = np.array(self._highs.getSolution().row_dual, dtype=np.float64)
        if outcome.termination is Termination.INFEASIBLE:
            outcome.bound = None
        return outcome

    def _termination(self, status: Any, interrupted: bool) -> Termination | None:
        kinds = self._api.HighsModelStatus
        if status in (kinds.kUnboundedOrInfeasible, kinds.kUnbounded):
            return None
        known = {
            kinds.kOptimal: Termination.OPTIMAL,
            kinds.kModelEmpty: Termination.OPTIMAL,
            kinds.kInfeasible: Termination.INFEASIBLE,
            kinds.kObjectiveBound: Termination.INFEASIBLE,
            kinds.kTimeLimit: Termination.TIME_LIMIT,
            kinds.kSolutionLimit: Termination.NODE_LIMIT,
            kinds.kInterrupt: Termination.INTERRUPTED,
        }
        return known.get(status, Termination.INTERRUPTED if interrupted else Termination.ERROR)

    def _expect(self, status: Any, what: str) -> None:
        if status == self._api.HighsStatus.kError:
            raise SolverError(f"HiGHS could not {what}")

    def _close(self) -> None:
        self._highs.clear()

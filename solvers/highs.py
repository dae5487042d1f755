"""HiGHS, through highspy."""

from __future__ import annotations

import time
import weakref
from typing import Any, ClassVar

import numpy as np

from solvers.adapter import Solver
from solvers.description import Capabilities
from solvers.errors import SolverError
from solvers.interrupt import run_interruptible
from solvers.model import CompiledModel
from solvers.options import SolveOptions
from solvers.result import Termination
from solvers.session import IntArray, Outcome, Session

__all__ = ["Highs"]


BOUNDED = (
    Termination.OPTIMAL,
    Termination.TIME_LIMIT,
    Termination.NODE_LIMIT,
    Termination.INTERRUPTED,
)
"""The endings at which the search tree is whole, so that its bound holds."""

ENUMERATION = 1 << 16
"""A rule of the presolve, by which HiGHS 1.16 calls some models infeasible that are not."""


class Highs(Solver):
    """HiGHS: re-solved in place, warm-started, with a trace."""

    name: ClassVar[str] = "highs"
    package: ClassVar[str] = "highspy"
    install: ClassVar[str] = "pip install highspy"
    licence: ClassVar[str] = "MIT"
    capabilities: ClassVar[Capabilities] = Capabilities(
        warm_start=True,
        resolve_in_place=True,
        trace=True,
        cutoff=True,
        threads=True,
        duals=True,
        node_limit=True,
    )

    def _open(self, model: CompiledModel) -> Session:
        return _HighsSession(self, model)


class _HighsSession(Session):
    _highs: Any

    def _load(self) -> None:
        import highspy

        self._api = highspy
        self._stop = False
        self._trace: list[tuple[float, float]] = []
        self._began = 0.0
        self._endings = _endings(highspy.HighsModelStatus)
        # The base class, not highspy.Highs: the wrapper installs a callback while the output is
        # still on, at which HiGHS 1.16 prints its banner to the standard output.
        self._highs = highspy.highs._Highs()
        self._expect(self._highs.setOptionValue("output_flag", False), "be silenced")
        matrix = self.model.matrix
        # As arrays: a HighsLp takes its vectors number by number, ten times as slowly.
        status = self._highs.passModel(
            self.model.num_columns,
            self.model.num_rows,
            matrix.nnz,
            int(highspy.MatrixFormat.kRowwise),
            int(highspy.ObjSense.kMinimize),
            self.offset,
            self.cost,
            self.lower,
            self.upper,
            self.row_lower,
            self.row_upper,
            matrix.indptr.astype(np.int32),
            matrix.indices.astype(np.int32),
            matrix.data,
            self.model.integer.astype(np.int32),
        )
        self._expect(status, "load the model")
        self._listen()

    def _listen(self) -> None:
        kinds = self._api.cb.HighsCallbackType
        # HiGHS keeps it out of the garbage collector's sight: a reference to this session, which
        # keeps HiGHS, would keep both for ever.
        on_event = weakref.WeakMethod(self._on_event)

        def pass_on(*event: Any) -> None:
            receiver = on_event()
            if receiver is not None:
                receiver(*event)

        self._highs.setCallback(pass_on, None)
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
        else:
            into.user_interrupt = self._stop  # HiGHS keeps it from one run to the next

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
        # HiGHS keeps options from one run to the next. All are passed at once: resetOptions()
        # would turn the output on for a moment.
        told = self._api.HighsOptions()
        told.output_flag = options.log
        told.threads = options.threads
        told.random_seed = options.seed
        told.mip_rel_gap = options.relative_gap
        told.mip_abs_gap = options.absolute_gap
        if options.time_limit is not None:
            # HiGHS's clock runs on from one run to the next.
            told.time_limit = self._highs.getRunTime() + options.time_limit
        if options.node_limit is not None:
            told.mip_max_nodes = options.node_limit
        if options.cutoff is not None:
            told.objective_bound = options.cutoff
        self._expect(self._highs.passOptions(told), "take the options")
        self._expect(
            self._highs.setOptionValue("presolve_rule_off", ENUMERATION), "presolve differently"
        )

    def _outcome(self, interrupted: bool) -> Outcome:
        status = self._highs.getModelStatus()
        info = self._highs.getInfo()
        ended = self._endings.get(
            status, Termination.INTERRUPTED if interrupted else Termination.ERROR
        )
        outcome = Outcome(
            ended,
            raw_status=self._highs.modelStatusToString(status),
            trace=self._trace,
        )
        feasible = info.primal_solution_status == self._api.kSolutionStatusFeasible
        if info.valid and feasible and ended not in (Termination.INFEASIBLE, None):
            outcome.values = np.array(self._highs.getSolution().col_value, dtype=np.float64)
        if self.is_integer_program:
            outcome.nodes = max(int(info.mip_node_count), 0)
        if info.valid and status in self._endings and ended in BOUNDED:
            if self.is_integer_program:
                outcome.bound = float(info.mip_dual_bound)
            elif ended is Termination.OPTIMAL:
                outcome.bound = float(info.objective_function_value)
                outcome.duals = np.array(self._highs.getSolution().row_dual, dtype=np.float64)
        return outcome

    def _expect(self, status: Any, what: str) -> None:
        if status == self._api.HighsStatus.kError:
            raise SolverError(f"HiGHS could not {what}")

    def _close(self) -> None:
        self._highs.clear()


def _endings(kinds: Any) -> dict[Any, Termination | None]:
    """What HiGHS's statuses mean; whatever is not among them is an error."""
    return {
        kinds.kOptimal: Termination.OPTIMAL,
        kinds.kModelEmpty: Termination.OPTIMAL,
        kinds.kInfeasible: Termination.INFEASIBLE,
        kinds.kObjectiveBound: Termination.INFEASIBLE,
        kinds.kUnbounded: None,
        kinds.kUnboundedOrInfeasible: None,
        kinds.kTimeLimit: Termination.TIME_LIMIT,
        kinds.kSolutionLimit: Termination.NODE_LIMIT,
        kinds.kInterrupt: Termination.INTERRUPTED,
        kinds.kHighsInterrupt: Termination.INTERRUPTED,
    }

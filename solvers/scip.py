"""SCIP, through pyscipopt."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

from solvers.adapter import Solver
from solvers.description import Capabilities
from solvers.interrupt import run_interruptible
from solvers.model import CompiledModel
from solvers.options import SolveOptions
from solvers.result import Termination
from solvers.session import IntArray, Outcome, Session

__all__ = ["Scip"]

INFINITY = 1e20

INTERRUPTIBLE = (5, 9)
"""SCIP's stages of presolving and of solving, by its own numbers (``SCIP_STAGE``)."""

TERMINATIONS: dict[str, Termination | None] = {
    "optimal": Termination.OPTIMAL,
    "gaplimit": Termination.OPTIMAL,
    "infeasible": Termination.INFEASIBLE,
    "inforunbd": None,
    "unbounded": None,
    "timelimit": Termination.TIME_LIMIT,
    "nodelimit": Termination.NODE_LIMIT,
    "totalnodelimit": Termination.NODE_LIMIT,
    "userinterrupt": Termination.INTERRUPTED,
    "terminate": Termination.INTERRUPTED,  # by SIGTERM
}


class Scip(Solver):
    """SCIP: one thread, warm-started, with a trace."""

    name: ClassVar[str] = "scip"
    package: ClassVar[str] = "pyscipopt"
    install: ClassVar[str] = "pip install pyscipopt"
    licence: ClassVar[str] = "Apache-2.0"
    capabilities: ClassVar[Capabilities] = Capabilities(
        warm_start=True,
        resolve_in_place=True,
        trace=True,
        cutoff=True,
        threads=False,
        node_limit=True,
    )

    def _open(self, model: CompiledModel) -> Session:
        return _ScipSession(self, model)


class _ScipSession(Session):
    def _load(self) -> None:
        import pyscipopt

        self._api = pyscipopt
        self._scip = scip = pyscipopt.Model()
        scip.hideOutput()
        kinds = np.where(self.model.integer, "I", "C")
        self._x = [
            scip.addVar(vtype=str(kind), lb=low, ub=high, obj=cost)
            for kind, low, high, cost in zip(
                kinds, _clip(self.lower), _clip(self.upper), self.cost.tolist(), strict=True
            )
        ]
        scip.setMinimize()
        scip.addObjoffset(self.offset)
        self._rows = [self._add_row(row) for row in range(self.model.num_rows)]
        self._incumbents = _incumbent_handler(pyscipopt)
        scip.includeEventhdlr(self._incumbents, "incumbents", "records every incumbent")

    def _add_row(self, row: int) -> Any:
        """One linear constraint; None for an empty row, which holds or is caught before."""
        matrix = self.model.matrix
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns, coefficients = matrix.indices[span].tolist(), matrix.data[span].tolist()
        if not columns:
            return None
        constraint = self._scip.addCons(coefficients[0] * self._x[columns[0]] <= INFINITY)
        for column, coefficient in zip(columns[1:], coefficients[1:], strict=True):
            self._scip.addCoefLinear(constraint, self._x[column], coefficient)
        self._bound_row(row, constraint)
        return constraint

    def _bound_row(self, row: int, constraint: Any) -> None:
        if constraint is None:
            return
        # Widen first: SCIP refuses a left side above the right one, even for a moment.
        self._scip.chgLhs(constraint, -INFINITY)
        self._scip.chgRhs(constraint, min(float(self.row_upper[row]), INFINITY))
        self._scip.chgLhs(constraint, max(float(self.row_lower[row]), -INFINITY))

    def _push_objective(self) -> None:
        self._scip.freeTransform()
        objective = self._api.quicksum(
            cost * x for cost, x in zip(self.cost.tolist(), self._x, strict=True) if cost
        )
        self._scip.setObjective(objective + self.offset, "minimize")

    def _push_columns(self, columns: IntArray) -> None:
        self._scip.freeTransform()
        for column in columns.tolist():
            low, high = _clip(self.lower[[column]])[0], _clip(self.upper[[column]])[0]
            self._scip.chgVarLb(self._x[column], low)
            self._scip.chgVarUb(self._x[column], high)

    def _push_rows(self, rows: IntArray) -> None:
        self._scip.freeTransform()
        for row in rows.tolist():
            self._bound_row(row, self._rows[row])

    def _run(self, options: SolveOptions) -> Outcome:
        scip = self._scip
        scip.freeTransform()
        scip.setParams(
            {
                "misc/catchctrlc": False,
                "display/verblevel": 4 if options.log else 0,
                "limits/time": INFINITY if options.time_limit is None else options.time_limit,
                "limits/gap": options.relative_gap,
                "limits/absgap": options.absolute_gap,
                "limits/nodes": -1 if options.node_limit is None else options.node_limit,
                "randomization/randomseedshift": options.seed,
            }
        )
        scip.hideOutput(not options.log)
        scip.setObjlimit(INFINITY if options.cutoff is None else options.cutoff)
        if self.start is not None:
            self._give_start()
        self._incumbents.restart()
        interrupted = run_interruptible(scip.optimizeNogil, self._interrupt)
        outcome = self._outcome()
        outcome.interrupted = interrupted
        return outcome

    def _interrupt(self) -> None:
        """Ask SCIP to stop, where it can be asked; between its stages it complains. Asked again."""
        if self._scip.getStage() in INTERRUPTIBLE:
            with suppress(Exception):  # it has gone on to another stage meanwhile
                self._scip.interruptSolve()

    def _give_start(self) -> None:
        assert self.start is not None
        partial = bool(np.any(np.isnan(self.start)))
        point = self._scip.createPartialSol() if partial else self._scip.createSol()
        for x, value in zip(self._x, self.start.tolist(), strict=True):
            if not np.isnan(value):
                self._scip.setSolVal(point, x, value)
        self._scip.addSol(point)

    def _outcome(self) -> Outcome:
        status = str(self._scip.getStatus())
        outcome = Outcome(TERMINATIONS.get(status, Termination.ERROR), raw_status=status)
        if outcome.termination in (None, Termination.INFEASIBLE):
            return outcome
        outcome.trace = list(self._incumbents.trace)
        outcome.nodes = int(self._scip.getNTotalNodes())
        if self._scip.getNSols():
            best = self._scip.getBestSol()
            outcome.values = np.array([self._scip.getSolVal(best, x) for x in self._x])
        if outcome.termination is not Termination.ERROR:
            bound = float(self._scip.getDualbound())
            outcome.bound = bound if abs(bound) < INFINITY else None
        return outcome

    def _close(self) -> None:
        self._scip.freeProb()


def _clip(values: Any) -> list[float]:
    clipped: list[float] = np.clip(values, -INFINITY, INFINITY).tolist()
    return clipped


def _incumbent_handler(api: Any) -> Any:
    """An event handler that records (seconds, objective); pyscipopt is imported only here."""

    class Incumbents(api.Eventhdlr):  # type: ignore[misc]
        def restart(self) -> None:
            self.trace: list[tuple[float, float]] = []
            self.began = time.perf_counter()

        def eventinit(self) -> None:
            self.model.catchEvent(api.SCIP_EVENTTYPE.BESTSOLFOUND, self)

        def eventexit(self) -> None:
            self.model.dropEvent(api.SCIP_EVENTTYPE.BESTSOLFOUND, self)

        def eventexec(self, event: Any) -> None:
            value = float(self.model.getPrimalbound())
            self.trace.append((time.perf_counter() - self.began, value))

    return Incumbents()

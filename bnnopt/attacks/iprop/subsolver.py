"""Solving IProp's subproblems: their cutoff, the attack's time, Ctrl-C and failures."""

from __future__ import annotations

from typing import Any

import solvers
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.limits import Limits

__all__ = ["Subsolver"]

SUBPROBLEM_NODES = 2000
"""Most nodes of a subproblem where the attack's steps are limited."""


class Subsolver:
    """Solves subproblems within their cutoff and the attack's time.

    Parameters
    ----------
    adapter : solvers.Solver
    limits : Limits
    cutoff : float
        Seconds a subproblem.
    """

    def __init__(self, adapter: solvers.Solver, limits: Limits, cutoff: float) -> None:
        self.adapter, self._limits, self._cutoff = adapter, limits, cutoff
        self._deadline = Deadline(limits)

    def solve(self, session: solvers.Session, **options: Any) -> solvers.Values | None:
        """The best point found, if any.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C stopped the solver.
        solvers.SolverError
            If it failed.
        """
        solved = session.solve(self.options(**options))
        if solved.interrupted:
            raise KeyboardInterrupt
        if solved.termination is solvers.Termination.ERROR:
            raise solvers.SolverError(f"{self.adapter.name}: {solved.message or solved.raw_status}")
        return solved.values

    def solve_model(self, model: Any) -> solvers.Values | None:
        """Likewise for a Pyomo model; its variables take the values of the point."""
        compiled = solvers.compile_model(model)
        with self.adapter.session(compiled) as session:
            values = self.solve(session)
        if values is not None:
            compiled.load(values.array)
        return values

    def options(self, **options: Any) -> solvers.SolveOptions:
        """What a subproblem may take now."""
        return solvers.SolveOptions(
            time_limit=self.seconds,
            node_limit=SUBPROBLEM_NODES if self._deadline.is_counted else None,
            threads=self._limits.threads,
            seed=self._limits.seed,
            **options,
        )

    @property
    def is_late(self) -> bool:
        """Whether the attack's time is up."""
        return self._deadline.passed

    @property
    def seconds(self) -> float | None:
        """The time of a subproblem that starts now.

        Where the attack's steps are limited, its nodes are instead: the run repeats itself.
        """
        left = self._deadline.left
        if self._deadline.is_counted:
            return left
        return self._cutoff if left is None else min(self._cutoff, left)

"""The MILP attack: one model of the whole network, solved by any solver."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.base import Attack, Findings, Limits
from bnnopt.bounds import interval_bounds
from bnnopt.errors import UnknownNameError
from bnnopt.formulations.paper import paper_model
from bnnopt.formulations.pattern import slack_model
from bnnopt.instance import AttackInstance

__all__ = ["FORMULATIONS", "MilpAttack"]

FloatArray = npt.NDArray[np.float64]

FORMULATIONS = {"paper": paper_model}

POLISH_SECONDS = 10.0


class MilpAttack(Attack):
    """Solve an exact MILP of the attack (section 3 of the paper).

    Parameters
    ----------
    solver : str
        See ``solvers.available()``.
    formulation : {"paper"}
        Equations (1) to (8).

    Raises
    ------
    UnknownNameError
        If there is no such formulation.
    solvers.SolverError
        If there is no such solver, or it is not available.
    """

    method: ClassVar[str] = "milp"

    def __init__(self, solver: str = "highs", formulation: str = "paper") -> None:
        if formulation not in FORMULATIONS:
            raise UnknownNameError("formulation", formulation, FORMULATIONS)
        self._adapter = solvers.get(solver)
        self._build = FORMULATIONS[formulation]
        self.solver = solver
        self.formulation = formulation

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        return (*super().packages(), "pyomo", self._adapter.package)

    def run(self, instance: AttackInstance, limits: Limits) -> Findings:
        """Build the model, solve it, and turn its point into one that the network confirms."""
        began = time.perf_counter()
        model = self._build(instance)
        options = solvers.SolveOptions(
            time_limit=_left(limits.time_limit, began), threads=limits.threads, seed=limits.seed
        )
        solved = self._adapter.solve(model, options)
        building = time.perf_counter() - began - solved.wall_time
        findings = Findings(
            points=np.zeros((0, instance.network.num_inputs)),
            bound=solved.bound,
            iterations=solved.nodes,
            trace=[(building + when, value) for when, value in solved.trace],
            interrupted=solved.interrupted,
        )
        if solved.termination is solvers.Termination.ERROR:
            findings.message = f"{self.solver}: {solved.message or solved.raw_status}"
        if solved.values is not None:
            findings.points = self._points(instance, model, limits)
        return findings

    def _points(self, instance: AttackInstance, model: Any, limits: Limits) -> FloatArray:
        """The solver's point, and the one deepest inside the sign pattern that it claims."""
        claimed = instance.levels + np.array([p.value for p in model.p.values()])
        if instance.domain == "pixels":
            return np.stack([claimed])
        signs = np.sign([model.h[1, j].value - 0.5 for j in range(instance.network.widths[0])])
        polished = self._polish(instance, signs.astype(np.int8), limits)
        return np.stack([claimed] if polished is None else [claimed, polished])

    def _polish(
        self, instance: AttackInstance, signs: npt.NDArray[np.int8], limits: Limits
    ) -> FloatArray | None:
        stable = interval_bounds(instance)[0].sign != 0
        model = slack_model(instance, np.where(stable, 0, signs).astype(np.int8))
        options = solvers.SolveOptions(
            time_limit=POLISH_SECONDS, threads=limits.threads, seed=limits.seed
        )
        if not self._adapter.solve(model, options).has_solution:
            return None
        return np.array([z.value for z in model.z.values()])


def _left(time_limit: float | None, began: float) -> float | None:
    """What a time limit leaves after the time since `began`; never nothing."""
    if time_limit is None:
        return None
    return max(time_limit - (time.perf_counter() - began), 0.01)

"""The MILP attack: one model of the whole network, solved by any solver."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.base import Attack, Findings, Limits
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.decomposition import Decomposition
from bnnopt.attacks.growing_budget import budget_of_goal, grow_budget
from bnnopt.attacks.reachability import Reachability
from bnnopt.bounds import interval_bounds
from bnnopt.formulations.attack import attack_model, model_size
from bnnopt.formulations.goals import hold_stage, set_stage
from bnnopt.formulations.names import STRENGTHENINGS, check_names
from bnnopt.instance import AttackInstance

__all__ = ["MilpAttack"]

FloatArray = npt.NDArray[np.float64]

POLISH_SECONDS = 10.0
POLISH_ROOM = 1e-5
"""Relative room that polishing gets in a distance that the goal pays for."""


class MilpAttack(Attack):
    """Solve an exact MILP of the attack (section 3 of the paper).

    Parameters
    ----------
    solver : str
        See ``solvers.available()``.
    formulation : {"tight", "paper"}
        Ours, or equations (1) to (8).
    strengthen : collection of str
        For ``"tight"``: names of `bnnopt.formulations.names.STRENGTHENINGS`.
    decompose : bool
        For ``"tight"``, where the box is the only budget and the goal is the margin or a flip:
        solve over the first layer's signs, and add pixels only to check what is found
        (`bnnopt.attacks.decomposition`).

    Raises
    ------
    UnknownNameError
        If there is no such formulation or strengthening.
    solvers.SolverError
        If there is no such solver, or it is not available.
    """

    method: ClassVar[str] = "milp"
    takes: ClassVar[tuple[str, ...]] = ("solver", "formulation")

    def __init__(
        self,
        solver: str = "highs",
        formulation: str = "tight",
        strengthen: Collection[str] = STRENGTHENINGS,
        *,
        decompose: bool = True,
    ) -> None:
        check_names(formulation, strengthen)
        self._adapter = solvers.get(solver)
        self._strengthen = tuple(strengthen)
        self._decompose = decompose and formulation == "tight"
        self.solver = solver
        self.formulation: str = formulation

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        return (*super().packages(), "pyomo", self._adapter.package)

    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Build the model, solve it, and turn its point into one that the network confirms."""
        goal = instance.sought
        if self._decompose and instance.is_box and (goal.is_margin or not goal.stages):
            return Decomposition(instance, self._adapter, limits, self._strengthen).run()
        distance = budget_of_goal(instance)
        if distance is not None:
            return grow_budget(instance, limits, distance, self._solve_whole)
        return self._solve_whole(instance, limits)

    def _solve_whole(self, instance: AttackInstance, limits: Limits) -> Findings:
        """One model, pixels and all; solved once a stage of the goal."""
        deadline = Deadline(limits.time_limit)
        model = attack_model(instance, self.formulation, self._strengthen)
        findings = Findings(np.zeros((0, instance.network.num_inputs)), size=model_size(model))
        findings.bound, findings.iterations = float(model.largest_margin), 0
        goal = instance.sought
        solved: solvers.SolveResult | None = None
        for number, stage in enumerate(goal.stages or (None,)):
            if solved is not None:
                if solved.objective is None:
                    break
                hold_stage(model, goal.stages[0], solved.objective)
                set_stage(model, instance, stage)
            building = deadline.elapsed
            solved = self._adapter.solve(model, self._options(instance, limits, deadline))
            self._record(instance, findings, solved, number, building)
            if findings.message:
                break
            if solved.values is not None:
                self._add_points(findings, instance, model, limits)
            if findings.interrupted:
                break
        return findings

    def _record(
        self,
        instance: AttackInstance,
        findings: Findings,
        solved: solvers.SolveResult,
        number: int,
        building: float,
    ) -> None:
        """Take over what one solve says."""
        goal = instance.sought
        findings.iterations = (findings.iterations or 0) + (solved.nodes or 0)
        findings.interrupted |= solved.interrupted
        if solved.termination is solvers.Termination.ERROR:
            findings.message = f"{self.solver}: {solved.message or solved.raw_status}"
        elif number == 0 and goal.needs_flip:
            if solved.termination is solvers.Termination.INFEASIBLE:
                _tighten(findings, 0.0)
            elif goal.stages:
                findings.goal_bounds.append(solved.bound)
        elif number == 0 and not goal.stages[0].distances:
            if solved.bound is not None:
                _tighten(findings, solved.bound / goal.stages[0].margin)
            findings.goal_bounds.append(solved.bound)
            findings.trace = [(building + when, value) for when, value in solved.trace]
        else:
            findings.goal_bounds.append(solved.bound)

    def _options(
        self, instance: AttackInstance, limits: Limits, deadline: Deadline
    ) -> solvers.SolveOptions:
        return solvers.SolveOptions(
            time_limit=deadline.left,
            threads=limits.threads,
            seed=limits.seed,
            absolute_gap=instance.proof_step if instance.sought.is_margin else 1e-6,
        )

    def _add_points(
        self, findings: Findings, instance: AttackInstance, model: Any, limits: Limits
    ) -> None:
        """Keep the solver's point, and the one deepest inside the sign pattern that it claims."""
        claimed = instance.levels.copy()
        for i, p in model.p.items():
            claimed[i] += p.value
        findings.points = np.vstack([findings.points, claimed])
        if instance.domain == "pixels":
            return
        neurons = interval_bounds(instance)[0].unstable
        signs = np.array([1 if model.h[1, j].value > 0.5 else -1 for j in neurons.tolist()])
        boxes = [self._affordable(instance, claimed)]
        if any(stage.distances for stage in instance.sought.stages):
            # A pattern may have its points at a price only; one of them still is a flip.
            boxes.append((instance.point_box, instance.l1_levels))
        options = solvers.SolveOptions(threads=limits.threads, seed=limits.seed)
        for box, max_l1 in boxes:
            with Reachability(
                instance, neurons, self._adapter.name, options, box=box, max_l1=max_l1
            ) as reachability:
                reached = reachability.test(signs.astype(np.int8), POLISH_SECONDS)
            if reached.point is not None:
                findings.points = np.vstack([findings.points, reached.point])
            findings.interrupted |= reached.interrupted

    def _affordable(
        self, instance: AttackInstance, claimed: FloatArray
    ) -> tuple[tuple[FloatArray, FloatArray], float]:
        """The box and the L1 budget of points that cost no more than the claimed one."""
        low, high = instance.point_box
        change, levels = np.abs(claimed - instance.levels), float(instance.network.levels)
        paid = {name for stage in instance.sought.stages for name in stage.distances}
        max_l1 = instance.l1_levels
        if "linf" in paid:
            reach = change.max() * (1.0 + POLISH_ROOM)
            low = np.maximum(low, instance.levels - reach)
            high = np.minimum(high, instance.levels + reach)
        if "l1" in paid:
            max_l1 = min(max_l1, change.sum() * (1.0 + POLISH_ROOM) + POLISH_ROOM * levels)
        if "l0" in paid or instance.max_pixels is not None:
            still = change <= POLISH_ROOM
            low = np.where(still, instance.levels, low)
            high = np.where(still, instance.levels, high)
        return (low, high), max_l1


def _tighten(findings: Findings, bound: float) -> None:
    findings.bound = bound if findings.bound is None else min(findings.bound, bound)

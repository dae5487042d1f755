"""The MILP attack: one model of the whole network, solved by any solver."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.availability import ensure_available
from bnnopt.attacks.base import Attack
from bnnopt.attacks.budgets.growing import budget_of_goal, grow_budget
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.exact_cell import ExactCell, settle_cell
from bnnopt.attacks.findings import Findings, keep_going
from bnnopt.attacks.limits import Limits
from bnnopt.attacks.milp.decomposition import Decomposition
from bnnopt.attacks.reachability import Reachability
from bnnopt.bounds import interval_bounds, margin_bound
from bnnopt.flips import logits_of_pattern
from bnnopt.formulations.attack import attack_model, model_size
from bnnopt.formulations.claims import claimed_margin, claimed_signs, forbid_signs
from bnnopt.formulations.goals import hold_stage, set_stage
from bnnopt.formulations.names import STRENGTHENINGS, check_names
from bnnopt.formulations.size import check_terms, model_terms
from bnnopt.instance import AttackInstance
from bnnopt.tolerances import SOLVER_GAP

__all__ = ["MilpAttack"]

FloatArray = npt.NDArray[np.float64]

RELATIVE_GAP = 1e-6
"""Of distances, and of sums of a margin and distances."""

POLISH_SECONDS = 10.0
"""For each program that looks for a point of a pattern."""

POLISH_NODES = 1000
"""Likewise, where steps are limited."""

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
        (`bnnopt.attacks.milp.decomposition`).

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

    def prepare(self, instance: AttackInstance) -> None:
        """Find the solver; refuse a model that would not fit."""
        ensure_available(self._adapter)
        other = "formulation 'tight'" if self.formulation == "paper" else "a smaller epsilon"
        count, what = model_terms(instance, self.formulation), f"the {self.formulation} model"
        check_terms(count, what, f"take method 'auto' or {other}")

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
        findings = Findings(np.zeros((0, instance.network.num_inputs)), iterations=0)
        return keep_going(findings, partial(self._solve_stages, findings, instance, limits))

    def _solve_stages(self, findings: Findings, instance: AttackInstance, limits: Limits) -> None:
        deadline, goal = Deadline(limits), instance.sought
        findings.bound = max(margin_bound(instance, c) for c in instance.targets)
        model = attack_model(instance, self.formulation, self._strengthen, limits=deadline)
        findings.bound = float(model.largest_margin) * instance.of_margins.unit
        closed = _Closed(instance, model)
        solved: solvers.SolveResult | None = None
        try:
            for number, stage in enumerate(goal.stages or (None,)):
                if solved is not None:
                    if solved.objective is None:
                        return
                    hold_stage(model, goal.stages[0], solved.objective)
                    set_stage(model, instance, stage)
                solved = self._solve_stage(findings, closed, model, number, limits, deadline)
                if findings.message or findings.interrupted:
                    return
        finally:
            closed.settle(findings)

    def _solve_stage(
        self,
        findings: Findings,
        closed: _Closed,
        model: Any,
        number: int,
        limits: Limits,
        deadline: Deadline,
    ) -> solvers.SolveResult:
        """Solve until the solver's point is one of the network's, or a limit comes."""
        instance = closed.instance
        while True:
            building = deadline.elapsed
            compiled = solvers.compile_model(model, lambda: deadline.passed)
            findings.size = findings.size or model_size(model, compiled)
            solved = self._adapter.solve(compiled, self._options(instance, limits, deadline))
            deadline.spend(solved.nodes)
            self._record(instance, findings, solved, number, building)
            findings.cut_off |= deadline.passed
            if solved.values is not None:
                self._add_points(findings, instance, model, limits, deadline)
            is_over = findings.message or findings.interrupted or deadline.passed
            if is_over or not closed.cuts_off(findings, solved):
                return solved

    def _record(
        self,
        instance: AttackInstance,
        findings: Findings,
        solved: solvers.SolveResult,
        number: int,
        building: float,
    ) -> None:
        """Take over what one solve says."""
        goal, unit = instance.sought, instance.of_margins.unit
        findings.iterations = (findings.iterations or 0) + (solved.nodes or 0)
        findings.interrupted |= solved.interrupted
        if solved.termination is solvers.Termination.ERROR:
            findings.message = f"{self.solver}: {solved.message or solved.raw_status}"
        if number == 0 and goal.needs_flip:
            findings.no_flip = solved.termination is solvers.Termination.INFEASIBLE
        if not goal.stages:
            return
        stage = goal.stages[number]
        bound = solved.bound
        if bound is not None and stage.is_maximised:
            bound *= unit
        findings.goal_bounds[number:] = [bound]
        if number == 0 and stage.is_maximised and not stage.distances:
            if bound is not None:
                _tighten(findings, bound / stage.margin)
            findings.trace = [
                (building + when, value * unit / stage.margin) for when, value in solved.trace
            ]

    def _options(
        self, instance: AttackInstance, limits: Limits, deadline: Deadline
    ) -> solvers.SolveOptions:
        is_margin = instance.sought.is_margin
        return solvers.SolveOptions(
            time_limit=deadline.left,
            node_limit=deadline.effort_left,
            threads=limits.threads,
            seed=limits.seed,
            relative_gap=0.0 if is_margin else RELATIVE_GAP,  # a large bias must not widen it
            absolute_gap=instance.of_margins.solver_gap if is_margin else SOLVER_GAP,
        )

    def _add_points(
        self,
        findings: Findings,
        instance: AttackInstance,
        model: Any,
        limits: Limits,
        deadline: Deadline,
    ) -> None:
        """Keep the solver's point, and those deepest inside the sign pattern that it claims."""
        claimed = instance.levels.copy()
        for i, p in model.p.items():
            claimed[i] += p.value
        findings.points = np.vstack([findings.points, claimed])
        if instance.domain == "pixels":
            return
        neurons = interval_bounds(instance)[0].unstable
        signs = claimed_signs(model, neurons)
        cell = ExactCell(instance, neurons, signs)
        box, max_l1 = self._affordable(instance, claimed)
        programs: list[dict[str, Any]] = [{"box": box, "max_l1": max_l1}]
        whole: dict[str, Any] = {"max_l1": instance.l1_point_levels}
        if any(stage.distances for stage in instance.sought.stages):
            # A pattern may have its points at a price only; one of them still is a flip.
            programs.append(whole)
        elif instance.max_pixels is not None:  # or with other pixels
            programs.append(whole | {"max_pixels": instance.max_pixels})
        options = solvers.SolveOptions(
            threads=limits.threads,
            seed=limits.seed,
            node_limit=POLISH_NODES if deadline.is_counted else None,
        )
        seconds = None if deadline.is_counted else POLISH_SECONDS
        for program in programs:
            with Reachability(
                instance, neurons, self._adapter.name, options, **program
            ) as reachability:
                reached = reachability.test(signs, seconds)
            findings.interrupted |= reached.interrupted
            if reached.point is None:
                continue
            findings.points = np.vstack([findings.points, reached.point])
            if cell.has_levels(instance.snap(reached.point)):
                return
            # Rounding to the grid took it out of a thin cell.
            near = cell.point_near(reached.point, seconds, still=instance.max_pixels is not None)
            if near is not None:
                findings.points = np.vstack([findings.points, near])
                return

    def _affordable(
        self, instance: AttackInstance, claimed: FloatArray
    ) -> tuple[tuple[FloatArray, FloatArray], float]:
        """The box and the L1 budget of points that cost no more than the claimed one."""
        low, high = instance.point_box
        change, levels = np.abs(claimed - instance.levels), float(instance.network.levels)
        paid = {name for stage in instance.sought.stages for name in stage.distances}
        max_l1 = instance.l1_point_levels
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


class _Closed:
    """Patterns that the model has on thresholds only, or in cells thinner than the grid.

    Where the goal is the margin or a flip, they are cut off one by one, so that the solver goes
    on to others; what such a pattern would be worth stays in the bound.

    Parameters
    ----------
    instance : AttackInstance
    model : pyomo ConcreteModel
    """

    def __init__(self, instance: AttackInstance, model: Any) -> None:
        self.instance, self._model = instance, model
        self._margin, self._is_flip = -np.inf, False

    def cuts_off(self, findings: Findings, solved: solvers.SolveResult) -> bool:
        """Whether a pattern without a point was cut off, so that another solve may tell more.

        Only where the solver has finished, and claims more than the points that there are.
        """
        instance, goal = self.instance, self.instance.sought
        if solved.termination is not solvers.Termination.OPTIMAL:
            return False
        neurons = interval_bounds(instance)[0].unstable
        signs = claimed_signs(self._model, neurons)
        logits = logits_of_pattern(instance, neurons, signs)
        best = max(instance.rank(instance.snap(z)) for z in findings.points)
        is_flip = bool(instance.of_margins.is_flip(logits))
        if goal.needs_flip and not is_flip:  # a tie that is none, which a closed model allows
            findings.no_flip |= not len(neurons)
        elif (
            instance.domain == "pixels"
            or not (goal.is_margin or not goal.stages)
            or (best[0] > -np.inf and (not goal.stages or self._is_reached(best[0])))
        ):
            return False
        elif not self._is_settled(findings, neurons, signs):
            self._margin = max(self._margin, float(instance.of_margins.best(logits)))
            self._is_flip |= is_flip
        if not len(neurons):
            return False  # there is no other pattern
        forbid_signs(self._model, neurons, signs)
        return True

    def _is_reached(self, best: float) -> bool:
        """Whether a margin is what the solver claims."""
        margins = self.instance.of_margins
        return claimed_margin(self._model) * margins.unit <= best + margins.gap

    def _is_settled(
        self,
        findings: Findings,
        neurons: npt.NDArray[np.int64],
        signs: npt.NDArray[np.int8],
    ) -> bool:
        """Whether a pattern is refuted; a point of it is kept."""
        if not len(neurons):
            return False
        verdict = settle_cell(self.instance, neurons, signs, POLISH_SECONDS)
        if verdict.point is not None:
            findings.points = np.vstack([findings.points, verdict.point])
        return verdict.is_refuted

    def settle(self, findings: Findings) -> None:
        """Take back what findings claim of patterns that were cut off."""
        if self._margin == -np.inf:
            return
        findings.notes.append(
            f"open: patterns of margins up to {self._margin:g}: their cells are thinner than the "
            "grid"
        )
        if findings.bound is not None:
            findings.bound = max(findings.bound, self._margin)
        findings.goal_bounds = [
            None if bound is None else max(bound, self._margin) for bound in findings.goal_bounds
        ]
        findings.no_flip &= not self._is_flip


def _tighten(findings: Findings, bound: float) -> None:
    findings.bound = bound if findings.bound is None else min(findings.bound, bound)

"""The default: whatever is best for the instance."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks import attack_class
from bnnopt.attacks.base import Attack, Limits, best_point
from bnnopt.attacks.branch_and_bound import BranchAndBound
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings, judge
from bnnopt.attacks.l1_relaxation import carry_over, l1_relaxation
from bnnopt.attacks.smallest_budget import distance_sought
from bnnopt.formulations.names import check_names
from bnnopt.instance import AttackInstance
from bnnopt.result import Status

__all__ = ["AutoAttack"]

FloatArray = npt.NDArray[np.float64]

START_SHARE, START_SECONDS = 0.3, 20.0
"""Of the time limit, and at most, what branch and bound gets before a MILP."""

MILP = "milp"


class AutoAttack(Attack):
    """Branch and bound where it can; else on a relaxation of the instance, and then the MILP.

    It can where the number of pixels is not limited and the goal is the margin, a flip, linf or l1.

    Parameters
    ----------
    solver, formulation : str
        For the MILP; see `MilpAttack`.
    """

    method: ClassVar[str] = "auto"
    takes: ClassVar[tuple[str, ...]] = ("solver", "formulation")

    def __init__(self, solver: str = "highs", formulation: str = "tight") -> None:
        check_names(formulation)
        self._adapter = solvers.get(solver)
        self._tree = BranchAndBound()
        self.solver = solver
        self.formulation: str = formulation

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        return (*self._tree.packages(), "pyomo", self._adapter.package)

    def prepare(self, instance: AttackInstance) -> None:
        """Compile the kernel; import Pyomo where a MILP will be built."""
        self._tree.prepare(instance)
        if not _is_searched(instance):
            attack_class(MILP)

    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Choose, and say what ran in `Findings.ran`."""
        if _is_searched(instance):
            findings = self._tree.run(instance, limits, starts)
            findings.ran = self._tree.method
            return findings
        return self._solve(instance, limits, starts)

    def _solve(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Branch and bound without the limit on pixels; the MILP, if that leaves a gap."""
        deadline = Deadline(limits.time_limit)
        seconds = min(START_SECONDS, START_SHARE * (limits.time_limit or np.inf))
        quick = replace(limits, time_limit=seconds, on_incumbent=None)  # of another instance
        first = carry_over(instance, self._tree.run(l1_relaxation(instance), quick, starts))
        first.ran, first.trace = self._tree.method, []
        z, objective = best_point(instance, np.vstack([starts, first.points]))
        verdict = judge(instance, first, objective, instance.distances(z))
        if first.interrupted or verdict.status is not Status.FEASIBLE:
            return first
        left = replace(limits, time_limit=deadline.left)
        milp = attack_class(MILP)(self.solver, self.formulation)
        findings: Findings = milp.run(instance, left, np.vstack([starts, first.points]))
        findings.points = np.vstack([first.points, findings.points])
        findings.tighten(first)
        findings.ran = MILP
        return findings


def _is_searched(instance: AttackInstance) -> bool:
    """Whether branch and bound takes the instance."""
    goal = instance.sought
    is_margin_or_flip = goal.is_margin or not goal.stages
    return instance.max_pixels is None and (is_margin_or_flip or bool(distance_sought(instance)))

"""The default: whatever is best for the instance."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks import attack_class
from bnnopt.attacks.base import Attack, Limits
from bnnopt.attacks.branch_and_bound import BranchAndBound
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.pattern import PatternAttack
from bnnopt.attacks.smallest_budget import distance_sought
from bnnopt.formulations.names import check_names
from bnnopt.instance import AttackInstance

__all__ = ["AutoAttack"]

FloatArray = npt.NDArray[np.float64]

START_SHARE, START_SECONDS = 0.1, 2.0
"""Of the time limit, and at most, what pattern search gets before a MILP."""

MILP = "milp"


class AutoAttack(Attack):
    """Branch and bound where it can; else pattern search, then the MILP.

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
        self._tree, self._pattern = BranchAndBound(), PatternAttack()
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
        """Pattern search, then the MILP from what it found."""
        deadline = Deadline(limits.time_limit)
        # A flip somewhere in the box is a good point of many budgets once it is brought inside.
        whole = replace(instance, goal="margin", max_pixels=None, max_l1=None)
        seconds = min(START_SECONDS, START_SHARE * (limits.time_limit or np.inf))
        quick = replace(limits, time_limit=seconds, on_incumbent=None)  # of another goal
        first = self._pattern.run(whole, quick, starts)
        if first.interrupted:
            return first
        left = replace(limits, time_limit=deadline.left)
        milp = attack_class(MILP)(self.solver, self.formulation)
        findings: Findings = milp.run(instance, left, np.vstack([starts, first.points]))
        findings.points = np.vstack([first.points, findings.points])
        findings.ran = MILP
        return findings


def _is_searched(instance: AttackInstance) -> bool:
    """Whether branch and bound takes the instance."""
    goal = instance.sought
    is_margin_or_flip = goal.is_margin or not goal.stages
    return instance.max_pixels is None and (is_margin_or_flip or bool(distance_sought(instance)))

"""The default: whatever is best for the instance."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks import attack_class
from bnnopt.attacks.availability import ensure_available
from bnnopt.attacks.base import Attack, best_point
from bnnopt.attacks.budgets.l1_relaxation import carry_over, fewer_pixels, l1_relaxation
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings, judge, keep_going
from bnnopt.attacks.flips import BranchAndBound
from bnnopt.attacks.flips.flip_search import is_searchable
from bnnopt.attacks.limits import Limits
from bnnopt.errors import InputError
from bnnopt.formulations.names import check_names
from bnnopt.instance import AttackInstance
from bnnopt.result import Status

__all__ = ["AutoAttack"]

FloatArray = npt.NDArray[np.float64]

START_SHARE, START_SECONDS = 0.5, 20.0
"""Of the limits, and at most, what branch and bound gets before a MILP."""

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
        """Compile the kernel; import Pyomo, and find the solver, where a MILP will be built."""
        self._tree.compile_kernel(instance)
        if not is_searchable(instance):
            attack_class(MILP)
            ensure_available(self._adapter)

    def searches(self, instance: AttackInstance) -> bool:
        """Whether all targets of an instance are one search, which tells them apart."""
        return is_searchable(instance)

    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Choose, and say what ran in `Findings.ran`."""
        if is_searchable(instance):
            findings = self._tree.run(instance, limits, starts)
            findings.ran = self._tree.method
            return findings
        findings = Findings(starts)
        return keep_going(findings, partial(self._solve, findings, instance, limits))

    def _solve(self, findings: Findings, instance: AttackInstance, limits: Limits) -> None:
        """Branch and bound without the limit on pixels; the MILP, if that leaves a gap."""
        deadline, starts = Deadline(limits), findings.points
        # Better points there are those of another instance.
        quick = replace(deadline.share(START_SHARE, START_SECONDS), on_incumbent=None)
        first = carry_over(instance, self._tree.run(l1_relaxation(instance), quick, starts))
        deadline.spend(first.iterations)
        first.points = np.vstack([starts, first.points])
        if any("l0" in stage.distances for stage in instance.sought.stages):
            best = best_point(instance, first.points)
            first.points = np.vstack([first.points, fewer_pixels(instance, best)])
        first.ran, first.trace = self._tree.method, []
        vars(findings).update(vars(first))
        if first.interrupted or _is_proved(instance, first):
            return
        # What branch and bound failed at, the MILP may decide.
        findings.notes, findings.message = [*first.notes, *filter(None, [first.message])], ""
        milp = attack_class(MILP)(self.solver, self.formulation)
        try:
            milp.prepare(instance)
        except InputError as error:
            findings.notes.append(f"no MILP: {error}")
            return
        findings.ran = MILP
        found: Findings = milp.run(instance, deadline.share(), first.points)
        found.points = np.vstack([first.points, found.points])
        found.tighten(first)
        found.ran, found.notes = MILP, [*findings.notes, *found.notes]
        vars(findings).update(vars(found))


def _is_proved(instance: AttackInstance, findings: Findings) -> bool:
    """Whether nothing is left to find."""
    z = best_point(instance, findings.points)
    logits = instance.network.logits_of_levels(z[None])[0]
    objective = float(instance.of_margins.best(logits))
    is_flip = bool(instance.of_margins.is_flip(logits))
    verdict = judge(instance, findings, objective, is_flip, instance.distances(z))
    return verdict.status in (Status.OPTIMAL, Status.INFEASIBLE)

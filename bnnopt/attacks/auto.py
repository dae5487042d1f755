"""The default: whatever is best for the instance."""

from __future__ import annotations

from contextlib import suppress
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
from bnnopt.bounds import interval_bounds
from bnnopt.errors import InputError, MissingDependencyError
from bnnopt.formulations.names import check_names
from bnnopt.instance import AttackInstance
from bnnopt.result import Status

__all__ = ["AutoAttack"]

FloatArray = npt.NDArray[np.float64]

START_SHARE, START_SECONDS = 0.5, 20.0
"""Of the limits, and at most, what branch and bound gets before a MILP."""

WIDE = 512
"""Unstable neurons above which a flip is sought by gradients first: trees rarely end there."""

ROUNDS, ROUNDS_SHARE = 4, 0.5
"""Of PGD, each with restarts of its own, and the share of the limits that all have."""

MILP, PGD = "milp", "pgd"


class AutoAttack(Attack):
    """Branch and bound where it can; else on a relaxation of the instance, and then the MILP.

    It can where the number of pixels is not limited and the goal is the margin, a flip, linf or l1.
    Where any flip of a box will do and more than `WIDE` neurons of the first layer can turn, PGD
    comes before all that, if torch is installed.

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
        self._climber: Attack | None = None
        self.solver = solver
        self.formulation: str = formulation

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        gradients = () if self._climber is None else ("torch",)
        return (*self._tree.packages(), "pyomo", self._adapter.package, *gradients)

    def prepare(self, instance: AttackInstance) -> None:
        """Compile the kernel; import Pyomo, and find the solver, where a MILP will be built.

        Import torch where PGD may be of use.
        """
        self._climber = None
        if _seeks_any_flip(instance) and _is_wide(instance):
            with suppress(MissingDependencyError):
                self._climber = attack_class(PGD)(device="cpu")
        self._tree.compile_kernel(instance)
        if not is_searchable(instance):
            attack_class(MILP)
            ensure_available(self._adapter)

    def searches(self, instance: AttackInstance) -> bool:
        """Whether all targets of an instance are one search, which tells them apart."""
        return is_searchable(instance)

    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Choose, and say what ran in `Findings.ran`."""
        if self._climber is None:
            return self._search(instance, limits, starts)
        deadline = Deadline(limits)
        findings = self._climb(self._climber, instance, deadline, starts)
        if findings.interrupted or instance.are_flips(findings.points[-1:]).any():
            return findings
        found = self._search(instance, deadline.share(), findings.points)
        found.notes.insert(0, f"no flip in {findings.iterations} steps of pgd")
        return found

    def _climb(
        self, climber: Attack, instance: AttackInstance, deadline: Deadline, starts: FloatArray
    ) -> Findings:
        """Some rounds of PGD; the last point is a flip if there is one."""
        findings, share = Findings(starts, iterations=0, ran=PGD), deadline.share(ROUNDS_SHARE)
        quick = Deadline(share)
        for turn in range(ROUNDS):
            seed = (share.seed + turn) % 2**31
            found = climber.run(instance, replace(quick.share(), seed=seed), starts)
            points = [instance.snap(z) for z in found.points]
            findings.points = np.vstack([findings.points, *points])
            findings.iterations = (findings.iterations or 0) + (found.iterations or 0)
            findings.trace, findings.interrupted = found.trace, found.interrupted
            deadline.spend(found.iterations)
            quick.spend(found.iterations)
            if found.interrupted or quick.passed or instance.are_flips(points[-1][None])[0]:
                break
        return findings

    def _search(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
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


def _seeks_any_flip(instance: AttackInstance) -> bool:
    return instance.is_box and not instance.sought.stages


def _is_wide(instance: AttackInstance) -> bool:
    if instance.network.widths[0] <= WIDE:
        return False
    return len(interval_bounds(instance)[0].unstable) > WIDE


def _is_proved(instance: AttackInstance, findings: Findings) -> bool:
    """Whether nothing is left to find."""
    z = best_point(instance, findings.points)
    logits = instance.network.logits_of_levels(z[None])[0]
    objective = float(instance.of_margins.best(logits))
    is_flip = bool(instance.of_margins.is_flip(logits))
    verdict = judge(instance, findings, objective, is_flip, instance.distances(z))
    return verdict.status in (Status.OPTIMAL, Status.INFEASIBLE)

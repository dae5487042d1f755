"""What is reported of claims and of a point, case by case."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import solvers
from bnnopt import AttackInstance, Status
from bnnopt.attacks.base import best_point
from bnnopt.attacks.findings import Findings, judge, keep_going
from bnnopt.formulations.stopping import OutOfTime
from tests.helpers import random_image, random_network


def instance_of(goal: str, head: str = "integer", **options: Any) -> AttackInstance:
    network = random_network(7, head=head)
    return AttackInstance(network, random_image(network, 7), 0.4, goal=goal, **options)


NONE = np.zeros((0, 4))
MOVED = {"linf": 0.25, "l1": 0.5, "l0": 2.0}


def test_a_margin_is_proved_by_a_bound_that_rounds_to_it_and_by_no_other() -> None:
    instance = instance_of("margin")
    (target,) = instance.targets
    lattice = instance.of_margins.lattice(target)
    assert lattice is not None
    offset, step = lattice
    for k, above in product((-2, 0, 3), (-1.0, -0.01, 0.0, 0.4, 0.99, 1.0, 1.5, 3.0)):
        objective, bound = offset + step * k, offset + step * (k + above)
        verdict = judge(instance, Findings(NONE, bound), objective, objective > 0, MOVED)
        if above < 0:
            assert verdict.status is Status.ERROR
            assert verdict.bound is None
            assert "excludes" in verdict.message
        else:
            rounded = offset + step * np.floor(k + above)
            assert verdict.bound == rounded
            assert (verdict.status is Status.OPTIMAL) == (rounded == objective)
            assert verdict.goal_bounds == [rounded]
            assert verdict.message == ""
        assert verdict.goal_values == [objective]
    for bound in (None, np.inf):
        verdict = judge(instance, Findings(NONE, bound), offset, offset > 0, MOVED)
        assert (verdict.status, verdict.bound) == (Status.FEASIBLE, None)


def test_without_a_lattice_a_margin_is_proved_within_the_gap() -> None:
    instance = instance_of("margin", "batchnorm")
    gap = instance.of_margins.gap
    for off, status in ((0.0, "optimal"), (0.9, "optimal"), (1.1, "feasible"), (-0.9, "optimal")):
        verdict = judge(instance, Findings(NONE, 1.5 + off * gap), 1.5, True, MOVED)
        assert verdict.status == status
        assert verdict.bound == 1.5 + max(off, 0.0) * gap
    assert judge(instance, Findings(NONE, 1.5 - 2 * gap), 1.5, True, MOVED).status == "error"


@pytest.mark.parametrize("goal", ["flip", "linf", "l0,linf"])
def test_that_there_is_no_flip_is_claimed_or_follows_from_the_bound(goal: str) -> None:
    instance = instance_of(goal)
    margins = instance.of_margins
    (target,) = instance.targets
    least, most = margins.least_flip(target), margins.most_without_flip
    low = most - 8.0
    for findings, status, bound in (
        (Findings(NONE), Status.UNKNOWN, None),
        (Findings(NONE, no_flip=True), Status.INFEASIBLE, most),
        (Findings(NONE, low + 4.0, no_flip=True), Status.INFEASIBLE, low + 4.0),
        (Findings(NONE, most), Status.INFEASIBLE, most),
        (Findings(NONE, least - 0.5), Status.INFEASIBLE, most),
        (Findings(NONE, least), Status.UNKNOWN, least),
        (Findings(NONE, least + 4.0), Status.UNKNOWN, least + 4.0),
        (Findings(NONE, low - 8.0), Status.ERROR, None),
    ):
        verdict = judge(instance, findings, low, False, MOVED)
        assert (verdict.status, verdict.bound) == (status, bound)
        assert verdict.goal_values == [None] * len(instance.sought.stages)
        assert len(verdict.goal_bounds) == len(instance.sought.stages)
    found = judge(instance, Findings(NONE, least + 8.0), least, True, MOVED)
    assert found.status is (Status.OPTIMAL if goal == "flip" else Status.FEASIBLE)
    contradicted = judge(instance, Findings(NONE, no_flip=True), least, True, MOVED)
    assert contradicted.status is Status.ERROR
    assert "ruled out" in contradicted.message


@pytest.mark.parametrize(
    ("goal", "bounds", "status"),
    [
        ("linf", [0.25], "optimal"),
        ("linf", [0.2499801], "optimal"),
        ("linf", [0.2499], "feasible"),
        ("linf", [0.0], "feasible"),
        ("linf", [None], "feasible"),
        ("linf", [], "feasible"),
        ("linf", [0.25002], "optimal"),
        ("linf", [0.2504], "error"),
        ("l1", [0.4], "feasible"),
        ("l0", [1.0], "feasible"),
        ("l0", [1.002], "optimal"),
        ("l0", [1.0005], "feasible"),
        ("l0", [2.0], "optimal"),
        ("l0", [2.0005], "optimal"),
        ("l0", [2.1], "error"),
        ("l0,linf", [2.0, 0.25], "optimal"),
        ("l0,linf", [2.0, 0.1], "feasible"),
        ("l0,linf", [2.0], "feasible"),
        ("l0,linf", [1.0, 0.25], "feasible"),
        ("l0,linf", [1.0, 0.4], "feasible"),
        ("l0,linf", [2.0, 0.4], "error"),
        ("margin+2*l1", [5.0], "optimal"),
        ("margin+2*l1", [5.2], "feasible"),
        ("margin+2*l1", [4.8], "error"),
        ("margin+20*l1", [-4.0], "optimal"),
        ("margin+20*l1", [-4.0 + 4e-4], "optimal"),
        ("margin+20*l1", [-4.0 + 5e-4], "feasible"),
        ("margin,l1", [6.0, 0.5], "optimal"),
        ("margin,l1", [10.0, 0.5], "feasible"),
    ],
)
def test_a_goal_is_proved_stage_by_stage(
    goal: str, bounds: list[float | None], status: str
) -> None:
    instance = instance_of(goal)
    findings = Findings(NONE, goal_bounds=bounds)
    verdict = judge(instance, findings, 6.0, True, MOVED)
    assert verdict.status == status
    assert verdict.goal_values == instance.sought.values(6.0, MOVED)
    assert len(verdict.goal_bounds) == len(instance.sought.stages)
    assert (verdict.message != "") == (status == "error")


def test_a_failure_is_an_error_unless_the_proof_was_complete() -> None:
    margin, flip = instance_of("margin"), instance_of("flip")
    (target,) = flip.targets
    least = flip.of_margins.least_flip(target)
    for instance, bound, objective, status in (
        (margin, least, least, Status.OPTIMAL),
        (margin, least + 4.0, least, Status.ERROR),
        (margin, None, least, Status.ERROR),
        (flip, None, least, Status.OPTIMAL),
        (flip, None, least - 4.0, Status.ERROR),
        (flip, least - 4.0, least - 4.0, Status.INFEASIBLE),
    ):
        findings = Findings(NONE, bound, message="the solver died")
        verdict = judge(instance, findings, objective, objective >= least, MOVED)
        assert verdict.status is status
        assert (verdict.message == "the solver died") == (status is Status.ERROR)


def test_the_tighter_of_two_bounds_holds() -> None:
    for mine, others, expected in (
        (3.0, 2.0, 2.0),
        (2.0, 3.0, 2.0),
        (None, 3.0, 3.0),
        (2.0, None, 2.0),
    ):
        findings = Findings(NONE, mine)
        findings.tighten(Findings(NONE, others))
        assert findings.bound == expected
    for ours, theirs, best in (
        ([1.0, 9.0], [2.0, 5.0], [2.0, 9.0]),
        ([2.0], [1.0], [2.0]),
        ([None], [1.0], [1.0]),
        ([1.0], [None], [1.0]),
        ([1.0], [], [1.0]),
        ([], [1.0], [1.0]),
        ([None], [None], [None]),
    ):
        findings = Findings(NONE, goal_bounds=list(ours))
        findings.tighten(Findings(NONE, goal_bounds=list(theirs)))
        assert findings.goal_bounds == best
    for one, other in product((False, True), repeat=2):
        findings = Findings(NONE, no_flip=one)
        findings.tighten(Findings(NONE, no_flip=other))
        assert findings.no_flip == (one or other)


def test_what_ends_the_work_is_told_and_what_was_found_is_kept() -> None:
    def ends(error: BaseException | None) -> Findings:
        findings = Findings(NONE)

        def work() -> None:
            findings.bound = 3.0
            if error is not None:
                raise error

        return keep_going(findings, work)

    for error, told in (
        (None, (False, False, "")),
        (KeyboardInterrupt(), (True, False, "")),
        (OutOfTime(), (False, True, "")),
        (solvers.SolverError("it broke"), (False, False, "it broke")),
    ):
        found = ends(error)
        assert found.bound == 3.0
        assert (found.interrupted, found.cut_off, found.message) == told
    for wrong in (solvers.SolverUnavailableError, solvers.UnsupportedOptionError):
        with pytest.raises(wrong):
            ends(wrong.__new__(wrong))


@pytest.mark.parametrize("goal", ["margin", "l0", "margin,l1", "flip"])
@pytest.mark.parametrize("budget", [{}, {"max_pixels": 2}, {"max_l1": 0.5, "domain": "continuous"}])
def test_the_first_of_the_best_replayed_points_counts(goal: str, budget: dict[str, Any]) -> None:
    instance = instance_of(goal, **budget)
    rng = np.random.default_rng(0)
    points = rng.uniform(0, instance.network.levels, (60, len(instance.levels)))
    candidates = [instance.levels, *(instance.snap(z) for z in points)]
    best = max(candidates, key=instance.rank)
    assert np.array_equal(best_point(instance, points), best)
    assert np.array_equal(best_point(instance, points[:0]), instance.levels)

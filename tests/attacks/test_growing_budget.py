from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnopt
from bnnopt import AttackInstance
from bnnopt.attacks.base import Limits
from bnnopt.attacks.budgets.growing import budget_of_goal, grow_budget
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.milp import MilpAttack
from tests.helpers import random_image, random_network


def instance_of(seed: int, goal: str, epsilon: float = 0.3) -> AttackInstance:
    network = random_network(seed, inputs=4, widths=(5, 3))
    return AttackInstance(
        network, random_image(network, seed), epsilon, "untargeted", "pixels", goal=goal
    )


def smallest_flip(instance: AttackInstance, name: str) -> float:
    """By enumeration; infinite if nothing flips."""
    low, high = instance.point_box
    ranges = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    points = np.array(list(product(*ranges)), dtype=np.float64)
    flips = points[instance.margins(points) > 0]
    return min((instance.distances(z)[name] for z in flips), default=np.inf)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["l1", "l0"]))
def test_what_no_solver_decides_is_bounded_by_what_the_intervals_rule_out(
    seed: int, name: str
) -> None:
    instance = instance_of(seed, name)
    budgets: list[float] = []

    def undecided(part: AttackInstance, limits: Limits) -> Findings:
        budgets.append(limit_of(part, name))
        return Findings(np.zeros((0, 4)), iterations=1)

    found = grow_budget(instance, Limits(), name, undecided)
    assert budgets == sorted(set(budgets))
    assert budgets[-1] == np.inf, "the whole instance is tried in the end"
    assert found.iterations == len(budgets)
    assert found.goal_bounds[0] is not None
    assert 0 <= found.goal_bounds[0] <= smallest_flip(instance, name)


def limit_of(part: AttackInstance, name: str) -> float:
    limit = part.max_l1 if name == "l1" else part.max_pixels
    return np.inf if limit is None else limit


def test_an_interrupted_budget_is_the_last() -> None:
    calls: list[AttackInstance] = []

    def interrupted(part: AttackInstance, limits: Limits) -> Findings:
        calls.append(part)
        return Findings(part.levels[None], interrupted=True)

    found = grow_budget(instance_of(0, "l0"), Limits(), "l0", interrupted)
    assert found.interrupted
    assert len(calls) == 1


def test_half_of_the_time_is_kept_while_no_flip_is_known() -> None:
    given: list[float] = []

    def undecided(part: AttackInstance, limits: Limits) -> Findings:
        assert limits.time_limit is not None
        given.append(limits.time_limit)
        return Findings(np.zeros((0, 4)))

    grow_budget(instance_of(0, "l0"), Limits(1000.0), "l0", undecided)
    *parts, whole = given
    assert all(seconds <= 500.0 for seconds in parts)
    assert whole > 900.0


@pytest.mark.parametrize(
    ("goal", "name"),
    [
        ("l1", "l1"),
        ("l0", "l0"),
        ("l0,linf", "l0"),
        ("linf", None),
        ("margin,l1", None),
        ("l1+l0", None),
        ("2*l1", None),
        ("flip", None),
    ],
)
def test_goals_with_one_distance_first_have_a_budget_that_grows(
    goal: str, name: str | None
) -> None:
    assert budget_of_goal(instance_of(0, goal)) == name


def test_the_fewest_pixels_of_a_real_network_are_proved() -> None:
    network, images = bnnopt.zoo.load("fashion-mnist-2x100"), bnnopt.datasets.embedded()
    instance = AttackInstance(network, images.x(4), 0.02, goal="l0")
    result = MilpAttack()(instance, Limits(120.0))
    assert result.flipped
    assert result.goal_bounds[0] is not None
    assert 0 < result.goal_bounds[0] <= result.goal_values[0]

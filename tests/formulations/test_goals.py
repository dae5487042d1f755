from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, Status
from bnnopt.attacks.auto import AutoAttack
from bnnopt.attacks.base import Attack
from bnnopt.attacks.milp import MilpAttack
from bnnopt.errors import BnnoptError
from bnnopt.goal import Goal
from tests.helpers import best_rank, random_image, random_network

BUDGETS: list[dict[str, Any]] = [
    {},
    {"max_pixels": 2},
    {"max_l1": 0.6},
    {"direction": "lighten"},
    {"direction": "darken", "max_pixels": 1},
    {"mask": [True, False, True, True]},
    {"mask": [True, True, True, False], "max_l1": 0.45, "max_pixels": 2, "direction": "lighten"},
]
GOALS = ["margin", "flip", "linf", "l1", "l0", "l0,linf", "margin,l1", "margin+3*l1", "l1,margin"]


def check_with_enumeration(attack: Attack, instance: AttackInstance) -> None:
    result = attack(instance)
    best = best_rank(instance)
    is_there = bool(np.isfinite(best[0]))
    assert result.status is (Status.OPTIMAL if is_there else Status.INFEASIBLE), result.message
    assert result.verified
    stages = len(instance.sought.stages)
    if instance.sought.needs_flip:
        assert result.flipped == is_there
    if stages and is_there:
        mine = instance.rank(instance.network.levels_of(result.adversarial)[0])
        assert mine[:stages] == pytest.approx(best[:stages], rel=2e-4, abs=1e-6)


def pixel_instance(
    goal: str, seed: int, budget: dict[str, Any], untargeted: bool
) -> AttackInstance:
    network = random_network(seed, inputs=4, widths=(5, 3))
    target = "untargeted" if untargeted else "runner-up"
    image = random_image(network, seed)
    return AttackInstance(network, image, 0.3, target, "pixels", goal=goal, **budget)


@pytest.mark.parametrize("formulation", ["tight", "paper"])
@pytest.mark.parametrize("goal", GOALS)
@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), budget=st.sampled_from(BUDGETS), untargeted=st.booleans())
def test_in_pixels_every_goal_within_every_budget_is_that_of_enumeration(
    goal: str, formulation: str, seed: int, budget: dict[str, Any], untargeted: bool
) -> None:
    instance = pixel_instance(goal, seed, budget, untargeted)
    check_with_enumeration(MilpAttack(formulation=formulation), instance)


@pytest.mark.parametrize("goal", GOALS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), budget=st.sampled_from(BUDGETS), untargeted=st.booleans())
def test_what_the_default_method_chooses_gives_the_optimum_of_enumeration(
    goal: str, seed: int, budget: dict[str, Any], untargeted: bool
) -> None:
    check_with_enumeration(AutoAttack(), pixel_instance(goal, seed, budget, untargeted))


@pytest.mark.parametrize("method", [MilpAttack, AutoAttack])
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    goal=st.sampled_from(["linf", "l1", "l0", "l0,linf"]),
    budget=st.sampled_from(BUDGETS),
)
def test_in_the_continuous_domain_distances_are_bounded_and_points_are_real(
    method: type[Attack], seed: int, goal: str, budget: dict[str, Any]
) -> None:
    network = random_network(seed, inputs=4, widths=(5, 3))
    image = random_image(network, seed)
    real = AttackInstance(network, image, 0.3, goal=goal, **budget)
    whole = AttackInstance(network, image, 0.3, domain="pixels", goal=goal, **budget)
    result, coarse = method()(real), MilpAttack()(whole)
    assert result.status is not Status.ERROR, result.message
    assert result.verified
    if coarse.flipped:
        # Whole levels are a part of the box: the bound may not exclude them.
        assert result.goal_bounds[0] is not None
        assert coarse.goal_values[0] is not None
        assert result.goal_bounds[0] <= coarse.goal_values[0] + 1e-6


@pytest.mark.parametrize(
    "text", ["", "margin,", "size", "2*", "-1*l1", "nan*l1", "l0,l1,linf", "margin+", "flip,l1"]
)
def test_a_goal_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BnnoptError):
        Goal.parse(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("direction", "up"),
        ("max_pixels", -1),
        ("max_pixels", 1.5),
        ("max_l1", float("nan")),
        ("mask", [True]),
        ("mask", [0.5, 1, 1, 1]),
        ("goal", "l3"),
    ],
)
def test_a_wrong_budget_is_refused(field: str, value: Any) -> None:
    network = random_network(0)
    with pytest.raises(BnnoptError, match=field.split("_", maxsplit=1)[0]):
        AttackInstance(network, random_image(network, 0), 0.1, **{field: value})

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnopt
from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer, Status
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips import BranchAndBound, PatternAttack
from bnnopt.attacks.milp import MilpAttack
from bnnopt.errors import InputError
from bnnopt.search.split import split
from bnnopt.search.tree_state import Tree
from tests.helpers import (
    best_continuous_margins,
    best_pixel_margin,
    random_image,
    random_network,
)

shapes = st.sampled_from([(4,), (4, 3), (3, 4, 3), (3, 3, 3, 3), (3, 3, 3, 3, 3)])
heads = st.sampled_from(["integer", "batchnorm"])
targets = st.sampled_from(["runner-up", "untargeted"])
seeds = st.integers(0, 10**6)


def instance_of(
    seed: int, widths: tuple[int, ...], head: str, target: str, domain: Any, epsilon: float = 0.3
) -> AttackInstance:
    network = random_network(seed, inputs=4, widths=widths, head=head)
    return AttackInstance(network, random_image(network, seed), epsilon, target, domain)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, widths=shapes, head=heads, target=targets)
def test_branch_and_bound_in_pixels_gives_the_optimum_of_enumeration(
    seed: int, widths: tuple[int, ...], head: str, target: str
) -> None:
    instance = instance_of(seed, widths, head, target, "pixels")
    result = BranchAndBound()(instance)
    assert result.status is Status.OPTIMAL
    assert result.objective == pytest.approx(best_pixel_margin(instance), abs=1e-9)
    assert result.verified


@settings(max_examples=30, deadline=None)
@given(seed=seeds, widths=shapes, target=targets, domain=st.sampled_from(["continuous", "pixels"]))
def test_threads_do_not_change_the_result(
    seed: int, widths: tuple[int, ...], target: str, domain: Any
) -> None:
    instance = instance_of(seed, widths, "integer", target, domain)
    one = BranchAndBound()(instance)
    three = BranchAndBound()(instance, Limits(threads=3))
    assert (one.status, one.objective, one.bound) == (three.status, three.objective, three.bound)


def test_threads_share_the_tree_of_a_real_image(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"epsilon": 0.01, "method": "bab", "time_limit": 120}
    image, parts = bnnopt.datasets.embedded().x(0), []

    def counted(tree: Tree, worth: float) -> Tree | None:
        parts.append(split(tree, worth))
        return parts[-1]

    monkeypatch.setattr("bnnopt.attacks.flips.target_trees.split", counted)
    one = bnnopt.attack("fashion-mnist-2x100", image, **options)
    assert parts == []
    two = bnnopt.attack("fashion-mnist-2x100", image, threads=2, **options)
    assert any(part is not None for part in parts)
    assert one.status is two.status is Status.OPTIMAL
    assert one.objective == two.objective


@pytest.mark.parametrize(("seed", "epsilon"), [(98, 0.3), (262, 0.3), (288, 0.45)])
@pytest.mark.parametrize("goal", ["margin", "flip"])
def test_a_set_whose_point_rounds_to_a_better_one_of_another_set_is_still_decided(
    seed: int, epsilon: float, goal: str
) -> None:
    network = random_network(seed, inputs=4, widths=(5, 3))
    image = random_image(network, seed)
    instance = AttackInstance(network, image, epsilon, "untargeted", "pixels", goal=goal)
    best = best_pixel_margin(instance)
    result = BranchAndBound()(instance)
    assert result.status is Status.OPTIMAL
    assert (result.objective > 0.0) == (best > 0.0)
    if goal == "margin":
        assert result.objective == best


@settings(max_examples=60, deadline=None)
@given(seed=seeds, widths=shapes, head=heads, target=targets, epsilon=st.floats(0.03, 0.5))
def test_its_bound_holds_for_every_pattern_of_the_closed_box(
    seed: int, widths: tuple[int, ...], head: str, target: str, epsilon: float
) -> None:
    instance = instance_of(seed, widths, head, target, "continuous", epsilon)
    inside, closed = best_continuous_margins(instance)
    result = BranchAndBound()(instance)
    assert result.status is not Status.ERROR, result.message
    assert result.bound is not None
    assert result.objective <= closed + 1e-9
    assert result.objective >= inside - 1e-5
    assert result.bound >= inside - 1e-6
    if inside == closed:
        assert result.status is Status.OPTIMAL
        assert result.objective == pytest.approx(inside, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, widths=shapes, head=heads, domain=st.sampled_from(["continuous", "pixels"]))
def test_pattern_search_never_passes_the_optimum_and_improves_the_image(
    seed: int, widths: tuple[int, ...], head: str, domain: Any
) -> None:
    instance = instance_of(seed, widths, head, "runner-up", domain)
    found = PatternAttack()(instance, Limits(time_limit=0.1))
    proved = BranchAndBound()(instance)
    assert found.verified
    assert found.bound is None
    assert found.start_objective <= found.objective <= proved.objective + 1e-5


@pytest.mark.parametrize(
    ("network", "target"),
    [
        ("fashion-mnist-2x100", "runner-up"),
        ("fashion-mnist-2x100", "untargeted"),
        ("fashion-mnist-3x100", "runner-up"),
    ],
)
def test_on_real_images_it_agrees_with_the_milp(network: str, target: str) -> None:
    images = bnnopt.datasets.embedded()
    options: dict[str, Any] = {"epsilon": 0.003, "target": target}
    for index in (1, 4):
        exact = bnnopt.attack(network, images.x(index), method="bab", **options)
        milp = bnnopt.attack(network, images.x(index), method="milp", **options)
        near = bnnopt.attack(network, images.x(index), method="pattern", time_limit=1, **options)
        assert exact.status is milp.status is Status.OPTIMAL
        assert exact.objective == milp.objective >= near.objective


def test_a_pattern_on_thresholds_only_stays_in_the_bound() -> None:
    network = BinarizedNetwork(
        (HiddenLayer([[1], [1]], [4, 5]),),
        OutputLayer([[-1, 1], [1, -1]], [1, 1], [0, 0]),
        levels=8,
    )
    result = BranchAndBound()(AttackInstance(network, [0.5], epsilon=0.125))
    assert result.status is not Status.ERROR
    assert result.bound is not None
    assert result.bound >= result.objective


@pytest.mark.parametrize("domain", ["continuous", "pixels"])
@pytest.mark.parametrize("attack", [BranchAndBound, PatternAttack])
def test_a_box_without_unstable_neurons_is_settled(attack: Any, domain: Any) -> None:
    network = random_network(4)
    image = random_image(network, 4)
    result = attack()(AttackInstance(network, image, 0.0, domain=domain))
    assert result.objective == result.start_objective
    assert np.array_equal(result.adversarial, image)


def test_a_flip_ends_the_search_and_its_absence_is_proved() -> None:
    images = bnnopt.datasets.embedded()
    options: dict[str, Any] = {"method": "bab", "goal": "flip", "target": "untargeted"}
    flip = bnnopt.attack("fashion-mnist-2x100", images.x(4), 0.006, **options)
    none = bnnopt.attack("fashion-mnist-2x100", images.x(1), 0.003, **options)
    assert flip.flipped
    assert flip.status is Status.OPTIMAL
    assert none.status is Status.INFEASIBLE
    assert none.bound is not None
    assert none.bound <= 0


def test_at_its_limit_it_keeps_a_point_and_a_sound_bound() -> None:
    image = bnnopt.datasets.embedded().x(0)
    options: dict[str, Any] = {"method": "bab", "time_limit": None}
    result = bnnopt.attack("fashion-mnist-2x100", image, 0.02, effort=2000, **options)
    more = bnnopt.attack("fashion-mnist-2x100", image, 0.02, effort=8000, **options)
    assert result.status is Status.FEASIBLE
    assert result.bound is not None
    assert result.bound > more.objective >= result.objective > result.start_objective


def test_a_point_to_begin_from_is_never_lost() -> None:
    images = bnnopt.datasets.embedded()
    start = bnnopt.attack("fashion-mnist-2x100", images.x(4), 0.005, method="pattern", time_limit=2)
    again = bnnopt.attack(
        "fashion-mnist-2x100",
        images.x(4),
        0.005,
        method="milp",
        start=start.adversarial,
        time_limit=0.05,
    )
    assert again.objective >= start.objective


def test_the_same_seed_gives_the_same_point() -> None:
    image = bnnopt.datasets.embedded().x(1)
    points = [
        bnnopt.attack(
            "fashion-mnist-2x100", image, 0.003, method="pattern", seed=3, time_limit=None
        )
        for _ in range(2)
    ]
    assert np.array_equal(points[0].adversarial, points[1].adversarial)


@pytest.mark.parametrize("attack", [BranchAndBound, PatternAttack])
def test_other_budgets_and_goals_are_an_error_that_names_the_remedy(attack: Any) -> None:
    network = random_network(1)
    image = random_image(network, 1)
    for options in ({"max_pixels": 2}, {"goal": "l0"}, {"goal": "l1,linf"}):
        with pytest.raises(InputError, match="milp"):
            attack()(AttackInstance(network, image, 0.3, **options))


@settings(max_examples=25, deadline=None)
@given(
    seed=seeds,
    domain=st.sampled_from(["continuous", "pixels"]),
    distance=st.sampled_from(["linf", "l1"]),
)
def test_the_smallest_distance_of_a_flip_is_that_of_the_milp(
    seed: int, domain: Any, distance: str
) -> None:
    network = random_network(seed, inputs=4, widths=(5, 3))
    instance = AttackInstance(
        network, random_image(network, seed), 0.5, "runner-up", domain, goal=distance
    )
    exact, milp = BranchAndBound()(instance), MilpAttack()(instance)
    found = PatternAttack()(instance, Limits(time_limit=1.0))
    assert exact.flipped == milp.flipped
    assert exact.status is not Status.ERROR
    if exact.status is milp.status is Status.OPTIMAL and exact.flipped:
        # Where the image is on a threshold the least distance is 0; solvers are off by 1e-6 a row.
        assert exact.distances[distance] == pytest.approx(
            milp.distances[distance], rel=3e-4, abs=2e-5
        )
        assert exact.goal_bounds[0] is not None
        assert exact.goal_bounds[0] <= exact.distances[distance] + 1e-9
        assert found.distances[distance] >= exact.goal_bounds[0] - 1e-9


def test_milp_and_tree_agree_on_random_networks_of_some_size() -> None:
    for seed in range(6):
        network = random_network(seed, inputs=30, widths=(20, 12, 8), levels=255)
        instance = AttackInstance(network, random_image(network, seed), 0.05)
        exact, milp = BranchAndBound()(instance), MilpAttack()(instance)
        assert exact.status is milp.status is Status.OPTIMAL
        assert exact.objective == milp.objective


def test_what_is_searched_within_a_box_never_waits_for_pyomo() -> None:
    code = """
import sys, numpy, bnnopt, bnnopt.campaign.local, bnnopt.campaign.task
network, image = bnnopt.zoo.load("fashion-mnist-2x100"), bnnopt.datasets.embedded().x(1)
for method, domain in (("auto", "continuous"), ("bab", "pixels"), ("pattern", "pixels")):
    bnnopt.attack(network, image, 0.004, method=method, domain=domain, time_limit=5)
bnnopt.certify(network, image, 0.002)
from bnnopt.attacks.reachability import Reachability
from bnnopt.instance import AttackInstance
Reachability(AttackInstance(network, image, 0.004), numpy.arange(3))
print("pyomo" in sys.modules)
bnnopt.attack(network, image, 0.02, max_pixels=40, time_limit=1)
print("pyomo" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("method", ["bab", "pattern", "auto"])
def test_better_points_are_told_as_they_come(method: str) -> None:
    told: list[tuple[float, float]] = []
    image = bnnopt.datasets.embedded().x(4)
    result = bnnopt.attack(
        "fashion-mnist-2x100",
        image,
        epsilon=0.005,
        method=method,
        time_limit=20,
        on_incumbent=lambda *point: told.append(point),
    )
    assert [margin for _, margin in told][-1] == result.objective
    assert told == sorted(told)
    assert len({margin for _, margin in told}) == len(told) > 1


def test_the_margins_of_smaller_boxes_are_not_told_as_distances() -> None:
    told: list[float] = []
    result = bnnopt.attack(
        "fashion-mnist-2x100",
        bnnopt.datasets.embedded().x(4),
        epsilon=0.01,
        goal="linf",
        method="bab",
        time_limit=20,
        on_incumbent=lambda _, objective: told.append(objective),
    )
    assert result.verified
    assert told == []

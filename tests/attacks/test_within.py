"""Every method in boxes of any sides (`within`) against enumeration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt import AttackInstance, Status
from tests.helpers import best_continuous_margins, random_network
from tests.test_within import points_of, whole_box


@pytest.mark.parametrize("method", ["bab", "milp", "pattern", "iprop", "pgd"])
@pytest.mark.parametrize("seed", range(12))
def test_every_method_agrees_with_enumeration_in_a_box(seed: int, method: str) -> None:
    network = random_network(seed, widths=(5, 3)[: 1 + seed % 2], levels=5)
    low, high, image = whole_box(seed, 5)
    question: dict[str, Any] = {
        "domain": "pixels",
        "target": "untargeted",
        "ties": "always",
        "source": seed % 3,
        "goal": "flip" if seed % 3 else "margin",
        "within": (low / 5, high / 5),
    }
    result = bnnopt.attack(network, image / 5, 1, method=method, time_limit=20, **question)
    instance = AttackInstance(network, image / 5, 1, **question)
    points = points_of(low, high)
    assert result.verified
    assert any((network.levels_of(result.adversarial)[0] == z).all() for z in points)
    best = instance.margins(points).max()
    assert result.objective <= best
    if result.bound is not None:
        assert result.bound >= best
    if method in ("bab", "milp"):
        wanted = result.objective == best if question["goal"] == "margin" else True
        assert wanted and result.flipped == instance.are_flips(points).any()
        assert result.status in (Status.OPTIMAL, Status.INFEASIBLE)


@pytest.mark.parametrize("goal", ["linf", "l1"])
@pytest.mark.parametrize("seed", range(8))
def test_the_smallest_distance_is_that_of_a_point_in_the_box(seed: int, goal: str) -> None:
    network = random_network(seed, widths=(5,), levels=5)
    low, high, image = whole_box(seed, 5)
    question: dict[str, Any] = {"domain": "pixels", "goal": goal, "target": "untargeted"}
    question["within"] = (low / 5, high / 5)
    result = bnnopt.attack(network, image / 5, 1, **question)
    instance = AttackInstance(network, image / 5, 1, **question)
    points = points_of(low, high)
    flips = points[instance.are_flips(points)]
    if not len(flips):
        assert result.status is Status.INFEASIBLE
        return
    assert result.status is Status.OPTIMAL
    assert result.goal_values[0] == pytest.approx(min(instance.distances(z)[goal] for z in flips))


@pytest.mark.parametrize("seed", range(12))
def test_continuous_searches_agree_with_linear_programs_in_a_box(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(seed, widths=(4, 3), levels=7)
    low, image, high = np.sort(rng.random((3, 4)), axis=0)
    box = (low, high)
    instance = AttackInstance(network, image, 1, "untargeted", within=box)
    result = bnnopt.attack(network, image, 1, target="untargeted", within=box)
    inside, closed = best_continuous_margins(instance)
    assert inside <= result.objective <= closed
    assert result.bound is not None and result.bound >= inside

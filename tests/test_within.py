"""Boxes of any sides (`within`): what they contain, and every method in them against enumeration."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bnnopt
from bnnopt import AttackInstance, Status
from bnnopt.errors import InputError
from bnnopt.network import GRID
from tests.helpers import best_continuous_margins, random_network

seeds = st.integers(0, 10**6)


def whole_box(seed: int, levels: int, inputs: int = 4) -> tuple[np.ndarray, ...]:
    """Lowest and highest whole levels, and a whole image between them."""
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.integers(0, levels + 1, (2, inputs)), axis=0)
    return low, high, rng.integers(low, high + 1)


def points_of(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    ranges = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    return np.array(list(product(*ranges)), dtype=np.float64)


@given(seed=seeds, epsilon=st.sampled_from(["1", "2/5", "0"]))
def test_a_box_of_whole_levels_is_what_epsilon_leaves_of_it(seed: int, epsilon: str) -> None:
    network = random_network(seed, widths=(3,), levels=5)
    low, high, image = whole_box(seed, 5)
    box = (low / 5, high / 5)
    instance = AttackInstance(network, image / 5, epsilon, domain="pixels", within=box)  # type: ignore[arg-type]
    reach = {"1": 5, "2/5": 2, "0": 0}[epsilon]
    for found in (instance.box, instance.point_box):
        assert (found[0] == np.maximum(low, image - reach)).all()
        assert (found[1] == np.minimum(high, image + reach)).all()
    for z in points_of(np.zeros(4), np.full(4, 5)):
        inside = (low <= z) & (z <= high) & (np.abs(z - image) <= reach)
        assert instance.admits(z / 5) == inside.all()
        assert instance.admits(instance.snap(z) / 5)
    again = pickle.loads(pickle.dumps(instance))
    assert (again.box[0] == instance.box[0]).all() and (again.box[1] == instance.box[1]).all()
    smaller = replace(instance, epsilon=0.2)
    assert (smaller.box[1] == np.minimum(high, image + 1)).all()


@given(seed=seeds)
def test_a_box_of_any_reals_has_what_the_network_sees_of_its_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(seed, widths=(3,), levels=[3, 7, 255][seed % 3])
    low, image, high = np.sort(rng.random((3, 4)), axis=0)
    high = np.where(rng.random(4) < 0.3, image, high)
    instance = AttackInstance(network, image, 1, within=(low, high))
    for share in rng.choice([0.0, 1.0, 0.3], (10, 4)):
        z = network.levels_of(low + share * (high - low))[0]
        assert (instance.box[0] <= z).all() and (z <= instance.box[1]).all()
    for z in instance.point_box:
        outside = np.maximum(low * network.levels - z, z - high * network.levels)
        seen = z == instance.levels  # the image's own level may be a rounded one
        assert (outside[~seen] <= 2.0**-30).all()
        assert (z * GRID == np.round(z * GRID)).all()
    assert (instance.box[1] - instance.point_box[1] <= 1.0 / GRID).all()
    assert (instance.point_box[0] - instance.box[0] <= 1.0 / GRID).all()


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


def test_what_is_no_box_around_the_image_is_refused() -> None:
    network = random_network(0)
    image = np.full(4, 0.5)
    zeros, ones = np.zeros(4), np.ones(4)
    wrong: list[Any] = [
        (zeros, np.full(4, 0.4)),
        (np.full(4, 0.6), ones),
        (zeros,),
        3,
        (zeros[:3], ones[:3]),
        (np.stack([zeros, zeros]), ones),
        (zeros, np.full(4, 1.5)),
        (zeros, np.full(4, np.nan)),
    ]
    for within in wrong:
        with pytest.raises(InputError):
            AttackInstance(network, image, 0.1, within=within)

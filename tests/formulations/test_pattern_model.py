"""The program of a sign pattern: its rows, its depth, budgets and whole levels."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import solvers
from bnnopt import AttackInstance
from bnnopt.attacks.reachability import Reach, Reachability
from bnnopt.formulations.pattern import SLACK, pattern_model
from tests.helpers import random_image, random_network

seeds = st.integers(0, 10**6)
domains = st.sampled_from(["continuous", "pixels"])


def instance_of(seed: int, domain: Any, **options: Any) -> AttackInstance:
    network = random_network(seed, inputs=4, widths=(5, 3), levels=7)
    return AttackInstance(network, random_image(network, seed), 0.3, domain=domain, **options)


def slack_at(instance: AttackInstance, neurons: Any, signs: np.ndarray, z: np.ndarray) -> float:
    """The smallest slack; off is a level below the threshold in whole levels."""
    layer = instance.network.hidden[0]
    sums = layer.weight[neurons] @ z - layer.threshold[neurons]
    step = 1.0 if instance.domain == "pixels" else 0.0
    return float(np.where(signs > 0, sums, np.where(signs < 0, -sums - step, np.inf)).min())


def deepest(instance: AttackInstance, neurons: Any, signs: np.ndarray, budget: float) -> float:
    """By another program: levels as changes up and down, and the slack."""
    layer, (low, high) = instance.network.hidden[0], instance.point_box
    n, image = len(low), instance.levels
    wanted = signs != 0
    weight = (signs[:, None] * layer.weight[neurons])[wanted]
    step = 1.0 if instance.domain == "pixels" else 0.0
    needs = np.where(signs > 0, layer.threshold[neurons], step - layer.threshold[neurons])[wanted]
    rows = np.hstack([-weight, weight, np.ones((len(weight), 1))])
    total = np.r_[np.ones(2 * n), 0.0][None]
    solved = linprog(
        np.r_[np.zeros(2 * n), -1.0],
        A_ub=np.vstack([rows, total]),
        b_ub=np.r_[weight @ image - needs, min(budget, 1e6)],
        bounds=[*[(0.0, h) for h in high - image], *[(0.0, f) for f in image - low], (None, 1e3)],
    )
    return float(-solved.fun)


@settings(max_examples=60)
@given(seed=seeds, domain=domains, budget=st.sampled_from([np.inf, 2.5, 6.0]))
def test_the_deepest_point_of_a_pattern_is_as_deep_as_it_can_be(
    seed: int, domain: Any, budget: float
) -> None:
    instance, rng = instance_of(seed, domain), np.random.default_rng(seed)
    neurons = np.sort(rng.permutation(5)[:3])
    most = SLACK * (3 if domain == "pixels" else 1)
    with Reachability(instance, neurons, max_l1=budget) as reachability:
        for _ in range(4):
            signs = rng.integers(-1, 2, 3).astype(np.int8)
            expected = min(deepest(instance, neurons, signs, budget), most)
            reach = reachability.test(signs)
            assert reach.slack == pytest.approx(expected, abs=1e-6)
            assert not reach.interrupted
            assert reach.point is not None
            assert reach.multipliers.min() >= 0.0
            assert not reach.multipliers[signs == 0].any()
            assert slack_at(instance, neurons, signs, reach.point) >= expected - 1e-6
            low, high = instance.point_box
            assert (reach.point >= low - 1e-6).all()
            assert (reach.point <= high + 1e-6).all()
            assert np.abs(reach.point - instance.levels).sum() <= budget + 1e-6
            if expected < -1e-3 and budget == np.inf:
                # The multipliers forbid any point of the box.
                layer, centre = instance.network.hidden[0], (low + high) / 2
                step = 1.0 if domain == "pixels" else 0.0
                rows = signs[:, None] * layer.weight[neurons]
                needs = np.where(signs > 0, 0.0, step) + signs * layer.threshold[neurons]
                pull = np.abs(reach.multipliers @ rows) @ ((high - low) / 2)
                assert pull < reach.multipliers @ (needs - rows @ centre)


@settings(max_examples=40)
@given(
    seed=seeds,
    budget=st.sampled_from([np.inf, 2.0, 5.0]),
    pixels=st.sampled_from([None, None, 0, 1, 2]),
)
def test_in_whole_levels_a_pattern_has_a_point_where_enumeration_finds_one(
    seed: int, budget: float, pixels: int | None
) -> None:
    instance, rng = instance_of(seed, "pixels"), np.random.default_rng(seed)
    low, high = instance.point_box
    ranges = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    points = np.array(list(product(*ranges)), dtype=float)
    points = points[np.abs(points - instance.levels).sum(axis=1) <= budget]
    if pixels is not None:
        points = points[(points != instance.levels).sum(axis=1) <= pixels]
    neurons = np.arange(5)
    limits: Any = {"max_l1": budget, "max_pixels": pixels, "whole": True}
    with Reachability(instance, neurons, **limits) as reachability:
        for _ in range(3):
            signs = rng.integers(-1, 2, 5).astype(np.int8)
            best = max(slack_at(instance, neurons, signs, z) for z in points)
            reach = reachability.test(signs)
            assert reach.slack == pytest.approx(min(best, 0.0), abs=1e-6)
            assert reach.point is not None
            z = np.round(reach.point)
            assert slack_at(instance, neurons, signs, z) >= reach.slack - 1e-6
            assert np.abs(z - instance.levels).sum() <= budget
            assert pixels is None or (z != instance.levels).sum() <= pixels


def test_what_is_known_of_a_pattern_is_complete_unless_it_says_otherwise() -> None:
    assert not Reach(None, None, np.zeros(1)).interrupted
    assert Reach(None, None, np.zeros(1)).most_slack is None


def test_bounds_may_be_others_and_depth_and_rows_are_as_stated() -> None:
    instance = instance_of(3, "continuous")
    low, high = instance.point_box
    model = pattern_model(instance, np.arange(2), box=(low - 1.0, high + 2.0))
    assert model.lower[:4].tolist() == (low - 1.0).tolist()
    assert model.upper[:4].tolist() == (high + 2.0).tolist()
    assert model.maximize
    assert model.upper[4] == SLACK
    assert not model.integer.any()
    whole = pattern_model(instance_of(3, "pixels"), np.arange(2), whole=True)
    assert whole.integer.tolist() == [True] * 4 + [False] * 3
    assert whole.upper[4] == 0.0
    split = pattern_model(instance_of(3, "pixels"), np.arange(2), whole=True, max_l1=3.0)
    assert split.integer.tolist() == [True] * 4 + [False] * 3 + [True] * 4
    assert solvers.CompiledModel is type(split)

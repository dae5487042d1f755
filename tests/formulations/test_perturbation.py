from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
from bnnopt import AttackInstance
from bnnopt.formulations.perturbation import perturbation_model
from tests.helpers import deepest_slack, random_image, random_network


def solved(instance: AttackInstance, target: np.ndarray) -> tuple[int, np.ndarray]:
    """The optimum, and how many targets the network meets at the point."""
    model = perturbation_model(instance, target.astype(np.int8))
    result = solvers.solve(model, "highs")
    z = instance.levels + np.array([p.value for p in model.p.values()])
    assert result.objective is not None
    return round(result.objective), z


def met_at(instance: AttackInstance, points: np.ndarray, target: np.ndarray) -> np.ndarray:
    signs = instance.network.hidden[0](points)
    return ((signs == target) & (target != 0)).sum(axis=1)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), epsilon=st.floats(0.0, 0.5))
def test_in_the_pixel_domain_the_optimum_is_that_of_enumeration(seed: int, epsilon: float) -> None:
    network = random_network(seed, inputs=4, widths=(5, 3))
    instance = AttackInstance(network, random_image(network, seed), epsilon, domain="pixels")
    target = np.random.default_rng(seed).integers(-1, 2, 5)
    low, high = instance.point_box
    ranges = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    points = np.array(list(product(*ranges)), dtype=np.float64)
    best, z = solved(instance, target)
    assert best == met_at(instance, points, target).max()
    assert met_at(instance, np.round(z)[None], target)[0] == best


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), epsilon=st.floats(0.02, 0.5))
def test_in_the_continuous_domain_no_pattern_meets_more_targets(seed: int, epsilon: float) -> None:
    network = random_network(seed, inputs=5, widths=(4, 3))
    instance = AttackInstance(network, random_image(network, seed), epsilon)
    target = np.random.default_rng(seed).integers(-1, 2, 4)
    patterns = np.array(list(product((-1, 1), repeat=4)))
    slacks = np.array([deepest_slack(instance, signs) for signs in patterns])
    met = ((patterns == target) & (target != 0)).sum(axis=1)
    best, _ = solved(instance, target)
    # Off is a thousandth of a level below the threshold, on may be right on it.
    assert met[slacks > 2e-3].max(initial=0) <= best <= met[slacks > -1e-5].max()


@pytest.mark.parametrize("budget", [{"max_pixels": 1}, {"max_l1": 0.2}])
def test_budgets_beside_the_box_hold(budget: dict[str, Any]) -> None:
    limited, free = 0, 0
    for seed in range(8):
        network = random_network(seed, inputs=6, widths=(5, 3))
        image = random_image(network, seed)
        instance = AttackInstance(network, image, 0.4, **budget)
        target = -network.hidden[0](instance.levels[None])[0]
        best, z = solved(instance, target)
        assert instance.admits(z / network.levels)
        limited += best
        free += solved(AttackInstance(network, image, 0.4), target)[0]
    assert 0 < limited < free

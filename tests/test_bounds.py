"""Interval bounds against all vertices of the box, budgets among them, and every reachable sign."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt import bounds as bounds_module
from bnnopt.bounds import count_unstable, interval_bounds, layer_bounds
from tests.helpers import random_image, random_network
from tests.kinds import admissible, networks
from tests.kinds import instance_of as of_kind

seeds = st.integers(0, 10**6)
BUDGETS: list[dict[str, Any]] = [
    {},
    {"max_pixels": 1},
    {"max_pixels": 2},
    {"max_pixels": 9},
    {"max_l1": 0.3},
    {"max_l1": 0.5, "max_pixels": 2},
    {"direction": "lighten", "max_pixels": 2},
    {"mask": [True, False, True, True], "max_l1": 0.4},
]


def instance_of(seed: int, epsilon: float, **options: Any) -> AttackInstance:
    network = random_network(seed, inputs=4, widths=(6, 4, 3), levels=[3, 7, 255][seed % 3])
    return AttackInstance(network, random_image(network, seed), epsilon, **options)


@settings(max_examples=80)
@given(seed=seeds, epsilon=st.sampled_from([0.0, 0.1, 0.3, 1.0]))
def test_bounds_of_a_box_are_reached_at_its_vertices(seed: int, epsilon: float) -> None:
    instance = instance_of(seed, epsilon)
    low, high = instance.box
    corners = np.array(list(product(*zip(low, high, strict=True))))
    layers = interval_bounds(instance)
    sums = corners @ instance.network.hidden[0].weight.T.astype(float)
    assert layers[0].lower == pytest.approx(sums.min(axis=0))
    assert layers[0].upper == pytest.approx(sums.max(axis=0))
    for before, layer, bounds in zip(layers, instance.network.hidden[1:], layers[1:], strict=False):
        choices = [(-1.0, 1.0) if sign == 0 else (float(sign),) for sign in before.sign]
        sums = np.array(list(product(*choices))) @ layer.weight.T.astype(float)
        assert bounds.lower == pytest.approx(sums.min(axis=0))
        assert bounds.upper == pytest.approx(sums.max(axis=0))
        assert bounds.unstable.tolist() == np.flatnonzero(bounds.sign == 0).tolist()


@settings(max_examples=80)
@given(
    seed=seeds, budget=st.sampled_from(BUDGETS), domain=st.sampled_from(["continuous", "pixels"])
)
def test_bounds_within_a_budget_are_the_best_that_it_pays_for(
    seed: int, budget: dict[str, Any], domain: Any
) -> None:
    instance = instance_of(seed, 0.3, domain=domain, **budget)
    (low, high), image = instance.box, instance.levels
    weight = instance.network.hidden[0].weight.astype(float)
    bounds = interval_bounds(instance)[0]
    for j, row in enumerate(weight):
        for sign, found in ((1.0, bounds.upper[j]), (-1.0, bounds.lower[j])):
            gains = np.sort(np.where(sign * row > 0, high - image, image - low))[::-1]
            total = gains[: instance.max_pixels].sum()
            assert found == pytest.approx(row @ image + sign * min(total, instance.l1_levels))
            assert sign * found >= sign * (row @ image) + min(total, instance.l1_levels) - 1e-12
    points = [instance.snap(z) for z in np.random.default_rng(seed).uniform(low, high, (20, 4))]
    sums = np.array(points) @ weight.T
    assert (sums >= bounds.lower - 1e-9).all()
    assert (sums <= bounds.upper + 1e-9).all()


@settings(max_examples=200)
@given(
    network=networks,
    seed=seeds,
    budget=st.sampled_from([{}, {"max_l1": "3/7"}, {"max_pixels": 2}, {"direction": "darken"}]),
    batch=st.sampled_from([1, 7, 2**22]),
)
def test_bounds_of_every_kind_of_first_layer_are_its_sums_extremes(
    network: BinarizedNetwork, seed: int, budget: dict[str, Any], batch: int
) -> None:
    instance = of_kind(network, seed, domain="pixels", **budget)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bounds_module, "BATCH", batch)
        found = interval_bounds(instance)
    sums = network.hidden[0].pre_activation(admissible(instance))
    assert np.array_equal(found[0].lower, sums.min(axis=0))
    assert np.array_equal(found[0].upper, sums.max(axis=0))


@settings(max_examples=200)
@given(
    network=networks, seed=seeds, budget=st.sampled_from([b for b in BUDGETS if "mask" not in b])
)
def test_bounds_of_every_kind_of_network_contain_its_points(
    network: BinarizedNetwork, seed: int, budget: dict[str, Any]
) -> None:
    instance = of_kind(network, seed, domain="pixels", **budget)
    values = admissible(instance)
    for layer, bounds in zip(network.hidden, interval_bounds(instance), strict=True):
        sums = layer.pre_activation(values)
        assert (sums >= bounds.lower).all() and (sums <= bounds.upper).all()
        values = layer(values)
        assert (values * bounds.sign >= 0).all()


@settings(max_examples=60)
@given(network=networks, seed=seeds, batch=st.sampled_from([1, 2**22]))
def test_neurons_are_counted_as_one_image_s_box_has_them(
    network: BinarizedNetwork, seed: int, batch: int
) -> None:
    images = [random_image(network, seed + k).reshape(network.input_shape) for k in range(4)]
    expected = [len(interval_bounds(AttackInstance(network, x, 0.25))[0].unstable) for x in images]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bounds_module, "BATCH", batch)
        assert count_unstable(network, np.array(images), 0.25).tolist() == expected


def test_a_sign_is_decided_where_no_sum_is_on_the_other_side() -> None:
    layer = HiddenLayer(np.ones((6, 2)), [0, 0, 0, 0, 0, 0])
    lower, upper = np.array([0.0, -0.5, -2.0, -2.0, -1.0, 1.0]), np.array([1.0, 1.0, 0, -0.5, 1, 2])
    assert layer_bounds(layer, lower, upper).sign.tolist() == [1, 0, 0, -1, 0, 1]


@settings(max_examples=40)
@given(seed=seeds, epsilon=st.sampled_from([0.0, 0.05, 0.3, 1.0]))
def test_unstable_neurons_of_many_images_are_those_of_each(seed: int, epsilon: float) -> None:
    network = instance_of(seed, 0.0).network
    images = np.stack([random_image(network, seed + step) for step in range(3)])
    expected = [
        int(interval_bounds(AttackInstance(network, image, epsilon))[0].unstable.size)
        for image in images
    ]
    assert count_unstable(network, images, epsilon).tolist() == expected


def test_at_the_edge_of_the_range_of_levels_counts_are_those_of_the_clipped_box() -> None:
    hidden = (HiddenLayer([[1], [1], [1], [1]], [-1, 1, 3, 5]),)
    network = BinarizedNetwork(hidden, OutputLayer(np.ones((2, 4)), [1, 1], [0, 0]), levels=4)
    counts = count_unstable(network, np.array([[0.0], [1.0], [0.5]]), 0.5)
    assert counts.tolist() == [1, 1, 2]  # levels 0 to 2, 2 to 4, 0 to 4

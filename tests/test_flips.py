from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bnnopt
from bnnopt import AttackInstance, BinarizedNetwork
from bnnopt.attacks.reachability import Reachability
from bnnopt.flips import Flips, first_layer_flips, flip_limits
from tests.helpers import random_image, random_network
from tests.kinds import admissible, instance_of, networks

domains: Any = st.sampled_from(["continuous", "pixels"])


def flipped_at(instance: AttackInstance, flips: Flips, z: np.ndarray) -> np.ndarray:
    signs = instance.network.hidden[0](z)[:, flips.neurons]
    return signs != flips.signs


@given(
    seed=st.integers(0, 10**6),
    epsilon=st.floats(0.02, 0.6),
    domain=domains,
)
def test_no_limit_removes_what_a_point_of_the_box_does(
    seed: int, epsilon: float, domain: Any
) -> None:
    network = random_network(seed, inputs=5, widths=(12,), levels=9)
    instance = AttackInstance(network, random_image(network, seed), epsilon, domain=domain)
    flips = first_layer_flips(instance)
    low, high = instance.point_box
    rng = np.random.default_rng(seed)
    points = [instance.snap(z) for z in rng.uniform(low, high, (300, 5))]
    corners = np.where(rng.integers(0, 2, (300, 5)) == 1, high, low)
    happened = flipped_at(instance, flips, np.vstack([*points, *corners]))
    for members, most in flip_limits(flips):
        assert happened[:, members].sum(axis=1).max() <= most


@given(network=networks, seed=st.integers(0, 10**6), domain=domains)
def test_no_limit_removes_what_a_point_does_in_networks_of_every_kind(
    network: BinarizedNetwork, seed: int, domain: Any
) -> None:
    instance = instance_of(network, seed, domain=domain)
    flips = first_layer_flips(instance)
    low, high = instance.point_box
    rng, points = np.random.default_rng(seed), admissible(instance)
    if domain == "continuous":
        more = [instance.snap(z) for z in rng.uniform(low, high, (100, len(low)))]
        points = np.vstack([points, *more])
    happened = flipped_at(instance, flips, points)
    for members, most in flip_limits(flips):
        assert happened[:, members].sum(axis=1).max() <= most


def test_on_a_real_network_limits_exist_and_vertices_of_the_box_respect_them() -> None:
    network = bnnopt.zoo.load("fashion-mnist-2x100")
    instance = AttackInstance(network, bnnopt.datasets.embedded().x(4), 0.006)
    flips = first_layer_flips(instance)
    limits = flip_limits(flips)
    assert {most for _, most in limits} == {1, 3}
    low, high = instance.point_box
    rng = np.random.default_rng(0)
    # Vertices that pull a few random neurons over their thresholds flip many at once.
    pulls = [flips.weight[rng.choice(len(flips.demand), 4)].sum(axis=0) for _ in range(500)]
    happened = flipped_at(instance, flips, np.where(np.array(pulls) > 0, low, high))
    assert happened.sum(axis=1).max() >= 4
    for members, most in limits:
        assert happened[:, members].sum(axis=1).max() <= most


@pytest.mark.parametrize("seed", range(5))
def test_limits_of_three_hold_for_each_four_of_their_members(seed: int) -> None:
    network = random_network(seed, inputs=40, widths=(14,), levels=15)
    instance = AttackInstance(network, random_image(network, seed), 0.2)
    flips = first_layer_flips(instance)
    pairs = [set(m) for m, most in flip_limits(flips) if most == 1]
    for members, most in flip_limits(flips):
        for four in combinations(members, 4) if most == 3 else ():
            by_pair = any(len(set(four) & pair) > 1 for pair in pairs)
            assert by_pair or flips.are_conflicts(np.array([four]))[0]


@given(seed=st.integers(0, 10**6), epsilon=st.floats(0.05, 0.5))
def test_a_pattern_has_a_point_or_multipliers_refute_it(seed: int, epsilon: float) -> None:
    network = random_network(seed, inputs=5, widths=(6,), levels=9)
    instance = AttackInstance(network, random_image(network, seed), epsilon)
    flips = first_layer_flips(instance)
    rng = np.random.default_rng(seed)
    with Reachability(instance, flips.neurons) as reachability:
        for _ in range(5):
            flipped = rng.integers(0, 2, len(flips.neurons)) == 1
            reach = reachability.test(np.where(flipped, -flips.signs, flips.signs).astype(np.int8))
            assert reach.slack is not None
            if reach.slack > 1e-4:
                assert reach.point is not None
                z = instance.snap(reach.point)[None]
                assert np.array_equal(flipped_at(instance, flips, z)[0], flipped)
                assert not flips.refutes(flipped, reach.multipliers)
            elif reach.slack < -1e-4:
                assert flips.refutes(flipped, reach.multipliers)

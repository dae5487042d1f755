from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt import AttackInstance, BinarizedNetwork, OutputLayer, zoo
from bnnopt.bounds import count_unstable, interval_bounds
from bnnopt.errors import BnnoptError, InputError, UnknownNameError
from bnnopt.network import GRID
from tests.helpers import random_image, random_network

networks = st.builds(
    lambda seed, depth: random_network(seed, inputs=5, widths=(5, 4, 3, 4)[:depth]),
    st.integers(0, 10**6),
    st.integers(1, 4),
)
epsilons = st.sampled_from([0.0, 0.01, 0.1, 1 / 7, 2 / 7, 0.4, 1.0])
domains = st.sampled_from(["continuous", "pixels"])


def points(instance: AttackInstance, count: int, seed: int) -> np.ndarray:
    """Random admissible levels, half of them vertices of the box."""
    rng = np.random.default_rng(seed)
    low, high = instance.point_box
    shares = rng.random((count, len(low)))
    shares[: count // 2] = shares[: count // 2] < 0.5
    return np.stack([instance.snap(low + share * (high - low)) for share in shares])


@given(network=networks, epsilon=epsilons, domain=domains, seed=st.integers(0, 99))
def test_every_point_lies_in_the_box_and_within_the_budget(
    network: BinarizedNetwork, epsilon: float, domain: Any, seed: int
) -> None:
    image = random_image(network, seed)
    instance = AttackInstance(network, image, epsilon, domain=domain)
    low, high = instance.box
    for z in points(instance, 10, seed):
        assert np.all((low <= z) & (z <= high))
        x = z / network.levels
        assert np.max(np.abs(x - image)) <= epsilon + 1e-12
        assert np.all((x >= 0) & (x <= 1))
        assert np.all(z * GRID == np.round(z * GRID))
        if domain == "pixels":
            assert np.all(z == np.round(z))


@given(network=networks, epsilon=epsilons, domain=domains, seed=st.integers(0, 99))
def test_interval_bounds_contain_every_point_and_stable_neurons_never_flip(
    network: BinarizedNetwork, epsilon: float, domain: Any, seed: int
) -> None:
    instance = AttackInstance(network, random_image(network, seed), epsilon, domain=domain)
    layers = interval_bounds(instance)
    values = points(instance, 20, seed)
    for layer, bounds in zip(network.hidden, layers, strict=True):
        sums = layer.pre_activation(values)
        assert np.all((sums >= bounds.lower - 1e-9) & (sums <= bounds.upper + 1e-9))
        values = layer(values)
        stable = bounds.sign != 0
        assert np.all(values[:, stable] == bounds.sign[stable])


@given(network=networks, epsilon=epsilons, seed=st.integers(0, 99))
def test_unstable_neurons_are_counted_for_many_images_as_for_one(
    network: BinarizedNetwork, epsilon: float, seed: int
) -> None:
    images = np.stack([random_image(network, seed + step) for step in range(3)])
    expected = [
        len(interval_bounds(AttackInstance(network, image, epsilon))[0].unstable)
        for image in images
    ]
    assert count_unstable(network, images, epsilon).tolist() == expected


def test_the_runner_up_is_the_second_logit_with_the_lowest_index_on_ties() -> None:
    base = random_network(0, classes=4)
    weight = np.ones((4, 3))
    h = base.activations(random_image(base, 0))[-1].astype(float)
    output = OutputLayer(weight, np.ones(4), np.array([1, 5, 3, 3]))
    network = BinarizedNetwork(base.hidden, output, base.levels)
    instance = AttackInstance(network, random_image(base, 0), 0.1)
    assert h.shape == (3,)
    assert instance.source == 1
    assert instance.targets == (2,)
    untargeted = AttackInstance(network, random_image(base, 0), 0.1, target="untargeted")
    assert untargeted.targets == (0, 2, 3)


def test_an_epsilon_of_whole_levels_reaches_them_in_spite_of_rounding() -> None:
    network = zoo.load("fashion-mnist-2x100")
    image = np.full(784, 100 / 255)
    for steps in range(1, 100):
        instance = AttackInstance(network, image, steps / 255, domain="pixels")
        low, high = instance.point_box
        assert (low[0], high[0]) == (100 - steps, 100 + steps)


def test_epsilon_zero_leaves_one_point_and_one_leaves_every_image() -> None:
    network = random_network(2)
    image = random_image(network, 1)
    for domain in ("continuous", "pixels"):
        fixed = AttackInstance(network, image, 0.0, domain=domain)  # type: ignore[arg-type]
        free = AttackInstance(network, image, 1.0, domain=domain)  # type: ignore[arg-type]
        assert np.array_equal(fixed.point_box[0], fixed.point_box[1])
        assert np.array_equal(fixed.box[0], fixed.levels)
        assert free.box[0].tolist() == [0] * 4
        assert free.box[1].tolist() == [7] * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": -0.1}, "from 0 to 1, not -0.1"),
        ({"epsilon": 1.1}, "lie in \\[0, 1\\]"),
        ({"epsilon": float("nan")}, '"8/255", not nan'),
        ({"ties": "sometimes"}, "unknown ties"),
        ({"source": 7}, "source must be a class number"),
        ({"domain": "pixel"}, "did you mean 'pixels'"),
        ({"target": "second"}, "runner-up, untargeted"),
        ({"target": 3}, "a class number from 0 to 2"),
        ({"target": -1}, "a class number from 0 to 2"),
        ({"target": "source"}, "unknown target"),
        ({"image": [0.3, 0.3, 0.3, 0.3], "domain": "pixels"}, "whole levels"),
        ({"image": np.zeros((2, 4))}, "one image"),
    ],
)
def test_a_wrong_instance_is_refused(options: dict[str, Any], message: str) -> None:
    network = random_network(0)
    arguments = {"image": random_image(network, 0), "epsilon": 0.1} | options
    with pytest.raises(BnnoptError, match=message):
        AttackInstance(network, **arguments)


def test_the_prediction_itself_is_no_target() -> None:
    network = random_network(0)
    image = random_image(network, 0)
    with pytest.raises(InputError, match="already the prediction"):
        AttackInstance(network, image, 0.1, target=network.predict(image))
    with pytest.raises(UnknownNameError):
        AttackInstance(network, image, 0.1, domain="discrete")  # type: ignore[arg-type]


def test_epsilon_is_exactly_what_was_written() -> None:
    network = zoo.load("fashion-mnist-2x100")
    image = np.full(784, 102 / 255)
    # 102/255 and a tenth are a half: 127.5 levels, which float64 sums miss.
    for epsilon in (0.1, "0.1", "1/10", np.float32(0.1), Fraction(1, 10)):
        low, high = AttackInstance(network, image, epsilon).box  # type: ignore[arg-type]
        assert (low[0], high[0]) == (76.5, 127.5)
    for epsilon in (8 / 255, "8/255"):
        low, high = AttackInstance(network, image, epsilon).box  # type: ignore[arg-type]
        assert (low[0], high[0]) == (94.0, 110.0)


def test_a_budget_between_grid_values_is_rounded_out_for_bounds_and_in_for_points() -> None:
    network = random_network(0)
    image = np.full(4, 3 / 7)
    instance = AttackInstance(network, image, "1/3", max_l1="1/3")
    exact, step = Fraction(7, 3), Fraction(1, 2**20)
    (low, high), (inner_low, inner_high) = instance.box, instance.point_box
    assert Fraction(high[0]) - 3 - step < exact < Fraction(high[0]) - 3
    assert Fraction(inner_high[0]) - 3 < exact < Fraction(inner_high[0]) - 3 + step
    assert (low[0], inner_low[0]) == (6 - high[0], 6 - inner_high[0])
    assert Fraction(instance.l1_point_levels) < exact < Fraction(instance.l1_levels)


@given(seed=st.integers(0, 10**6), levels=st.sampled_from([1, 7, 255, 65535]))
def test_every_image_within_epsilon_is_seen_within_the_box(seed: int, levels: int) -> None:
    # Also images between grid values, which are seen as the nearer one, and their changes too.
    rng = np.random.default_rng(seed)
    network = random_network(seed % 50, levels=levels)
    steps = Fraction(1, levels * 2**20)
    base = [int(k) for k in rng.integers(0, levels * 2**20 - 4, 4)]
    image = np.array([float((k + Fraction(1, 2)) * steps) for k in base])
    epsilon = float(rng.integers(1, 4) * steps)
    instance = AttackInstance(network, image, epsilon)
    for sign in rng.choice([-1.0, 1.0], (6, 4)):
        changed = image + sign * epsilon
        if np.all((changed >= 0) & (changed <= 1)):
            z = network.levels_of(changed)[0]
            assert np.all((instance.box[0] <= z) & (z <= instance.box[1]))
            assert instance.admits(changed)


def test_a_given_source_is_the_class_that_flips_leave() -> None:
    network = random_network(0, classes=4)
    image = random_image(network, 0)
    predicted = network.predict(image)
    other = (predicted + 1) % 4
    instance = AttackInstance(network, image, 0.1, source=other, target="untargeted")
    assert instance.source == other
    assert other not in instance.targets
    # The prediction beats it at the image already.
    assert instance.are_flips(instance.levels[None])[0]


def test_class_names_are_targets_and_sources() -> None:
    network = zoo.load("fashion-mnist-2x100")
    image = np.full(784, 102 / 255)
    instance = AttackInstance(network, image, 0.1, target="Bag", source="Shirt")
    assert (instance.target, instance.source) == (8, 6)
    with pytest.raises(UnknownNameError, match="did you mean 'Sandal'"):
        AttackInstance(network, image, 0.1, target="Sandals")

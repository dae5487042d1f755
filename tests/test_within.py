"""Boxes of any sides (`within`): what they contain, and what is no such box."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt import AttackInstance
from bnnopt.errors import InputError
from bnnopt.network import GRID
from tests.helpers import random_network

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


def test_whole_levels_lie_within_sides_up_to_rounding() -> None:
    network = random_network(0, levels=5)
    low = np.array([0.17, 0.2 + 1e-13, 0.2, 0.2 - 1e-13])
    high = np.array([0.83, 0.8 - 1e-13, 0.8, 0.8 + 1e-13])
    instance = AttackInstance(network, np.full(4, 0.4), 1, domain="pixels", within=(low, high))
    for found in (instance.box, instance.point_box):
        assert found[0].tolist() == [1.0, 1.0, 1.0, 1.0]
        assert found[1].tolist() == [4.0, 4.0, 4.0, 4.0]
    levels = np.array([1, 0, 2, 1])
    again = AttackInstance(network, levels, 1, within=(levels, levels + 3))
    assert np.array_equal(again.within, (levels / 5, (levels + 3) / 5))  # type: ignore[arg-type]
    assert (again.point_box[1] == levels + 3).all()


def test_an_image_on_a_side_lies_within() -> None:
    network = random_network(0, levels=5)
    image = np.array([0.3, 0.1, 0.5, 0.7])
    for within in ((image, np.ones(4)), (np.zeros(4), image), (image, image)):
        assert AttackInstance(network, image, 1, within=within).admits(image)
    degenerate = AttackInstance(network, image, 1, within=(image, image))
    assert (degenerate.point_box[0] == degenerate.point_box[1]).all()
    assert (degenerate.reach <= 1.0 / GRID).all()


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

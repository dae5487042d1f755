"""Whole-number arithmetic on a pattern's cell, against all images of whole levels."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import solvers
from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.attacks.exact_cell import ExactCell, _solve
from bnnopt.attacks.reachability import Reachability
from tests.helpers import random_image, random_network
from tests.kinds import admissible, instance_of, networks

seeds = st.integers(0, 10**6)
limits = st.sampled_from([None, 0.2, 0.5, 1.0])
NEURONS = np.array([0, 2, 3])


def setting(seed: int, domain: Any, max_l1: float | None) -> tuple[AttackInstance, np.ndarray, Any]:
    network = random_network(seed, inputs=4, widths=(4,), levels=7)
    instance = AttackInstance(
        network, random_image(network, seed), "2/7", domain=domain, max_l1=max_l1
    )  # type: ignore[arg-type]
    signs = np.random.default_rng(seed).choice([-1, 1], 3).astype(np.int8)
    return instance, signs, ExactCell(instance, NEURONS, signs)


def images(instance: AttackInstance) -> np.ndarray:
    low, high = instance.box
    ranges = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    points = np.array(list(product(*ranges)), dtype=float)
    return points[np.abs(points - instance.levels).sum(axis=1) <= instance.l1_levels]


def has_signs(instance: AttackInstance, signs: np.ndarray, points: np.ndarray) -> np.ndarray:
    return (instance.network.hidden[0](points)[:, NEURONS] == signs).all(axis=1)


@settings(max_examples=100)
@given(seed=seeds, domain=st.sampled_from(["continuous", "pixels"]), max_l1=limits)
def test_a_cell_has_the_points_that_the_network_gives_its_signs(
    seed: int, domain: Any, max_l1: float | None
) -> None:
    instance, signs, cell = setting(seed, domain, max_l1)
    points = images(instance)
    expected = has_signs(instance, signs, points)
    assert [cell.has_levels(z) for z in points] == expected.tolist()


@settings(max_examples=150)
@given(seed=seeds, domain=st.sampled_from(["continuous", "pixels"]), max_l1=limits)
def test_no_multipliers_refute_a_cell_that_has_an_image(
    seed: int, domain: Any, max_l1: float | None
) -> None:
    instance, signs, cell = setting(seed, domain, max_l1)
    points, rng = images(instance), np.random.default_rng(seed)
    has_image = has_signs(instance, signs, points).any()
    weight = signs[:, None] * instance.network.hidden[0].weight[NEURONS]
    threshold = instance.network.hidden[0].threshold[NEURONS]
    step = 2.0**20 if domain == "continuous" else 1.0
    needs = np.where(signs > 0, threshold, -threshold + 1.0 / step)
    for multipliers in (np.eye(3)[0], np.ones(3), rng.integers(0, 4, 3) * 0.25):
        refuted = cell.is_refuted_by(multipliers)
        assert not (refuted and has_image)
        pulls = points @ (multipliers @ weight)
        if max_l1 is None:  # of a box, the largest pull is at a vertex, which is an image
            assert refuted == (pulls.max() < multipliers @ needs)
        if pulls.max() >= multipliers @ needs:
            assert not refuted
    assert not cell.is_refuted_by(np.zeros(3))
    assert not cell.is_refuted_by(-np.ones(3))


@settings(max_examples=60)
@given(seed=seeds, domain=st.sampled_from(["continuous", "pixels"]), max_l1=limits)
def test_what_a_program_refutes_by_more_than_rounding_is_refuted_exactly(
    seed: int, domain: Any, max_l1: float | None
) -> None:
    instance, signs, cell = setting(seed, domain, max_l1)
    with Reachability(instance, NEURONS, max_l1=instance.l1_levels) as reachability:
        reached = reachability.test(signs)
    assert reached.slack is not None
    assert cell.is_refuted_by(reached.multipliers) >= (reached.slack < -1e-3)
    if reached.slack > 1e-3:
        assert not cell.is_refuted_by(reached.multipliers)
        assert reached.point is not None
        if domain == "continuous":
            z = cell.point_near(reached.point, None)
            assert z is not None
            assert cell.has_levels(z)
            assert instance.admits(z / 7.0)
            assert np.abs(z - reached.point).max() <= 4.0 / 2**20


def test_the_most_of_a_budget_is_what_the_best_levels_make_of_it() -> None:
    for seed in range(40):
        instance, _, cell = setting(seed, "pixels", [0.2, 0.5, 1.0][seed % 3])
        points = images(instance).astype(int)
        rng = np.random.default_rng(seed)
        for _ in range(5):
            pull = rng.integers(-5, 6, 4).astype(object)
            assert cell._most(pull) >= max(int(pull @ z) for z in points)
            # Whole levels pay for themselves one by one: the bound is reached.
            assert cell._most(pull) == max(int(pull @ z) for z in points)


@settings(max_examples=100)
@given(seed=seeds, max_l1=st.sampled_from([None, 0.2, 0.5]), still=st.booleans())
def test_a_point_that_is_known_to_be_near_is_found_within_the_budget(
    seed: int, max_l1: float | None, still: bool
) -> None:
    instance, _, _ = setting(seed, "continuous", max_l1)
    rng = np.random.default_rng(seed)
    low, high = instance.point_box
    z = rng.uniform(low, high) * (rng.random(4) < 0.7)
    z = instance.snap(np.where(rng.random(4) < 0.5, np.clip(z, low, high), instance.levels))
    signs = instance.network.hidden[0](z[None])[0][NEURONS].astype(np.int8)
    cell = ExactCell(instance, NEURONS, signs)
    moves = np.abs(z - instance.levels) > 8.0 / 2**20
    away = rng.integers(-2, 3, 4) * (moves if still else 1) / 2.0**20
    found = cell.point_near(z + away, None, still=still)
    if not still or (z[~moves] == instance.levels[~moves]).all():
        assert found is not None
    if found is not None:
        assert cell.has_levels(found)
        assert (low <= found).all()
        assert (found <= high).all()
        assert np.abs(found - instance.levels).sum() <= instance.l1_point_levels
        assert np.abs(found - z - away).max() <= 5.5 / 2**20
        assert not still or (found[~moves] == instance.levels[~moves]).all()


@settings(max_examples=150)
@given(
    network=networks,
    seed=seeds,
    domain=st.sampled_from(["continuous", "pixels"]),
    max_l1=st.sampled_from([None, "3/7"]),
)
def test_cells_of_every_kind_are_refuted_only_where_they_have_no_image(
    network: BinarizedNetwork, seed: int, domain: Any, max_l1: Any
) -> None:
    instance = instance_of(network, seed, domain=domain, max_l1=max_l1)
    rng, layer = np.random.default_rng(seed), network.hidden[0]
    neurons = np.sort(rng.permutation(len(layer.threshold))[:3])
    signs = rng.choice([-1, 1], len(neurons)).astype(np.int8)
    cell, points = ExactCell(instance, neurons, signs), admissible(instance)
    expected = (layer(points)[:, neurons] == signs).all(axis=1)
    assert [cell.has_levels(z) for z in points] == expected.tolist()
    with Reachability(instance, neurons, max_l1=instance.l1_levels) as reachability:
        reached = reachability.test(signs)
    assert reached.slack is not None
    refuted = cell.is_refuted_by(reached.multipliers)
    assert not (refuted and expected.any())
    assert refuted >= (reached.slack < -1e-3)
    if reached.slack > 1e-3 and domain == "continuous":
        assert reached.point is not None
        z = cell.point_near(reached.point, None)
        assert z is not None
        assert cell.has_levels(z)


@pytest.mark.parametrize("size", [1, 2**15 - 1])
def test_multipliers_of_large_weights_and_of_many_rows_do_not_overflow(size: int) -> None:
    count = 3000
    weight = np.zeros((count, 2), dtype=int)
    weight[:, 0], weight[::2, 1] = size, 1
    layer = HiddenLayer(weight, np.full(count, 3 * size))
    output = OutputLayer(np.ones((2, count)), np.ones(2), np.zeros(2))
    network = BinarizedNetwork((layer,), output, levels=255)
    instance = AttackInstance(network, np.zeros(2), "2/255", domain="pixels")
    cell = ExactCell(instance, np.arange(count), np.ones(count, dtype=np.int8))
    # Each row of one weight needs three levels, and two are there.
    assert cell.is_refuted_by(np.ones(count)) == (size > 2)
    assert cell.is_refuted_by(np.arange(count) % 2.0)
    assert cell.has(np.array([3, 0]))
    assert not cell.has(np.array([2, 2**20])) or size == 1


def test_what_a_solver_finds_nearly_whole_is_taken_as_whole() -> None:
    class Nearly:
        def session(self, _: Any) -> Any:
            return nullcontext(self)

        def solve(self, _: Any) -> Any:
            values = SimpleNamespace(array=np.array([2.9999999, 1.0000001, 0.0]))
            return SimpleNamespace(values=values, interrupted=False)

    rows = csr_array(np.ones((1, 3), dtype=np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solvers, "get", lambda _: Nearly())
        found = _solve(rows, np.array([4]), np.array([3, 3, 3]), None)
    assert found is not None
    assert found.tolist() == [3, 1, 0]
    assert _solve(rows, np.array([10]), np.array([3, 3, 3]), None) is None
    nine = _solve(rows, np.array([9]), np.array([3, 3, 3]), None)
    assert nine is not None
    assert nine.tolist() == [3, 3, 3]

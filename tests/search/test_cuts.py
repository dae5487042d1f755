"""Spaces whose neurons look at one pixel each, against all of their images."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.bounds import interval_bounds
from bnnopt.network import GRID
from bnnopt.search.space import (
    BoxSpace,
    BudgetSpace,
    CutSpace,
    has_cuts_only,
    neuron_space,
    space_of,
)
from tests.helpers import random_image, random_network, whole_rows
from tests.search.cases import is_excluded, subsets

LEVELS, PIXELS = 7, 4

seeds = st.integers(0, 10**6)
options: Any = st.fixed_dictionaries(
    {
        "domain": st.sampled_from(["continuous", "pixels"]),
        "direction": st.sampled_from(["both", "both", "lighten", "darken"]),
        "max_l1": st.sampled_from([None, None, "2/7", "5/7", "1/3"]),
        "max_pixels": st.sampled_from([None, None, 0, 1, 2]),
    }
)


def network_of(rng: np.random.Generator) -> BinarizedNetwork:
    """Up to four neurons a pixel; one that looks at two pixels, and does not turn."""
    pixel = np.repeat(np.arange(PIXELS), rng.integers(0, 5, PIXELS))
    weight = rng.choice([-3, -2, -1, 1, 2, 3], len(pixel))
    rows = np.zeros((len(pixel) + 1, PIXELS), dtype=int)
    rows[np.arange(len(pixel)), pixel] = weight
    rows[-1, :2] = 1
    threshold = weight * rng.integers(0, LEVELS + 1, len(pixel)) + rng.integers(0, 3, len(pixel))
    hidden = (HiddenLayer(csr_array(rows), np.append(threshold, rng.choice([-99, 99]))),)
    head = OutputLayer(rng.choice([-1, 1], (2, len(rows))), np.ones(2), np.zeros(2))
    return BinarizedNetwork(hidden, head, levels=LEVELS)


def instance_of(seed: int, some: dict[str, Any]) -> AttackInstance:
    """Pixels move by up to four levels; those of the continuous domain begin anywhere."""
    rng = np.random.default_rng(seed)
    network = network_of(rng)
    levels = rng.integers(0, LEVELS + 1, PIXELS).astype(float)
    if some["domain"] == "continuous" and rng.random() < 0.5:
        levels = rng.uniform(0, LEVELS, PIXELS)
    epsilon = rng.choice(["1/7", "2/7", "4/7", "0.3"])
    mask = rng.random(PIXELS) < 0.8 if rng.random() < 0.5 else None
    return AttackInstance(network, levels / LEVELS, epsilon, mask=mask, **some)


def levels_of(instance: AttackInstance) -> list[list[float]]:
    """For each pixel all levels that matter: those on either side of where a neuron turns."""
    layer, (low, high) = instance.network.hidden[0], instance.box
    step = 1 if instance.domain == "pixels" else int(GRID)
    found: list[set[int]] = [set() for _ in range(PIXELS)]
    for row, threshold in zip(whole_rows(layer), layer.threshold.tolist(), strict=True):
        if np.count_nonzero(row) == 1:
            at = int(np.flatnonzero(row)[0])
            turning = Fraction(threshold * step) / int(row[at])
            found[at] |= {turning.__floor__() + more for more in (-1, 0, 1, 2)}
    ends = np.stack([low, high, instance.levels])
    values = [{*ends[:, i].tolist(), *(v / step for v in found[i])} for i in range(PIXELS)]
    inside = zip(values, low.tolist(), high.tolist(), strict=True)
    return [sorted(v for v in some if a <= v <= b) for some, a, b in inside]


def images_of(instance: AttackInstance) -> np.ndarray:
    """Of such levels; within the budgets."""
    points = np.array(list(product(*levels_of(instance))))
    moved = np.abs(points - instance.levels)
    most = PIXELS if instance.max_pixels is None else instance.max_pixels
    kept = (moved.sum(axis=1) <= instance.l1_levels) & ((moved > 0).sum(axis=1) <= most)
    return points[kept]


def cut_space(instance: AttackInstance, most: int | None = None) -> CutSpace:
    space = space_of(instance, most)
    assert isinstance(space, CutSpace)
    return space


def sets_of(space: CutSpace) -> list[np.ndarray]:
    """All that the space allows, as coordinates."""
    k = len(space.region.demand)
    sets = [s for s in subsets(range(k)) if not is_excluded(space.region, s)]
    return [np.isin(np.arange(k), members).astype(float) for members in sets]


@settings(max_examples=100)
@given(seed=seeds, some=options)
def test_each_image_has_a_set_within_the_budgets_and_each_such_set_is_that_of_its_point(
    seed: int, some: dict[str, Any]
) -> None:
    instance = instance_of(seed, some)
    space, layer = cut_space(instance), instance.network.hidden[0]
    assert space.is_complete
    assert space.neurons.tolist() == interval_bounds(instance)[0].unstable.tolist()
    assert space.origin.tolist() == layer(instance.levels[None])[0].tolist()
    sets = {u.tobytes() for u in sets_of(space)}
    for z in images_of(instance):
        u = space.unit(z)
        assert u.tobytes() in sets
        rows, signs = space.pattern(u), layer(z[None])[0]
        assert (space.origin + rows.astype(float) @ space.shift).tolist() == signs.tolist()
        assert space.signs(rows).tolist() == signs[space.neurons].tolist()
    for u in sets_of(space):
        z = space.point(u)
        assert instance.admits(z / LEVELS)
        assert instance.domain == "pixels" or (z * GRID == np.round(z * GRID)).all()
        assert space.unit(z).tolist() == u.tolist()
        rows = space.pattern(u)
        assert rows.tolist() == (u == 1.0).tolist()
        signs = layer(z[None])[0]
        assert (space.origin + rows.astype(float) @ space.shift).tolist() == signs.tolist()


@settings(max_examples=60)
@given(seed=seeds, some=options)
def test_flips_cost_what_the_nearest_level_that_makes_them_costs(
    seed: int, some: dict[str, Any]
) -> None:
    instance = instance_of(seed, some)
    space, step = cut_space(instance), 1.0 if some["domain"] == "pixels" else GRID
    least = np.full(len(space.region.demand), np.inf)
    for i, levels in enumerate(levels_of(instance)):
        for level in levels:
            z = instance.levels.copy()
            z[i] = level
            made = space.pattern(space.unit(z))
            assert made.sum() <= 1
            least[made] = np.minimum(least[made], abs(level - instance.levels[i]))
    for at in range(len(least)):  # a point moves its pixel by no more than that
        u = np.eye(len(least))[at]
        assert np.abs(space.point(u) - instance.levels).sum() == least[at]
    expected = [least * step] if some["max_l1"] else []
    expected += [np.ones(len(least))] if some["max_pixels"] is not None else []
    assert space.region.cost.T.tolist() == [cost.tolist() for cost in expected]
    most = [instance.l1_levels * step] if some["max_l1"] else []
    most += [some["max_pixels"]] if some["max_pixels"] is not None else []
    assert space.region.most.tolist() == most


@settings(max_examples=60)
@given(seed=seeds, some=options)
def test_a_set_near_another_has_one_flip_a_pixel_and_is_within_the_budgets(
    seed: int, some: dict[str, Any]
) -> None:
    instance = instance_of(seed, some)
    space, rng = cut_space(instance), np.random.default_rng(seed)
    sets = sets_of(space)
    allowed, differ = {u.tobytes() for u in sets}, 0
    for _ in range(30):
        u = sets[rng.integers(len(sets))]
        near = space.near(u, rng)
        assert near.tobytes() in allowed
        differ += near.tolist() != u.tolist()
    assert differ > 0 or len(sets) < 4


@settings(max_examples=60)
@given(seed=seeds, some=options, most=st.integers(0, 6))
def test_of_many_flips_those_are_kept_that_move_a_pixel_least(
    seed: int, some: dict[str, Any], most: int
) -> None:
    instance = instance_of(seed, some)
    whole, space = cut_space(instance), cut_space(instance, most)
    k = len(whole.region.demand)
    assert space.is_complete == (most >= k)
    assert len(space.region.demand) == min(most, k)

    def moves(of: CutSpace) -> list[float]:
        units = np.eye(len(of.region.demand))
        return [float(np.abs(of.point(u) - instance.levels).sum()) for u in units]

    assert sorted(moves(space)) == sorted(moves(whole))[:most]
    for u in sets_of(space):
        z = space.point(u)
        assert instance.admits(z / LEVELS)
        assert space.unit(z).tolist() == u.tolist()
        signs = instance.network.hidden[0](z[None])[0]
        assert (space.origin + u @ space.shift).tolist() == signs.tolist()
        assert whole.unit(z).sum() == u.sum()


@settings(max_examples=40)
@given(seed=seeds, some=options)
def test_nothing_but_the_set_counts(seed: int, some: dict[str, Any]) -> None:
    space = cut_space(instance_of(seed, some))
    k, rng = len(space.region.demand), np.random.default_rng(seed)
    flipped = rng.random(k) < 0.5
    assert space.found(flipped, np.zeros(0)).tolist() == flipped.astype(float).tolist()
    assert set(space.distance(rng.random(k)).tolist()) <= {1.0}
    signs = rng.choice([-1, 1], len(space.neurons)).astype(np.int8)
    assert not space.refutes(signs, rng.random(len(space.neurons)))
    assert (space.pairs() == space.region.excludes).all()
    assert len(space.region.radius) == 0


def test_cuts_are_where_each_neuron_that_can_turn_looks_at_one_pixel() -> None:
    eye = csr_array(np.eye(3, dtype=int))
    two = csr_array(np.array([[1, 0, 0], [0, 1, -1], [0, 0, 1]]))
    head = OutputLayer(np.ones((2, 3)), np.ones(2), np.zeros(2))
    for rows, threshold, epsilon, expected in (
        (eye, [3, 3, 3], "3/7", True),
        (two, [3, 3, 3], "3/7", False),
        (two, [3, 9, 3], "3/7", True),  # it does not turn
        (two, [3, 1, 3], 0, True),
        (np.ones((3, 3), dtype=int), [9, 9, 9], "3/7", False),
        (np.ones((3, 3), dtype=int), [99, 99, 99], "3/7", True),
    ):
        network = BinarizedNetwork((HiddenLayer(rows, threshold),), head, levels=LEVELS)
        instance = AttackInstance(network, [3 / 7] * 3, epsilon)
        assert has_cuts_only(instance) == expected
        assert isinstance(space_of(instance), CutSpace if expected else BoxSpace)
    one = BinarizedNetwork(
        (HiddenLayer(np.ones((3, 1), dtype=int), [2, 3, 5]),), head, levels=LEVELS
    )
    assert isinstance(space_of(AttackInstance(one, [3 / 7], "3/7")), CutSpace)


@pytest.mark.parametrize(("max_l1", "kind"), [(0.4, BudgetSpace), (4.0, BoxSpace)])
def test_neurons_of_many_pixels_have_a_box_or_what_a_budget_leaves_of_it(
    max_l1: float, kind: Any
) -> None:
    network = random_network(1, inputs=4, widths=(5, 3))
    instance = AttackInstance(network, random_image(network, 1), 0.45, max_l1=max_l1)
    assert isinstance(space_of(instance), kind)
    assert isinstance(neuron_space(instance_of(3, {"domain": "pixels"})), BoxSpace)

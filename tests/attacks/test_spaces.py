"""Boxes and budgets as the kernel has them: coordinates, the budget's row, refutations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import ndtr

from bnnopt import AttackInstance
from bnnopt.bounds import interval_bounds
from bnnopt.flips import flip_origin, pair_conflicts
from bnnopt.search.space import BoxSpace, BudgetSpace, neuron_space
from tests import kinds
from tests.helpers import random_image, random_network, whole_rows

seeds = st.integers(0, 10**6)
budgets = st.sampled_from([None, 0.1, 0.5, 1.0, 1.6, 9.0])
directions = st.sampled_from(["both", "lighten", "darken"])
domains: Any = st.sampled_from(["continuous", "pixels"])
firsts = st.sampled_from(["signs", "signs", "ternary", "convolution", "whole"])


def instance_of(
    seed: int, first: str, max_l1: float | None, direction: Any, domain: Any
) -> AttackInstance:
    """Weights of -1 and 1 in the first layer, or others."""
    options: dict[str, Any] = {"max_l1": max_l1, "direction": direction, "domain": domain}
    if first != "signs":
        return kinds.instance_of(kinds.network_of(seed, first), seed, **options)
    network = random_network(seed, inputs=4, widths=(6, 3), levels=7)
    return AttackInstance(network, random_image(network, seed), 0.45, **options)


def rows_of(instance: AttackInstance, space: BoxSpace | BudgetSpace) -> tuple[Any, Any]:
    """Weights and thresholds of the neurons that can flip."""
    layer = instance.network.hidden[0]
    return whole_rows(layer)[space.neurons], layer.threshold[space.neurons]


@settings(max_examples=80)
@given(seed=seeds, first=firsts, max_l1=budgets, direction=directions, domain=domains)
def test_coordinates_are_levels_and_the_last_row_is_the_budget(
    seed: int, first: str, max_l1: float | None, direction: Any, domain: Any
) -> None:
    instance = instance_of(seed, first, max_l1, direction, domain)
    space = neuron_space(instance)
    flips, k = space.flips, len(space.neurons)
    region, (low, high) = space.region, instance.box
    is_whole = instance.reach.sum() <= instance.l1_levels
    assert isinstance(space, BoxSpace if is_whole else BudgetSpace)
    assert region.always == (0 if is_whole else 1)
    weight, threshold = rows_of(instance, space)
    rng = np.random.default_rng(seed)
    step = 1.0 if domain == "pixels" else 0.0
    for _ in range(5):
        u = rng.uniform(-1.0, 1.0, len(region.radius))
        z = space.point(u)
        # Rows by the coordinates are sums by the levels; where p and q both move, both count.
        fall = region.weight @ (region.radius * u)
        over = flips.signs * (weight @ z - threshold)
        flips_by = np.where(flips.signs > 0, over + step, over)
        assert (fall[:k] + region.demand[:k]) == pytest.approx(flips_by)
        assert (fall[:k] + region.stay_demand[:k]) == pytest.approx(flips_by - step)
        if not is_whole:
            spent = region.radius @ (1.0 + u)
            assert fall[k] + region.demand[k] == pytest.approx(spent - instance.l1_levels)
            assert np.abs(z - instance.levels).sum() <= spent + 1e-9
        z = rng.uniform(low, high)
        assert space.point(space.unit(z)) == pytest.approx(z)
        if not is_whole:
            unit = space.unit(z)
            assert unit.min(initial=0.0) >= -1.0 - 1e-12
            assert unit.max(initial=0.0) <= 1.0 + 1e-12
            spent = region.radius @ (1.0 + unit)
            assert spent == pytest.approx(np.abs(z - instance.levels).sum())
        inside = space.point(space._inside(space.unit(z))) - instance.levels
        total = np.abs(z - instance.levels).sum()
        if is_whole or total <= instance.l1_levels:
            assert inside == pytest.approx(z - instance.levels)
        else:
            assert np.abs(inside).sum() == pytest.approx(instance.l1_levels)
            assert inside == pytest.approx((z - instance.levels) * instance.l1_levels / total)
    if not is_whole:
        assert region.weight.shape == (k + 1, len(region.radius))
        assert (region.weight[-1] == 1.0).all()
        share = min(instance.l1_levels / region.radius.sum(), 1.0)
        assert (region.rate > 0.0) == (share < 1.0)
        if share > 0.0:  # so large a share of a normal distribution is beyond it on either side
            assert 2.0 * ndtr(-region.rate) == pytest.approx(share)


@settings(max_examples=60)
@given(seed=seeds, first=firsts, max_l1=budgets, direction=directions, domain=domains)
def test_points_have_the_sets_that_their_neurons_say(
    seed: int, first: str, max_l1: float | None, direction: Any, domain: Any
) -> None:
    instance = instance_of(seed, first, max_l1, direction, domain)
    space, layer = neuron_space(instance), instance.network.hidden[0]
    weight, threshold = rows_of(instance, space)
    rng, always = np.random.default_rng(seed), space.region.always
    assert space.is_complete
    assert sorted(space.neurons) == interval_bounds(instance)[0].unstable.tolist()
    assert space.origin.tolist() == layer(flip_origin(instance)[None])[0].tolist()
    for _ in range(5):
        u = rng.uniform(-1.0, 1.0, len(space.region.radius))
        if always:
            u = space._inside(u)
        z = space.point(u)
        signs, rows = layer(z[None])[0], space.pattern(u)
        assert rows[len(space.neurons) :].tolist() == [True] * always
        assert (space.origin + rows.astype(float) @ space.shift).tolist() == signs.tolist()
        assert space.signs(rows).tolist() == signs[space.neurons].tolist()
        past = weight @ z - threshold
        if domain == "pixels":  # a neuron that is on turns a level below its threshold
            past += space.flips.signs > 0
        assert space.distance(u) == pytest.approx(np.abs(past))
        assert space.found(rows, u) is u
        near = space.point(space.near(u, rng))
        low, high = instance.box
        assert (near >= low - 1e-9).all() and (near <= high + 1e-9).all()
        assert np.abs(near - instance.levels).sum() <= instance.l1_levels + 1e-9
    assert space.pairs().tolist() == pair_conflicts(space.rows).tolist()
    assert space.pairs().shape == (len(space.region.demand),) * 2


@pytest.mark.parametrize("max_l1", [None, 1.0])
def test_of_many_neurons_the_easiest_are_kept_and_what_they_say_proves_nothing(
    max_l1: float | None,
) -> None:
    instances = [instance_of(n, "signs", max_l1, "both", "continuous") for n in range(99)]
    instance = next(i for i in instances if len(neuron_space(i).neurons) > 3)
    space = neuron_space(instance)
    k = len(space.neurons)
    for most in range(k + 2):
        fewer = neuron_space(instance, most)
        assert fewer.is_complete == (most >= k)
        assert fewer.neurons.tolist() == space.neurons[max(k - most, 0) :].tolist()
        assert len(fewer.region.demand) == min(most, k) + fewer.region.always
        assert fewer.origin.tolist() == space.origin.tolist()
        assert fewer.shift.shape == (len(fewer.region.demand), len(space.origin))


def most_within(instance: AttackInstance, rows: np.ndarray) -> float:
    """The largest pull of levels within box and budget, from the image."""
    low, high = instance.box
    up, down = high - instance.levels, instance.levels - low
    cost = np.concatenate([-rows, rows])
    solved = linprog(
        cost,
        A_ub=np.ones((1, 2 * len(up))),
        b_ub=[min(instance.l1_levels, 1e6)],
        bounds=[*[(0.0, u) for u in up], *[(0.0, d) for d in down]],
    )
    return float(-solved.fun)


@settings(max_examples=80)
@given(seed=seeds, first=firsts, max_l1=budgets, direction=directions)
def test_multipliers_refute_a_set_exactly_where_the_budget_does_not_pay_for_it(
    seed: int, first: str, max_l1: float | None, direction: Any
) -> None:
    instance = instance_of(seed, first, max_l1, direction, "continuous")
    space = neuron_space(instance)
    k, rng = len(space.neurons), np.random.default_rng(seed)
    if k == 0:
        return
    weight, threshold = rows_of(instance, space)
    for _ in range(5):
        wanted = rng.choice([-1, 1], k).astype(np.int8)
        multipliers = rng.integers(0, 3, k).astype(float)
        rows = (multipliers * wanted) @ weight
        needed = float((multipliers * wanted) @ (threshold - weight @ instance.levels))
        gap = needed - most_within(instance, rows)
        refuted = space.refutes(wanted, multipliers)
        if abs(gap) > 1e-5:
            assert refuted == (gap > 0.0 and multipliers.max() > 0.0)

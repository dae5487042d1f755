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
from bnnopt.search.problem import sorted_flips
from bnnopt.search.space import BoxSpace, BudgetSpace, space_of
from tests.helpers import random_image, random_network

seeds = st.integers(0, 10**6)
budgets = st.sampled_from([None, 0.1, 0.5, 1.0, 1.6, 9.0])
directions = st.sampled_from(["both", "lighten", "darken"])


def instance_of(seed: int, max_l1: float | None, direction: Any, domain: Any) -> AttackInstance:
    network = random_network(seed, inputs=4, widths=(6, 3), levels=7)
    image = random_image(network, seed)
    return AttackInstance(network, image, 0.45, max_l1=max_l1, direction=direction, domain=domain)


@settings(max_examples=60)
@given(
    seed=seeds,
    max_l1=budgets,
    direction=directions,
    domain=st.sampled_from(["continuous", "pixels"]),
)
def test_coordinates_are_levels_and_the_last_row_is_the_budget(
    seed: int, max_l1: float | None, direction: Any, domain: Any
) -> None:
    instance = instance_of(seed, max_l1, direction, domain)
    flips = sorted_flips(instance)
    space, k = space_of(instance, flips), len(flips.neurons)
    region, (low, high) = space.region, instance.box
    is_whole = instance.reach.sum() <= instance.l1_levels
    assert isinstance(space, BoxSpace if is_whole else BudgetSpace)
    assert region.always == (0 if is_whole else 1)
    weight = instance.network.hidden[0].weight[flips.neurons]
    threshold = instance.network.hidden[0].threshold[flips.neurons]
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
            assert unit.min() >= -1.0 - 1e-12 and unit.max() <= 1.0 + 1e-12
            spent = region.radius @ (1.0 + unit)
            assert spent == pytest.approx(np.abs(z - instance.levels).sum())
        inside = space.point(space.inside(space.unit(z))) - instance.levels
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
@given(seed=seeds, max_l1=budgets, direction=directions)
def test_multipliers_refute_a_set_exactly_where_the_budget_does_not_pay_for_it(
    seed: int, max_l1: float | None, direction: Any
) -> None:
    instance = instance_of(seed, max_l1, direction, "continuous")
    flips = sorted_flips(instance)
    k, rng = len(flips.neurons), np.random.default_rng(seed)
    if k == 0:
        return
    space = space_of(instance, flips)
    layer = instance.network.hidden[0]
    weight, threshold = layer.weight[flips.neurons], layer.threshold[flips.neurons]
    for _ in range(5):
        flipped = rng.random(k) < 0.6
        multipliers = rng.integers(0, 3, k).astype(float)
        wanted = np.where(flipped, -flips.signs, flips.signs)
        rows = (multipliers * wanted) @ weight
        needed = float((multipliers * wanted) @ (threshold - weight @ instance.levels))
        gap = needed - most_within(instance, rows)
        refuted = space.refutes(flipped, multipliers)
        if abs(gap) > 1e-5:
            assert refuted == (gap > 0.0 and multipliers.max() > 0.0)

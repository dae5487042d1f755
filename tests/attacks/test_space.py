from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import bnnopt
from bnnopt import AttackInstance, Status
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips import BranchAndBound, PatternAttack
from bnnopt.attacks.milp import MilpAttack
from bnnopt.search.bound import margin_of
from bnnopt.search.reach import REACHED, REFUTED, decide_pattern
from bnnopt.search.space import BoxSpace, BudgetSpace, neuron_space, space_of
from bnnopt.search.terms import margin_terms
from bnnopt.search.tree import advance
from bnnopt.search.tree_state import new_tree
from bnnopt.search.workspace import new_workspace
from tests.helpers import best_rank, random_image, random_network

seeds = st.integers(0, 10**6)
shapes = st.sampled_from([(5,), (5, 3), (5, 4, 3)])
budgets = st.floats(0.05, 1.6)
directions = st.sampled_from(["both", "lighten", "darken"])


def instance_of(seed: int, widths: tuple[int, ...] = (5, 3), **options: Any) -> AttackInstance:
    network = random_network(seed, inputs=4, widths=widths)
    return AttackInstance(network, random_image(network, seed), 0.45, **options)


@settings(max_examples=120, deadline=None)
@given(
    seed=seeds,
    widths=shapes,
    max_l1=budgets,
    direction=directions,
    goal=st.sampled_from(["margin", "flip", "linf", "l1"]),
    target=st.sampled_from(["runner-up", "untargeted"]),
)
def test_within_an_l1_budget_in_pixels_every_goal_is_that_of_enumeration(
    seed: int, widths: tuple[int, ...], max_l1: float, direction: Any, goal: str, target: str
) -> None:
    instance = instance_of(
        seed,
        widths,
        domain="pixels",
        max_l1=max_l1,
        direction=direction,
        goal=goal,
        target=target,
    )
    result = BranchAndBound()(instance)
    best = best_rank(instance)
    assert result.status is (Status.OPTIMAL if np.isfinite(best[0]) else Status.INFEASIBLE)
    assert result.verified
    if instance.sought.needs_flip:
        assert result.flipped == np.isfinite(best[0])
    if np.isfinite(best[0]) and goal != "flip":
        mine = instance.rank(instance.network.levels_of(result.adversarial)[0])
        assert mine[0] == pytest.approx(best[0])


@settings(max_examples=60, deadline=None)
@given(seed=seeds, widths=shapes, max_l1=budgets, direction=directions)
def test_within_an_l1_budget_the_tree_and_the_milp_agree_and_bound_all_points(
    seed: int, widths: tuple[int, ...], max_l1: float, direction: Any
) -> None:
    instance = instance_of(seed, widths, max_l1=max_l1, direction=direction)
    exact, milp = BranchAndBound()(instance), MilpAttack()(instance)
    assert exact.verified
    assert exact.bound is not None
    assert milp.bound is not None
    assert exact.objective <= milp.bound + 1e-6
    assert milp.objective <= exact.bound + 1e-6
    if exact.status is milp.status is Status.OPTIMAL:
        assert exact.objective == milp.objective
    rng, (low, high) = np.random.default_rng(seed), instance.point_box
    points = [instance.snap(z) for z in rng.uniform(low, high, (50, len(low)))]
    assert all(instance.admits(z / instance.network.levels) for z in points)
    assert instance.margins(np.array(points)).max() <= exact.bound
    found = PatternAttack()(instance, Limits(time_limit=0.5))
    assert found.objective <= exact.bound


def slack_within(instance: AttackInstance, neurons: Any, signs: Any) -> float:
    """The largest smallest slack of a pattern within box and budget, by another program."""
    layer, (low, high) = instance.network.hidden[0], instance.box
    n, image = len(low), instance.levels
    weight, threshold = layer.weight[neurons], layer.threshold[neurons]
    # Columns: changes, their sizes, the slack.
    rows = np.hstack(
        [-signs[:, None] * weight, np.zeros((len(neurons), n)), np.ones((len(neurons), 1))]
    )
    above = np.hstack([np.eye(n), -np.eye(n), np.zeros((n, 1))])
    below = np.hstack([-np.eye(n), -np.eye(n), np.zeros((n, 1))])
    total = np.r_[np.zeros(n), np.ones(n), 0.0][None]
    solved = linprog(
        np.r_[np.zeros(2 * n), -1.0],
        A_ub=np.vstack([rows, above, below, total]),
        b_ub=np.r_[signs * (weight @ image - threshold), np.zeros(2 * n), instance.l1_levels],
        bounds=[*zip(low - image, high - image, strict=True), *[(0, None)] * n, (None, 1.0)],
    )
    return float(-solved.fun)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, max_l1=budgets, direction=directions)
def test_points_are_within_the_budget_and_certificates_hold_for_all_of_it(
    seed: int, max_l1: float, direction: Any
) -> None:
    instance = instance_of(seed, (6, 3), max_l1=max_l1, direction=direction)
    space = neuron_space(instance)
    flips, region = space.flips, space.region
    k, of_targets = len(flips.neurons), margin_terms(instance, space.origin, space.shift)
    assert of_targets is not None
    terms = of_targets[instance.targets[0]]
    reachable = set()
    for members in [s for size in range(k + 1) for s in combinations(range(k), size)]:
        flipped = np.zeros(len(region.demand), dtype=bool)
        flipped[list(members)] = True
        flipped[k:] = True
        u, multipliers = np.zeros(len(region.radius)), np.zeros(len(region.demand))
        verdict = decide_pattern(region, flipped, 0.5, 0.05, u, multipliers)
        signs = np.where(flipped[:k], -flips.signs, flips.signs)
        slack = slack_within(instance, flips.neurons, signs)
        if verdict == REACHED:
            z = instance.snap(space.point(u))
            assert slack > 0
            assert instance.admits(z / instance.network.levels)
            assert np.array_equal(instance.network.hidden[0](z[None])[0][flips.neurons], signs)
            reachable.add(tuple(np.flatnonzero(flipped).tolist()))
        if verdict == REFUTED:
            assert slack < 1e-6
            assert space.refutes(signs, multipliers[:k])
    tree, found = new_tree(region, terms), {tuple(range(k, k + region.always))}
    work = new_workspace(region, terms)
    while advance(region, terms, tree, work, -np.inf, 10**6) != 0:
        found.add(tuple(np.flatnonzero(tree.found).tolist()))
    assert reachable <= found
    assert margin_of(terms, terms.surplus) * instance.of_margins.unit == pytest.approx(
        float(instance.margins(instance.levels[None])[0])
    ) or isinstance(space, BoxSpace)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, max_l1=budgets, direction=directions)
def test_units_and_levels_are_one_to_one_inside_the_budget(
    seed: int, max_l1: float, direction: Any
) -> None:
    instance = instance_of(seed, max_l1=max_l1, direction=direction)
    space = neuron_space(instance)
    low, high = instance.box
    z = np.random.default_rng(seed).uniform(low, high)
    assert space.point(space.unit(z)) == pytest.approx(z)
    inside = instance.snap(space.point(space._inside(space.unit(z))))
    assert instance.admits(inside / instance.network.levels)


def test_a_budget_that_all_of_the_box_is_within_is_no_budget() -> None:
    for max_l1, kind in ((0.4, BudgetSpace), (4.0, BoxSpace)):
        instance = instance_of(1, max_l1=max_l1)
        assert isinstance(space_of(instance), kind)


def test_the_smallest_l1_distance_of_a_real_image_is_proved() -> None:
    result = bnnopt.attack(
        "fashion-mnist-2x100",
        bnnopt.datasets.embedded().x(4),
        epsilon=0.02,
        goal="l1",
        time_limit=60,
    )
    assert result.status is Status.OPTIMAL
    assert result.flipped
    (bound,) = result.goal_bounds
    assert bound is not None
    assert bound <= result.distances["l1"] <= bound * 1.0001
    assert (
        bnnopt.certify(
            "fashion-mnist-2x100", bnnopt.datasets.embedded().x(4), 0.02, max_l1=0.99 * bound
        ).classes[result.target]
        == "robust"
    )

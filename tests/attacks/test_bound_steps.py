"""Bounds of searches that stop anywhere, against enumeration on tiny networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, AttackResult, Status
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips import branch_and_bound
from bnnopt.attacks.flips.bound_steps import BoundSteps
from bnnopt.attacks.flips.branch_and_bound import BranchAndBound
from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.flips.target_trees import TargetTrees
from bnnopt.search import quadratic
from bnnopt.search.terms import without_idle
from tests.attacks.test_tiny import images, instance_of
from tests.helpers import best_continuous_margins

seeds = st.integers(0, 10**6)
heads = st.sampled_from(["integer", "batchnorm"])
targets = st.sampled_from(["runner-up", "untargeted"])
shapes = st.sampled_from([(5,), (6, 4), (6, 3, 4)])


@pytest.fixture(autouse=True)
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns of a node; and not compiled, as many steps as in a search would take long."""
    monkeypatch.setattr(quadratic, "LINEAR_STEPS", 4)
    monkeypatch.setattr(branch_and_bound, "NODES", 1)
    monkeypatch.setattr(branch_and_bound, "CLIMBS", 0)
    monkeypatch.setattr(branch_and_bound, "LATER", 10**9)
    monkeypatch.setattr(branch_and_bound, "BOUND_STEPS", 1)
    monkeypatch.setattr("bnnopt.attacks.flips.target_trees.PAIRS", 1)


def check_bounds(result: AttackResult, best: float) -> None:
    """All of them hold, each is lower than the one before, and the last is the result's."""
    unit = 1e-9 * max(abs(best), 1e-6)
    assert result.message == ""
    assert result.bounds[-1][1] == result.bound
    assert result.objective <= best + unit
    for (before, higher), (after, lower) in pairwise(result.bounds):
        assert before <= after
        assert higher > lower
    assert all(bound >= best - unit for _, bound in result.bounds)


@settings(max_examples=15)
@given(seed=seeds, widths=shapes, head=heads, target=targets, threads=st.integers(1, 2))
def test_after_any_number_of_nodes_bounds_hold_for_all_images(
    seed: int, widths: tuple[int, ...], head: str, target: str, threads: int
) -> None:
    instance = instance_of(seed, widths, head, "pixels", target=target)
    best = float(instance.margins(images(instance)).max())
    effort, status = 0, Status.FEASIBLE
    while status is not Status.OPTIMAL:
        effort += 1
        result = BranchAndBound()(instance, Limits(effort=effort, threads=threads))
        check_bounds(result, best)
        status = result.status
        assert effort < 300


@settings(max_examples=15)
@given(seed=seeds, widths=shapes, head=heads, effort=st.integers(1, 12))
def test_in_the_continuous_domain_they_hold_for_all_patterns_that_have_images(
    seed: int, widths: tuple[int, ...], head: str, effort: int
) -> None:
    instance = instance_of(seed, widths, head, "continuous")
    inside, _ = best_continuous_margins(instance)
    check_bounds(BranchAndBound()(instance, Limits(effort=effort)), inside)


@settings(max_examples=20)
@given(seed=seeds, widths=shapes, head=heads, lift=st.integers(-3, 0))
def test_each_step_ends_with_a_lower_bound_that_holds_until_the_search_itself_is_next(
    seed: int, widths: tuple[int, ...], head: str, lift: int
) -> None:
    instance = instance_of(seed, widths, head, "pixels")
    search, best = searching(instance), float(instance.margins(images(instance)).max())
    (target,), unit = instance.targets, instance.of_margins.unit
    steps = BoundSteps(search, {target: without_idle(search.terms[target])})
    no_flips = search.margin(target, ())  # which no tree visits
    # From the best point on nothing is found; from any less, sets are found that are better.
    search.best = min(best, best + lift * unit)
    before, nodes = steps.ceiling[target], -1
    while steps.nodes > nodes or before > steps.ceiling[target]:
        before, nodes = steps.ceiling[target], steps.nodes
        steps.visit(target, search.largest_margin(target), 10**6, map)
        assert steps.ceiling[target] <= before
        claims = [steps.ceiling[target], search.best, search.closed[target], no_flips]
        assert best <= max(claims) + 1e-9 * unit
    assert not steps._steps


def searching(instance: AttackInstance) -> FlipSearch:
    return FlipSearch(instance, Limits(), np.zeros((0, instance.network.num_inputs)))


def test_a_step_goes_part_of_the_way_and_as_far_as_its_nodes_say() -> None:
    instance = next(
        instance_of(seed, (6, 4), "integer", "pixels")
        for seed in range(99)
        if searching(instance_of(seed, (6, 4), "integer", "pixels")).num_flips > 3
    )
    search, (target,) = searching(instance), instance.targets
    lattice: Any = search.margins.lattice(target)
    steps = BoundSteps(search, {target: without_idle(search.terms[target])})
    wanted, step = search.wanted(target), lattice[1]
    assert steps._next(target, wanted + 80.0 * step) == wanted + 70.0 * step
    assert steps._next(target, wanted + 40.0 * step) == wanted + 30.0 * step
    assert steps._next(target, wanted + 12.0 * step) == wanted + 6.0 * step  # half of the way
    for last, nodes, drop in (
        (None, 50, 10.0),
        (20, 40, 10.0),  # as it should grow
        (20, 20, 20.0),
        (20, 19, 20.0),
        (20, 160, 5.0),  # a third, but not less than half
        (20, 57, 10.0 * np.log(2.0) / np.log(57 / 20)),
        (0, 1, 20.0),
    ):
        steps._drops[target] = 10.0
        steps._last = {} if last is None else {target: last}
        done = steps._steps[target] = _ended(nodes, wanted + step)
        steps._end(target)
        assert steps._drops[target] == pytest.approx(drop)
        assert steps._last[target] == nodes
        assert steps.ceiling[target] == wanted
        assert done.nodes == nodes
    assert steps.nodes == 50 + 40 + 20 + 19 + 160 + 57 + 1


def test_nodes_of_trees_that_have_ended_are_counted() -> None:
    searches = (searching(instance_of(seed, (6, 4), "integer", "pixels")) for seed in range(99))
    search = next(search for search in searches if search.num_flips > 3)
    (target,) = search.terms
    trees = TargetTrees(search, target, without_idle(search.terms[target]))
    seen = [trees.nodes]
    while trees.trees:
        trees.visit(1, map)
        seen.append(trees.nodes)
    assert seen == sorted(seen)
    assert trees.nodes > 0


class _ended:  # noqa: N801 - stands for trees that have ended
    def __init__(self, nodes: int, wanted: float) -> None:
        self.nodes, self.wanted = nodes, wanted

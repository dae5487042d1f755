"""The smallest L0 and L1 distances of free flips, beside the truth by enumeration."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, Status
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips import BranchAndBound, beam, cheap_problem, cheapest
from bnnopt.attacks.flips.cheap_problem import CheapProblem, is_cheap
from bnnopt.search import cheap_sets, cheap_walk
from tests import kinds

seeds = st.integers(0, 10**6)
BUDGETS: list[dict[str, Any]] = [{}, {"max_pixels": 2}, {"max_l1": 0.5}]


def instance_of(seed: int, goal: str, **options: Any) -> AttackInstance:
    rng = np.random.default_rng(seed)
    widths = [(5, 4), (6, 5, 4)][seed % 2]
    head = kinds.HEADS[seed % len(kinds.HEADS)]
    network = kinds.network_of_cuts(seed, int(rng.integers(2, 6)), 3, widths, head)
    image = rng.integers(0, network.levels + 1, network.num_inputs) / network.levels
    epsilon = Fraction(int(rng.integers(1, 4)), network.levels)
    return AttackInstance(network, image, str(epsilon), "untargeted", goal=goal, **options)


def least(instance: AttackInstance) -> float | None:
    """The smallest distance of a flip among all admissible images of whole levels."""
    points = kinds.admissible(instance)
    flips = points[instance.are_flips(points)]
    return min((instance.distances(z)[instance.goal] for z in flips), default=None)


@settings(max_examples=60)
@given(
    seed=seeds,
    goal=st.sampled_from(["l0", "l1"]),
    ties=st.sampled_from(["lowest", "never", "always"]),
    budget=st.sampled_from(BUDGETS),
    threads=st.sampled_from([1, 3]),
    finds_by_beam=st.booleans(),
)
def test_the_distance_is_the_smallest_of_all_images(
    seed: int, goal: str, ties: str, budget: dict[str, Any], threads: int, finds_by_beam: bool
) -> None:
    instance = instance_of(seed, goal, domain="pixels", ties=ties, **budget)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cheapest, "SETS", 5)
        if not finds_by_beam:
            patch.setattr(beam, "ROUNDS", 0)
        result = BranchAndBound()(instance, Limits(threads=threads))
    expected = least(instance)
    if expected is None:
        assert result.status is Status.INFEASIBLE
    else:
        assert (result.status, result.flipped) == (Status.OPTIMAL, True)
        assert result.goal_values == pytest.approx([expected])
        assert result.goal_bounds == pytest.approx([expected])


@settings(max_examples=30)
@given(seed=seeds, goal=st.sampled_from(["l0", "l1"]), finds_by_beam=st.booleans())
def test_between_levels_it_is_no_larger_and_is_what_bisection_finds(
    seed: int, goal: str, finds_by_beam: bool
) -> None:
    instance = instance_of(seed, goal)
    with pytest.MonkeyPatch.context() as patch:
        if not finds_by_beam:
            patch.setattr(beam, "ROUNDS", 0)
        mine = BranchAndBound()(instance)
        patch.setattr(CheapProblem, "of", lambda _: None)
        theirs = BranchAndBound()(instance)
    assert mine.status is theirs.status
    assert mine.status in (Status.OPTIMAL, Status.INFEASIBLE)
    if mine.flipped:
        assert mine.goal_values == pytest.approx(theirs.goal_values, rel=1e-4)
        expected = least(replace(instance, domain="pixels"))
        assert expected is None or mine.goal_bounds[0] <= expected


@settings(max_examples=30)
@given(seed=seeds, goal=st.sampled_from(["l0", "l1"]), effort=st.integers(1, 3))
def test_what_its_effort_cuts_off_has_a_sound_bound_and_repeats_itself(
    seed: int, goal: str, effort: int
) -> None:
    instance = instance_of(seed, goal, domain="pixels")
    expected = least(instance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cheapest, "SETS_A_VISIT", 4)
        patch.setattr(cheapest, "SCORES_A_VISIT", 40)
        first, again = (BranchAndBound()(instance, Limits(effort=effort)) for _ in range(2))
    assert (first.goal_values, first.goal_bounds) == (again.goal_values, again.goal_bounds)
    assert (first.iterations, first.status) == (again.iterations, again.status)
    if expected is not None:
        assert first.goal_bounds[0] <= expected + 1e-9
    if first.flipped:
        assert expected <= first.goal_values[0] + 1e-9


@settings(max_examples=40)
@given(
    seed=seeds,
    widths=st.sampled_from([(5,), (5, 4)]),
    domain=st.sampled_from(["pixels", "continuous"]),
    budget=st.sampled_from([{"max_pixels": 1}, {"max_pixels": 2}, {"max_l1": 0.5}]),
    ties=st.sampled_from(["lowest", "always"]),
    finds_by_beam=st.booleans(),
)
def test_any_flip_within_a_budget_of_few_sets(
    seed: int,
    widths: tuple[int, ...],
    domain: Any,
    budget: dict[str, Any],
    ties: Any,
    finds_by_beam: bool,
) -> None:
    network = kinds.network_of_cuts(seed, 4, 2, widths)
    instance = kinds.instance_of(
        network, seed, target="untargeted", goal="flip", domain=domain, ties=ties, **budget
    )
    points = kinds.admissible(instance)
    with pytest.MonkeyPatch.context() as patch:
        if not finds_by_beam:
            patch.setattr(beam, "ROUNDS", 0)
        result = BranchAndBound()(instance)
        if domain == "continuous":
            patch.setattr(CheapProblem, "of", lambda _: None)
            assert result.status is BranchAndBound()(instance).status
    assert result.verified
    if instance.are_flips(points).any():
        assert result.flipped
    if domain == "pixels":
        assert result.flipped == instance.are_flips(points).any()
        expected = Status.OPTIMAL if result.flipped else Status.INFEASIBLE
        assert result.status is expected


def test_a_budget_of_many_sets_is_left_to_the_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = kinds.instance_of(kinds.network_of_cuts(1, 4, 3, (5,)), 1, goal="flip", max_pixels=2)
    problem = CheapProblem.of(instance)
    assert problem is not None
    k = len(problem.flips.cost)
    for few, serves in ((1 + k + k * (k - 1) // 2, True), (k + k * (k - 1) // 2, False)):
        monkeypatch.setattr(cheap_problem, "FEW_SETS", few)
        assert (CheapProblem.of(instance) is not None) == serves


def test_an_image_that_is_a_flip_itself_is_at_distance_0() -> None:
    instance = instance_of(3, "l1", domain="pixels")
    other = next(c for c in range(3) if c != instance.source)
    result = BranchAndBound()(replace(instance, source=other))
    assert (result.status, result.goal_values, result.goal_bounds) == (
        Status.OPTIMAL,
        [0.0],
        [0.0],
    )


@settings(max_examples=20)
@given(seed=seeds, parts=st.sampled_from([1, 2, 5]), goal=st.sampled_from(["l0", "l1"]))
def test_each_set_of_a_cost_is_visited_once_by_some_part(seed: int, parts: int, goal: str) -> None:
    problem = CheapProblem.of(instance_of(seed, goal, domain="pixels", max_pixels=3))
    if problem is None:
        return
    flips, k = problem.flips, len(problem.flips.cost)
    everything = np.full(len(problem.wanted), -np.inf)
    for most in range(1, 6):
        size = int(np.searchsorted(np.cumsum(flips.cost), most, side="right"))
        found = []
        for part in range(parts if size else 0):
            walk = cheap_walk.new_walk(flips, size)
            cheap_walk.begin_walk(walk, part)
            walk.known[:] = 2**63  # no pattern is known, that of the image neither
            while walk.depth[0] >= 0:
                if cheap_sets.visit_sets(
                    problem.terms, flips, walk, most - 1, most, parts, everything, 3
                ):
                    found.append(tuple(walk.members[: walk.depth[0] + 1].tolist()))
        sets = [
            members
            for count in range(1, min(k, 3 if goal == "l1" else most) + 1)
            for members in combinations(range(k), count)
            if len(set(flips.pixel[list(members)])) == count
            and flips.cost[list(members)].sum() == most
        ]
        assert len(found) == len(set(found))
        assert set(found) <= set(sets)
        for members in set(sets) - set(found):  # its last flip turns nothing that any could turn
            last = [s for s in found if s[:-1] == members[:-1]]
            assert not last


def test_masks_of_several_words_tell_patterns_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (cheap_sets, cheap_walk):
        monkeypatch.setattr(module, "WORD", 2)
    for function in ("visit_sets", "_visit_last", "_set_masks", "_pattern_is_wanted"):
        python = getattr(getattr(cheap_sets, function), "py_func", None)
        if python is not None:
            monkeypatch.setattr(cheap_sets, function, python)
            monkeypatch.setattr(cheapest, function, python, raising=False)
    monkeypatch.setattr(cheapest, "BEAM", 0)
    words = set()
    for seed in range(12):
        instance = instance_of(seed, "l1", domain="pixels")
        problem = CheapProblem.of(instance)
        if problem is None:
            continue
        words.add(cheap_walk.new_walk(problem.flips, 5).known.shape[1])
        result, expected = BranchAndBound()(instance), least(instance)
        assert result.goal_values == ([None] if expected is None else pytest.approx([expected]))
    assert max(words) > 1


def test_a_beam_finds_flips_that_are_real_and_cost_what_it_says() -> None:
    found = 0
    for seed in range(30):
        instance = instance_of(seed, "l0", domain="pixels")
        problem = CheapProblem.of(instance)
        if problem is None:
            continue
        best, z = beam.seek_by_beam(problem, 4, problem.most + 1, lambda _: False)
        if z is not None:
            found += 1
            assert instance.are_flips(z[None])[0]
            assert np.count_nonzero(z != instance.levels) == best == problem.cost(z)
    assert found > 5


def test_it_serves_deep_networks_of_free_flips_and_distances_only() -> None:
    for widths, serves in (((), False), ((5,), False), ((5, 4), True)):
        for goal in ("l0", "l1", "linf", "flip", "l0+l1"):
            instance = replace(
                kinds.instance_of(kinds.network_of_cuts(1, 4, 3, widths), 1), goal=goal
            )
            assert is_cheap(instance) == (serves and goal in ("l0", "l1"))
    dense = kinds.instance_of(kinds.network_of(1, "dense", ("dense", "dense")), 1, goal="l1")
    assert not is_cheap(dense)

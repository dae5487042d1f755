"""Every set of a few free flips, against every image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer, Status
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips import all_sets
from bnnopt.attacks.flips.all_sets import AllSets
from bnnopt.attacks.flips.branch_and_bound import BranchAndBound
from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.search.descent import descend, is_over
from bnnopt.search.space import CutSpace
from tests import kinds

seeds = st.integers(0, 10**6)
BUDGETS: list[dict[str, Any]] = [
    {},
    {"max_pixels": 2},
    {"max_pixels": 1},
    {"max_l1": "3/7"},
    {"max_pixels": 2, "max_l1": "4/7"},
]


@pytest.fixture(autouse=True)
def short_climbs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not compiled, longer ones would take long; and they would find the best point too soon."""
    monkeypatch.setattr("bnnopt.attacks.flips.pattern.PATIENCE", 1)


def instance_of(seed: int, domain: Any = "pixels", **options: Any) -> AttackInstance:
    network = kinds.network_of_cuts(seed, 4, 2, head="batchnorm" if seed % 3 == 0 else "integer")
    return kinds.instance_of(network, seed, domain=domain, target="untargeted", **options)


def search_of(instance: AttackInstance, **limits: Any) -> FlipSearch:
    search = FlipSearch(instance, Limits(**limits), np.zeros((0, instance.network.num_inputs)))
    assert AllSets.serves(search)
    return search


@settings(max_examples=60)
@example(seed=25, budget={"max_pixels": 1}, threads=3, goal="margin", nodes=7)  # more are dear
@given(
    seed=seeds,
    budget=st.sampled_from(BUDGETS),
    threads=st.sampled_from([1, 3]),
    goal=st.sampled_from(["margin", "margin", "flip"]),
    nodes=st.sampled_from([1, 7, 2**15]),
)
def test_the_best_margin_of_all_whole_images_is_found_and_proved(
    seed: int, budget: dict[str, Any], threads: int, goal: str, nodes: int
) -> None:
    instance = instance_of(seed, goal=goal, **budget)
    points = kinds.admissible(instance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(all_sets, "NODES", nodes)
        result = BranchAndBound()(instance, Limits(threads=threads))
    assert (result.message, result.notes) == ("", [])
    assert result.verified
    if goal == "flip":
        has_flip = bool(instance.are_flips(points).any())
        assert result.flipped == has_flip
        assert result.status is (Status.OPTIMAL if has_flip else Status.INFEASIBLE)
        return
    best = float(instance.margins(points).max())
    assert result.status is Status.OPTIMAL
    assert result.objective == best
    assert result.bound == pytest.approx(best, abs=1e-5 * instance.of_margins.unit)


@settings(max_examples=30)
@given(
    seed=seeds,
    domain=st.sampled_from(["pixels", "continuous"]),
    budget=st.sampled_from(BUDGETS),
    threads=st.sampled_from([1, 3]),
    goal=st.sampled_from(["margin", "flip"]),
)
def test_trees_say_the_same(
    seed: int, domain: Any, budget: dict[str, Any], threads: int, goal: str
) -> None:
    instance = instance_of(seed, domain, goal=goal, **budget)
    mine = BranchAndBound()(instance, Limits(threads=threads))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AllSets, "serves", lambda _: False)
        theirs = BranchAndBound()(instance)
    assert (mine.status, mine.flipped) == (theirs.status, theirs.flipped)
    if goal == "margin":
        assert mine.objective == theirs.objective
        assert mine.bound == pytest.approx(theirs.bound, abs=1e-5)  # without a lattice


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 300])
def test_each_set_is_in_one_part(threads: int) -> None:
    sizes = set()
    for seed in range(12):
        search = search_of(instance_of(seed, **BUDGETS[seed % len(BUDGETS)]), threads=threads)
        run, k = AllSets(search), search.num_flips
        sizes.add(k)
        assert len(run._parts) == min(2 ** int(np.ceil(np.log2(threads))), 2**k)
        wanted, found = np.full(len(search.terms), -np.inf), []
        for part in run._parts:
            while not is_over(part.descent):
                if descend(
                    search.region, run._terms, part.descent, search.space.pairs(), wanted, 99
                ):
                    found.append(part.descent.flipped.tobytes())
        sets = [np.array(made, dtype=bool) for made in np.ndindex(*[2] * k)]
        expected = [flipped.tobytes() for flipped in sets if is_allowed(search, flipped)]
        assert sorted(found) == sorted(expected)
    assert len(sizes) > 2


def is_allowed(search: FlipSearch, flipped: np.ndarray) -> bool:
    region = search.region
    pairs = (region.excludes & flipped & flipped[:, None]).any()
    return not pairs and bool(np.all(region.cost[flipped].sum(axis=0) <= region.most))


@settings(max_examples=25)
@given(
    seed=seeds,
    budget=st.sampled_from(BUDGETS),
    threads=st.sampled_from([1, 3]),
    calls=st.integers(0, 12),
    where=st.sampled_from(["descend", "take", "decide"]),
)
def test_after_ctrl_c_at_any_time_the_bound_holds(
    seed: int, budget: dict[str, Any], threads: int, calls: int, where: str
) -> None:
    instance = instance_of(seed, **budget)
    best = float(instance.margins(kinds.admissible(instance)).max())
    left, owner = [calls], all_sets if where == "descend" else FlipSearch
    whole = getattr(owner, where)

    def until(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return whole(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, where, until)
        patch.setattr(all_sets, "NODES", 3)
        result = BranchAndBound()(instance, Limits(threads=threads))
    assert result.bound is not None
    assert result.objective <= best <= result.bound + 1e-9
    assert result.interrupted == (left[0] < 0)
    if not result.interrupted:
        assert result.status is Status.OPTIMAL


@settings(max_examples=25)
@given(
    seed=seeds,
    budget=st.sampled_from(BUDGETS),
    threads=st.sampled_from([1, 3]),
    effort=st.integers(1, 4),
)
def test_what_its_effort_cuts_off_has_a_sound_bound_and_repeats_itself(
    seed: int, budget: dict[str, Any], threads: int, effort: int
) -> None:
    instance = instance_of(seed, **budget)
    best = float(instance.margins(kinds.admissible(instance)).max())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(all_sets, "NODES_A_VISIT", 2)
        first, again = (
            BranchAndBound()(instance, Limits(threads=threads, effort=effort)) for _ in range(2)
        )
    for result in (first, again):
        assert result.bound is not None
        assert result.objective <= best <= result.bound + 1e-9
    assert (first.objective, first.bound, first.iterations) == (
        again.objective,
        again.bound,
        again.iterations,
    )


@settings(max_examples=25)
@given(seed=seeds)
def test_the_bound_covers_best_closed_and_open_sets(seed: int) -> None:
    search = search_of(instance_of(seed))
    run, instance = AllSets(search), search.instance
    best = float(instance.margins(kinds.admissible(instance)).max())
    assert run.ruled_out() == ()
    assert run.bound() >= best
    run.prove()
    for c in run.ruled_out():
        points = kinds.admissible(instance)
        assert not replace(instance, target=c).are_flips(points).any()
    bound = run.bound()
    assert bound >= best == search.best
    for c, before in list(search.closed.items()):
        search.closed[c] = bound + 4.0
        assert run.bound() == bound + 4.0
        search.closed[c] = before
    for part in run._parts:  # as where Ctrl-C comes between a set and its replay
        part.pending = True
        assert run.ruled_out() == ()
        assert run.bound() >= max(search.largest_margin(c) for c in instance.targets)
        part.pending = False
    assert run.bound() == bound


def test_it_serves_deep_networks_of_a_few_free_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    for widths, serves in (((), False), ((5,), False), ((5, 4), True), ((5, 4, 3), True)):
        instance = kinds.instance_of(kinds.network_of_cuts(1, 4, 3, widths), 1)
        search = FlipSearch(instance, Limits(), np.zeros((0, 4)))
        assert isinstance(search.space, CutSpace)
        assert AllSets.serves(search) == serves
    k = search.num_flips
    for most in (k - 1, k):
        monkeypatch.setattr(all_sets, "MOST_FLIPS", most)
        assert AllSets.serves(search) == (most == k)
    dense = kinds.instance_of(kinds.network_of(1, "dense", ("dense", "dense")), 1)
    other = FlipSearch(dense, Limits(), np.zeros((0, dense.network.num_inputs)))
    assert other.num_flips > 0
    assert not AllSets.serves(other)


def test_it_serves_no_changes_so_large_that_their_sums_would_be_rounded() -> None:
    """39 neurons look at one pixel: flip i turns i + 1 of them, and all flips are summed up."""
    rng, head = np.random.default_rng(0), OutputLayer(np.eye(2), np.ones(2), np.zeros(2))
    first = HiddenLayer(np.ones((39, 1), dtype=int), np.arange(1, 40))
    third = HiddenLayer(np.array([[1, 1], [1, -1]]), np.zeros(2))
    for size, serves in ((20_000, True), (32_000, False)):
        weight = size + rng.integers(0, 100, (2, 39))
        second = HiddenLayer(weight, weight.sum(axis=1) // 7)
        network = BinarizedNetwork((first, second, third), head, levels=40)
        instance = AttackInstance(network, [0.0], 1.0, domain="pixels")
        search = FlipSearch(instance, Limits(), np.zeros((0, 1)))
        assert search.num_flips == 39
        assert AllSets.serves(search) == serves
        result, best = BranchAndBound()(instance), instance.margins(kinds.admissible(instance))
        assert (result.status, result.objective) == (Status.OPTIMAL, best.max())

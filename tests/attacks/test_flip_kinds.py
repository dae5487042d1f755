"""Searches over flips on networks of every kind, against enumeration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from bnnopt import AttackInstance, AttackResult, BinarizedNetwork, HiddenLayer, OutputLayer, Status
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips import BranchAndBound, PatternAttack, branch_and_bound, flip_search
from bnnopt.attacks.flips.flip_search import FlipSearch, is_searchable
from bnnopt.search import quadratic
from tests.helpers import best_continuous_margins, random_image, random_network, whole_rows
from tests.kinds import (
    DEEPER,
    HEADS,
    admissible,
    instance_of,
    network_of,
    network_of_cuts,
    networks,
    padded,
)

seeds = st.integers(0, 10**6)
targets = st.sampled_from(["runner-up", "untargeted"])
rules: Any = st.sampled_from(["lowest", "never", "always"])
domains: Any = st.sampled_from(["continuous", "pixels"])
threads = st.sampled_from([1, 1, 3])
BUDGETS: list[dict[str, Any]] = [{}, {}, {"max_l1": "4/7"}, {"max_pixels": 2}]
some_cuts = st.builds(
    network_of_cuts,
    seed=seeds,
    widths=st.lists(st.integers(2, 5), max_size=3),
    head=st.sampled_from(HEADS),
)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not compiled, as many steps as in a search would take long."""
    monkeypatch.setattr(quadratic, "LINEAR_STEPS", 4)
    monkeypatch.setattr("bnnopt.attacks.flips.pattern.PATIENCE", 2)


@settings(max_examples=100)
@given(
    network=networks | some_cuts,
    seed=seeds,
    budget=st.sampled_from(BUDGETS),
    target=targets,
    ties=rules,
    goal=st.sampled_from(["margin", "margin", "flip"]),
    threads=threads,
)
def test_the_best_margin_of_all_whole_images_is_found_and_proved(
    network: BinarizedNetwork,
    seed: int,
    budget: dict[str, Any],
    target: str,
    ties: Any,
    goal: str,
    threads: int,
) -> None:
    instance = instance_of(
        network, seed, domain="pixels", target=target, ties=ties, goal=goal, **budget
    )
    if not is_searchable(instance):
        return
    result = BranchAndBound()(instance, Limits(threads=threads))
    check(instance, result)


def check(instance: AttackInstance, result: AttackResult) -> None:
    """It is proved, and is as enumeration of all whole images has it."""
    points = admissible(instance)
    assert (result.message, result.notes) == ("", [])
    assert result.verified
    if instance.sought.needs_flip:
        has_flip = bool(instance.are_flips(points).any())
        assert result.flipped == has_flip
        assert result.status is (Status.OPTIMAL if has_flip else Status.INFEASIBLE)
        return
    best = float(instance.margins(points).max())
    assert result.status is Status.OPTIMAL
    assert result.objective == pytest.approx(best, abs=1e-5 * instance.of_margins.unit)
    assert result.bound == pytest.approx(best, abs=2e-5 * instance.of_margins.unit)
    for c in result.ruled_out:
        assert not replace(instance, target=c).are_flips(points).any()


@settings(max_examples=40)
@given(
    network=networks | some_cuts,
    seed=seeds,
    distance=st.sampled_from(["linf", "l1", "l0"]),
    budget=st.sampled_from(BUDGETS),
)
def test_the_smallest_distance_of_a_flip_is_that_of_enumeration(
    network: BinarizedNetwork, seed: int, distance: str, budget: dict[str, Any]
) -> None:
    instance = instance_of(
        network, seed, domain="pixels", target="untargeted", goal=distance, **budget
    )
    if not is_searchable(instance):
        return
    points, result = admissible(instance), BranchAndBound()(instance)
    flips = points[instance.are_flips(points)]
    assert result.message == ""
    assert result.flipped == (len(flips) > 0)
    assert result.status is (Status.OPTIMAL if len(flips) else Status.INFEASIBLE)
    if len(flips):
        nearest = min(instance.distances(z)[distance] for z in flips)
        assert result.distances[distance] == pytest.approx(nearest)
        assert result.goal_bounds[0] == pytest.approx(nearest)


@settings(max_examples=40)
@given(network=networks, seed=seeds, target=targets, threads=threads)
def test_in_the_continuous_domain_bounds_hold_for_all_patterns_that_have_images(
    network: BinarizedNetwork, seed: int, target: str, threads: int
) -> None:
    instance = instance_of(network, seed, target=target)
    if network.widths[0] > 6:
        return
    inside, closed = best_continuous_margins(instance)
    unit = instance.of_margins.unit
    result = BranchAndBound()(instance, Limits(threads=threads))
    assert result.message == ""
    assert result.verified
    assert result.bound is not None and result.bound >= inside - 1e-9 * unit
    assert inside - 1e-5 * unit <= result.objective <= closed + 1e-9 * unit
    if inside == closed:
        assert result.status is Status.OPTIMAL


@settings(max_examples=30)
@given(network=networks | some_cuts, seed=seeds, budget=st.sampled_from(BUDGETS), domain=domains)
def test_pattern_search_finds_admissible_images_no_better_than_what_is_proved(
    network: BinarizedNetwork, seed: int, budget: dict[str, Any], domain: Any
) -> None:
    instance = instance_of(network, seed, domain=domain, target="untargeted", **budget)
    if not is_searchable(instance):
        return
    found = PatternAttack()(instance, Limits(effort=20))
    proved = BranchAndBound()(instance)
    assert (found.message, found.bound) == ("", None)
    assert found.verified
    assert proved.bound is not None
    assert found.start_objective <= found.objective <= proved.bound + 1e-9


@settings(max_examples=20)
@given(network=networks, seed=seeds, domain=domains)
def test_inputs_and_neurons_that_nothing_reads_change_no_optimum(
    network: BinarizedNetwork, seed: int, domain: Any
) -> None:
    instance = instance_of(network, seed, domain=domain)
    image = np.concatenate([[1.0], np.ravel(instance.image)])
    same = AttackInstance(
        padded(network), image, instance.epsilon, domain=domain, target=instance.target
    )
    mine, theirs = BranchAndBound()(same), BranchAndBound()(instance)
    assert mine.status is theirs.status
    assert mine.objective == theirs.objective
    assert mine.bound == theirs.bound


def with_zeros(network: BinarizedNetwork) -> BinarizedNetwork:
    """The same function: a pixel in front that nothing reads, and neurons that never turn."""
    hidden = []
    for number, layer in enumerate(network.hidden):
        rows = np.hstack([np.zeros((layer.shape[0], 1), dtype=int), whole_rows(layer)])
        first = np.zeros((1, rows.shape[1]), dtype=int)
        weight = csr_array(rows if number == 0 else np.vstack([first, rows]))
        threshold = layer.threshold if number == 0 else np.append(1, layer.threshold)
        if number == 0:  # so that the next layer has a first input that nothing turns
            weight, threshold = csr_array(np.vstack([first, rows])), np.append(1, threshold)
        hidden.append(HiddenLayer(weight, threshold))
    output = network.output
    head = np.hstack([np.zeros((len(output.weight), 1)), output.weight])
    return BinarizedNetwork(
        tuple(hidden), OutputLayer(head, output.scale, output.bias), levels=network.levels
    )


@settings(max_examples=40)
@given(
    seed=seeds,
    deeper=st.lists(st.sampled_from(DEEPER), max_size=2),
    widths=st.sampled_from([None, None, (7,), (7, 5), (7, 5, 4)]),
    domain=domains,
    target=targets,
    max_l1=st.sampled_from([None, None, 0.5]),
)
def test_zeros_around_its_weights_change_no_node_of_a_search(
    seed: int, deeper: list[str], widths: Any, domain: Any, target: str, max_l1: float | None
) -> None:
    if widths is None:
        network = network_of(seed, "dense", deeper)
    else:
        network = random_network(seed, inputs=5, widths=widths, levels=7)
    image, sparse = random_image(network, seed), with_zeros(network)
    options: dict[str, Any] = {"domain": domain, "max_l1": max_l1}
    instance = AttackInstance(network, image, "2/7", target=target, **options)
    mask = np.arange(sparse.num_inputs) > 0
    for may_move in (None, mask):
        same = AttackInstance(
            sparse, np.append(0.0, image), "2/7", target=target, mask=may_move, **options
        )
        if max_l1 is not None and may_move is None:
            continue  # with a pixel more the budget's multiplier is another
        mine, theirs = BranchAndBound()(same), BranchAndBound()(instance)
        assert (mine.status, mine.objective, mine.bound) == (
            theirs.status,
            theirs.objective,
            theirs.bound,
        )
        assert mine.iterations == theirs.iterations


@settings(max_examples=40)
@given(
    network=networks | some_cuts,
    seed=seeds,
    budget=st.sampled_from(BUDGETS),
    goal=st.sampled_from(["margin", "flip", "linf"]),
    most=st.integers(1, 3),
)
def test_a_search_that_leaves_out_flips_proves_nothing_and_says_so(
    network: BinarizedNetwork, seed: int, budget: dict[str, Any], goal: str, most: int
) -> None:
    instance = instance_of(network, seed, domain="pixels", target="untargeted", goal=goal, **budget)
    if not is_searchable(instance):
        return
    points = admissible(instance)
    best, has_flip = float(instance.margins(points).max()), bool(instance.are_flips(points).any())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flip_search, "MOST_FLIPS", most)
        patch.setattr("bnnopt.attacks.flips.pattern.IDLE_CLIMBS", 3)
        search = FlipSearch(instance, Limits(), np.zeros((0, network.num_inputs)))
        result = BranchAndBound()(instance)
    if search.space.is_complete:
        return
    assert search.num_flips == most
    assert result.message == ""
    assert result.verified
    assert has_flip or not result.flipped
    if goal == "margin":
        assert result.bound is not None
        assert result.objective <= best <= result.bound + 1e-9
    if result.status is Status.INFEASIBLE:  # interval arithmetic says it too
        assert not has_flip
    if goal == "linf" and result.flipped:
        flips = points[instance.are_flips(points)]
        nearest = min(instance.distances(z)["linf"] for z in flips)
        assert result.goal_bounds[0] is None or result.goal_bounds[0] <= nearest + 1e-9
    if goal != "linf":
        assert any("no tree" in note for note in result.notes)
        assert result.status is not Status.OPTIMAL or result.flipped or result.bound == best


def test_large_terms_are_searched_without_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = []
    for seed in range(8):
        network = random_network(seed, inputs=4, widths=(6, 4), levels=7)
        instance = AttackInstance(network, random_image(network, seed), 0.4, domain="pixels")
        search = FlipSearch(instance, Limits(), np.zeros((0, 4)))
        (terms,) = search.terms.values()
        best = float(instance.margins(admissible(instance)).max())
        for most, has_tree in ((terms.change.size, True), (terms.change.size - 1, False)):
            monkeypatch.setattr(branch_and_bound, "LARGEST_TREE", most)
            result = BranchAndBound()(instance, Limits(effort=500))
            assert bool(result.notes) != has_tree
            assert result.objective <= best
            assert result.bound is not None and result.bound >= best
            assert result.status is Status.OPTIMAL or not has_tree
            statuses += [] if has_tree else [result.status]
    assert Status.FEASIBLE in statuses

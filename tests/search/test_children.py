"""A node and its children against all of their sets."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search import quadratic
from bnnopt.search.children import _interval_bound, bound_children, may_have_wanted_set
from tests.search.cases import (
    Members,
    Node,
    fails_sum_test,
    random_conflicts,
    subsets,
    without_conflict,
    without_limits,
)

seeds = st.integers(0, 10**6)
layers = st.sampled_from([0, 0, 1, 2])


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not compiled, as many steps as in a search would take long."""
    monkeypatch.setattr(quadratic, "LINEAR_STEPS", 8)


def with_parent(seed: int, deeper: int) -> tuple[Node, np.ndarray]:
    """A node whose parent's conflicts are random, and what its own candidates have of them."""
    node = Node(seed, 8, deeper)
    conflict = random_conflicts(np.random.default_rng(seed), 8, 0.15)
    node.tree.conflict[:] = False
    node.tree.conflict[max(node.depth - 1, 0)] = conflict
    for d in range(1, node.depth + 1):
        node.tree.falls[d] = node.region.weight[list(node.path[:d])].sum(axis=0)
        node.tree.demand[d] = node.region.demand[list(node.path[:d])].sum()
    return node, conflict[np.ix_(node.kept, node.kept)]


def possible(node: Node, conflict: np.ndarray) -> list[Members]:
    """The sets of the subtree no pair of which fails with the node's set, as places."""
    region = without_limits(node.region)
    fails = [
        [fails_sum_test(region, node.members((a, b))) for a in range(node.size)]
        for b in range(node.size)
    ]
    return [
        places
        for places in without_conflict(subsets(range(node.size)), conflict)
        if not any(fails[a][b] for a in places for b in places)
    ]


@settings(max_examples=80)
@given(seed=seeds, deeper=layers, lift=st.integers(-5, 3))
def test_no_child_with_a_set_that_is_worth_it_is_left_out(
    seed: int, deeper: int, lift: int
) -> None:
    node, conflict = with_parent(seed, deeper)
    tree, depth, kept = node.tree, node.depth, node.kept.tolist()
    sets = possible(node, conflict)[1:]
    worth = max((node.margin(places) for places in sets), default=0.0) + lift - 0.01 * (seed % 2)
    tree.position[depth] = 77
    node.space.kept[:] = 7
    bound_children(node.region, node.terms, tree, worth, node.space)
    for a, b in combinations_with_replacement(range(node.size), 2):
        fails = fails_sum_test(without_limits(node.region), node.members((a, b)))
        assert node.space.conflict[a, b] == (bool(conflict[a, b]) or fails)
    order, last = tree.order[depth, : node.size].tolist(), int(tree.position[depth])
    assert last in (-1, node.size - 1)
    assert last < 0 or sorted(order) == sorted(kept)
    for places in sets:
        if node.margin(places) >= worth:
            assert last == node.size - 1
            at = max(order.index(kept[a]) for a in places)
            assert tree.most[depth, at] >= node.margin(places)
    if last >= 0:
        most = tree.most[depth, : node.size]
        assert tree.reach[depth, : node.size].tolist() == np.maximum.accumulate(most).tolist()
        _, interval = _interval_bound(node.terms, tree, node.size, node.space)
        assert (most <= interval + 1e-9).all()


@settings(max_examples=80)
@given(seed=seeds, deeper=layers, lift=st.integers(-5, 3))
def test_a_node_is_left_out_only_where_none_of_its_sets_is_worth_it(
    seed: int, deeper: int, lift: int
) -> None:
    node, conflict = with_parent(seed, deeper)
    tree, depth = node.tree, node.depth
    quadratic.fit(node.terms, tree, node.size, node.groups, -1e9, node.space)
    tree.order[depth, : node.size] = node.kept
    # That function knows of more conflicts than this node: bring it up to all of its sets.
    sets = without_conflict(subsets(range(node.size)), conflict)
    short = max(node.margin(places) - node.function(places) for places in sets)
    tree.level[depth] += max(short, 0.0)
    worth = max(node.margin(places) for places in sets) + lift - 0.01 * (seed % 2)
    node.space.kept[:] = 7
    is_left = may_have_wanted_set(node.terms, tree, worth, node.space)
    assert is_left or lift > 0
    if is_left:
        assert tree.order[depth, : node.size].tolist() == node.kept.tolist()
    tree.order[depth, : node.size] = node.kept
    top = max(node.function(places) for places in sets)
    assert not may_have_wanted_set(node.terms, tree, top + 1e-3, node.space)


@settings(max_examples=60)
@given(seed=seeds, deeper=layers)
def test_intervals_bound_every_set_and_are_those_of_the_last_layer(seed: int, deeper: int) -> None:
    node = Node(seed, 8, deeper)
    classes, bound = _interval_bound(node.terms, node.tree, node.size, node.space)
    assert classes == node.groups
    last, gain = node.terms.start[-2], node.terms.gain
    low, high = node.space.low[last:], node.space.high[last:]
    expected = gain[low >= 0].sum() + np.maximum(gain[(low < 0) & (high >= 0)], 0.0).sum()
    assert bound == pytest.approx(node.terms.constant + expected)
    assert all(node.margin(places) <= bound + 1e-9 for places in node.sets)


@settings(max_examples=60)
@given(seed=seeds, deeper=layers)
def test_a_bound_of_intervals_that_is_too_low_ends_a_node_at_once(seed: int, deeper: int) -> None:
    node, conflict = with_parent(seed, deeper)
    node.space.conflict[: node.size, : node.size] = conflict
    _, bound = _interval_bound(node.terms, node.tree, node.size, node.space)
    tree, depth = node.tree, node.depth
    tree.most[:] = 55.0
    bound_children(node.region, node.terms, tree, bound + 1e-3, node.space)
    assert tree.position[depth] == -1
    assert set(tree.most[depth]) == {55.0}
    tree.level[depth] = 1e3  # a function that allows all
    tree.order[depth, : node.size] = node.kept
    assert not may_have_wanted_set(node.terms, tree, bound + 1e3, node.space)

"""Subtrees of a few candidates, set by set, against all of their sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search import tree_state
from bnnopt.search.descent import is_over
from bnnopt.search.enumeration import begin_sets, next_set
from bnnopt.search.problem import Region
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


def all_sets(region: Region, node: Node, wanted: float, nodes: int) -> list[Members]:
    """Of the present node, by so many nodes of the descent at a time."""
    found, at = [], node.tree.at
    begin_sets(region, node.tree)
    while not is_over(at):
        before = int(at.nodes[0])
        if next_set(region, node.tree, wanted, before + nodes):
            assert not is_over(at)
            found.append(tuple(np.flatnonzero(at.flipped).tolist()))
        else:
            assert is_over(at) or at.nodes[0] == before + nodes
    return found


@settings(max_examples=80)
@given(
    seed=seeds,
    deeper=st.sampled_from([0, 1, 2]),
    lift=st.integers(-9, 4),
    nodes=st.sampled_from([1, 3, 10**6]),
)
def test_each_set_that_is_worth_it_and_may_have_a_point_comes_once(
    seed: int, deeper: int, lift: int, nodes: int
) -> None:
    node = Node(seed, 8, deeper)
    tree, size = node.tree, node.size
    # The pairs that count are those of the parent, whose conflicts hold below it.
    conflict = random_conflicts(np.random.default_rng(seed), 8, 0.2)
    tree.conflict[:] = False
    tree.conflict[max(node.depth - 1, 0)] = conflict
    if node.depth == 0:
        tree.conflict[-1] = conflict  # no parent: not met in a search
    worth = max(node.margin(places) for places in subsets(range(size))) + lift
    expected: set[Members] = set()
    inside = without_conflict(subsets(range(size)), conflict[np.ix_(node.kept, node.kept)])
    for places in inside:
        members = node.members(places)
        if node.margin(places) >= worth and not fails_sum_test(node.region, members):
            expected.add(tuple(sorted(members)))
    assert sorted(all_sets(node.region, node, worth, nodes)) == sorted(expected)


def test_a_set_that_just_reaches_what_is_sought_is_worth_it() -> None:
    node = Node(3, 6)
    node.tree.conflict[:] = False
    region = free(node.region)
    top = max(node.margin(places) for places in subsets(range(node.size)))
    for off, expected in ((0.0, True), (1e-9, False)):
        begin_sets(region, node.tree)
        assert next_set(region, node.tree, top + off, 10**6) == expected


def test_below_the_depths_that_keep_conflicts_the_last_of_them_count() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_state, "LEVELS", 2)
        node = next(node for node in map(Node, range(99)) if node.depth == 2 and node.size > 2)
        deeper = Node(0, 6)
    assert len(node.tree.conflict) == len(deeper.tree.conflict) == 2
    region = free(node.region)
    for level, expected in ((0, 2**node.size), (1, 1 + node.size)):
        node.tree.conflict[:] = False
        node.tree.conflict[level] = ~np.eye(8, dtype=bool)
        assert len(all_sets(region, node, -np.inf, 10**6)) == expected
    # A path that is longer than what is kept.
    tree, path = deeper.tree, [0, 1, 2, 3]
    tree.depth[0], tree.flipped[1:5], tree.count[4], tree.order[4, :2] = 4, path, 2, [4, 5]
    tree.conflict[:] = False
    tree.conflict[1, 4, 5] = tree.conflict[1, 5, 4] = True
    assert len(all_sets(free(deeper.region), deeper, -np.inf, 10**6)) == 3


def free(region: Region) -> Region:
    """All sets have a point."""
    return without_limits(region)._replace(demand=np.zeros(len(region.demand)))

"""Subtrees of a few candidates, set by set, against all of their sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search.leaves import next_set
from bnnopt.search.tree_state import OVER
from tests.search.cases import (
    Members,
    Node,
    fails_sum_test,
    random_conflicts,
    subsets,
    without_conflict,
)

seeds = st.integers(0, 10**6)


@settings(max_examples=80)
@given(seed=seeds, deeper=st.sampled_from([0, 1, 2]), lift=st.integers(-9, 4))
def test_each_set_that_is_worth_it_and_may_have_a_point_comes_once(
    seed: int, deeper: int, lift: int
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
    found = []
    tree.step[0] = 0
    while next_set(node.region, tree, worth):
        found.append(tuple(np.flatnonzero(tree.place.flipped).tolist()))
        assert tree.step[0] > 0
    assert tree.step[0] == OVER
    assert sorted(found) == sorted(expected)


def test_a_margin_that_rounding_lowers_a_little_is_still_worth_it() -> None:
    node = Node(3, 6)
    node.tree.conflict[:] = False
    region = node.region._replace(demand=np.zeros(6))
    top = max(node.margin(places) for places in subsets(range(node.size)))
    for off, expected in ((5e-7, True), (4e-6, False)):
        node.tree.step[0] = 0
        assert next_set(region, node.tree, top + off) == expected

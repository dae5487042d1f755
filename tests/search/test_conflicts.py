"""Pairs that cannot join a node's set, against the sum of the whole set: of any weights."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search import tree_state
from bnnopt.search.conflicts import (
    _beyond_singles,
    _find_spare,
    add_falls,
    find_conflicts,
    inherit_conflicts,
)
from bnnopt.search.problem import Region, budget_multiplier
from bnnopt.search.tree_state import Tree, new_tree
from tests.search.cases import ENTRIES, Members, random_conflicts, random_region, random_terms

seeds = st.integers(0, 10**6)
K = 9


def node(
    seed: int, always: int, entries: int | None = None
) -> tuple[Region, Tree, Members, np.ndarray]:
    """A tree at some depth: its path, whose falls are added depth by depth, and candidates."""
    rng = np.random.default_rng(seed)
    pixels = int(rng.choice([1, 6]))
    region = random_region(rng, K, pixels, always, rng.choice([0.3, 0.6]), entries)
    if always:
        region = region._replace(rate=[0.4, 1.0, 9.0][seed % 3])
    tree = new_tree(region, random_terms(rng, K + always))
    order = rng.permutation(K)
    size = int(rng.integers(0, 5))
    path: Members = tuple(order[:size].tolist())
    for depth, new in enumerate(path, always + 1):
        tree.flipped[depth] = new
    for depth in range(always, always + size + 1):
        tree.depth[0] = depth
        add_falls(region, tree)
    return region, tree, path, order[size : size + 4]


def totals(region: Region, members: Members, times: float) -> tuple[np.ndarray, float]:
    """The rows added up, the budget's so many times, and what they need."""
    total, need = region.weight[list(members)].sum(axis=0), region.demand[list(members)].sum()
    if region.always:
        total, need = total + times * region.weight[-1], need + times * region.demand[-1]
    return total, float(need)


@settings(max_examples=120)
@given(seed=seeds, always=st.integers(0, 1))
def test_pairs_conflict_exactly_where_their_sum_with_the_set_fails(seed: int, always: int) -> None:
    region, tree, path, kept = node(seed, always)
    depth, size = tree.depth[0], len(kept)
    times = budget_multiplier(region, len(path)) if always else 0.0
    total, need = totals(region, path, times)
    assert tree.falls[depth].tolist() == total.tolist()
    assert tree.demand[depth] == pytest.approx(need)
    before = random_conflicts(np.random.default_rng(seed), size, 0.1)
    conflict, spare = before.copy(), np.zeros(K)
    find_conflicts(region, tree, kept, spare, size, conflict)

    def fails(*joining: int) -> bool:
        total, need = totals(region, (*path, *joining), times)
        return bool(np.abs(total) @ region.radius < need - 1e-6)

    for a in range(size):
        for b in range(a + 1):  # one with itself counts twice, which is a certificate too
            expected = bool(before[a, b]) or fails(int(kept[a]), int(kept[b]))
            assert conflict[a, b] == conflict[b, a] == expected
            assert tree.conflict[depth, kept[a], kept[b]] == expected
            assert tree.conflict[depth, kept[b], kept[a]] == expected


@settings(max_examples=100)
@given(
    seed=seeds,
    always=st.integers(0, 1),
    size=st.sampled_from([0, 1, 3, 6]),
    rate=st.sampled_from([0.0, 0.4, 3.0]),
)
def test_a_conflict_is_certain_by_more_than_the_rounding_of_its_rows(
    seed: int, always: int, size: int, rate: float
) -> None:
    rng = np.random.default_rng(seed)
    region = random_region(rng, K, 6, always)._replace(rounding=0.05, rate=rate * always)
    members: Members = tuple(rng.permutation(K)[: size + 2].tolist())
    times = budget_multiplier(region, size) if always else 0.0
    total, _ = totals(region, members, times)
    reach, rows = np.abs(total) @ region.radius, size + times + 2.0
    for fails_by, expected in ((0.99 * 0.05 * rows, False), (3.1 * 0.05 * rows, True)):
        even = np.full(K + always, (reach + fails_by) / rows)
        tree = new_tree(region._replace(demand=even), random_terms(rng, K + always))
        for depth in range(always, always + size + 1):
            tree.depth[0], tree.flipped[depth] = depth, ([-1] * (always + 1) + [*members])[depth]
            add_falls(region._replace(demand=even), tree)
        conflict, kept = np.zeros((2, 2), dtype=bool), np.array(members[size:])
        find_conflicts(region._replace(demand=even), tree, kept, np.zeros(K), 2, conflict)
        assert conflict[0, 1] == expected


@settings(max_examples=60)
@given(seed=seeds, always=st.integers(0, 1), entries=st.sampled_from(list(ENTRIES)))
def test_what_two_reach_beyond_each_is_that_of_plain_sums_whatever_the_weights(
    seed: int, always: int, entries: int
) -> None:
    region, tree, _, kept = node(seed, always, entries)
    falls, size = tree.falls[tree.depth[0]], len(kept)
    kinds = [kind for kind in ENTRIES if kind >= entries]  # of a smaller kind are of a larger one
    for kind in kinds:
        found = _beyond_singles(region._replace(entries=kind), falls, kept, size)
        for a, v in enumerate(region.weight[kept]):
            for b, w in enumerate(region.weight[kept]):
                both, alone = np.abs(falls + v + w), np.abs(falls + v) + np.abs(falls + w)
                beyond = (both - alone + np.abs(falls)) @ region.radius
                assert found[a, b] == pytest.approx(beyond, abs=1e-9)


@settings(max_examples=60)
@given(seed=seeds, always=st.integers(0, 1))
def test_what_sums_have_to_spare_is_exact(seed: int, always: int) -> None:
    region, tree, path, kept = node(seed, always)
    times = budget_multiplier(region, len(path)) if always else 0.0
    spare = np.full(K, 77.0)
    here = _find_spare(region, tree, kept, len(kept), spare)
    total, need = totals(region, path, times)
    assert here == pytest.approx(np.abs(total) @ region.radius - need)
    for a, new in enumerate(kept.tolist()):
        total, need = totals(region, (*path, new), times)
        assert spare[a] == pytest.approx(np.abs(total) @ region.radius - need)
    assert set(spare[len(kept) :]) == {77.0}


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_pair_that_just_fails_conflicts_and_one_that_just_does_not_is_let_be(size: int) -> None:
    rng = np.random.default_rng(size)
    for off, expected in (
        (-4e-6, False),
        (-5e-7, False),
        (0.0, False),
        (5e-7, False),
        (4e-6, True),
    ):
        region = random_region(rng, size + 2, 6)
        members = tuple(range(size + 2))
        reach = np.abs(region.weight.sum(axis=0)) @ region.radius
        demand = np.full(size + 2, (reach + off) / (size + 2))
        region = region._replace(demand=demand)
        tree = new_tree(region, random_terms(rng, size + 2))
        for depth in range(size + 1):
            tree.depth[0], tree.flipped[depth] = depth, members[depth - 1]
            add_falls(region, tree)
        conflict = np.zeros((2, 2), dtype=bool)
        find_conflicts(region, tree, np.array(members[size:]), np.zeros(2), 2, conflict)
        assert conflict[0, 1] == expected


@settings(max_examples=30)
@given(seed=seeds)
def test_conflicts_are_inherited_from_the_parent_or_the_last_depth_that_keeps_some(
    seed: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_state, "LEVELS", 3)
        region, tree, _, kept = node(seed, 0)
    rng = np.random.default_rng(seed)
    assert len(tree.conflict) == 3
    for level in range(3):
        tree.conflict[level] = random_conflicts(rng, K, 0.4) | np.diag(rng.random(K) < 0.4)
    depth = int(tree.depth[0])
    parent = tree.conflict[max(min(depth, 3) - 1, 0)].copy()
    conflict = np.zeros((K, K), dtype=bool)
    inherit_conflicts(tree, kept, len(kept), conflict)
    for a, b in combinations_with_replacement(range(len(kept)), 2):
        assert conflict[a, b] == conflict[b, a] == parent[kept[a], kept[b]]
    last = tree.conflict.copy()
    find_conflicts(region, tree, kept, np.zeros(K), len(kept), conflict)
    for level in range(3):
        assert level == depth or (tree.conflict[level] == last[level]).all()

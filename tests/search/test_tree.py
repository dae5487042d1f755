"""Trees to their ends, against all flip sets that have a point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search import quadratic, tree_state
from bnnopt.search.descent import is_over
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.reach import REACHED, REFUTED, decide_pattern
from bnnopt.search.split import hand_over, split
from bnnopt.search.tree import DONE, FOUND, FULL, PAUSED, UNCLEAR, _decide_node, advance
from bnnopt.search.tree_state import Tree, deepened, new_tree
from bnnopt.search.workspace import Workspace, new_workspace
from tests.search.cases import (
    Members,
    is_excluded,
    margin_at,
    one_region,
    random_region,
    random_terms,
    subsets,
    tree_of,
    without_limits,
)

seeds = st.integers(0, 10**6)
shares = st.sampled_from([(-1, 0), (0, 2), (3, 3), (3, 11)])
K = 6


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not compiled, as many steps as in a search would take long."""
    monkeypatch.setattr(quadratic, "LINEAR_STEPS", 4)
    monkeypatch.setattr(quadratic, "STEPS", 4)


def problem(seed: int, deeper: int, always: int = 0) -> tuple[Region, MarginTerms, Workspace]:
    rng = np.random.default_rng(seed)
    region = random_region(rng, K, 6, always, tight=0.25)
    terms = random_terms(rng, K, 4, deeper)
    idle = np.zeros((always, 4), dtype=np.float32)
    terms = terms._replace(change=np.vstack([terms.change, idle]))
    return region, terms, new_workspace(region, terms)


def verdicts(region: Region) -> dict[Members, int]:
    """Of all flip sets, by the test of one pattern."""
    found = {}
    for members in subsets(range(K))[1:]:
        flipped = np.zeros(K + region.always, dtype=bool)
        flipped[[*members, *range(K, K + region.always)]] = True
        u, multipliers = np.zeros(6), np.zeros(len(flipped))
        found[members] = decide_pattern(region, flipped, 0.5, 0.05, u, multipliers)
        if is_excluded(region, members):
            found[members] = REFUTED
    return found


def members_of(tree: Tree) -> Members:
    return tuple(i for i in np.flatnonzero(tree.found).tolist() if i < K)


@settings(max_examples=25)
@given(
    seed=seeds,
    deeper=st.sampled_from([0, 1, 2]),
    lift=st.integers(-6, 1),
    few=shares,
    budget=st.sampled_from([1, 7, 10**6]),
    always=st.sampled_from([0, 0, 1]),
)
def test_a_tree_stops_at_every_set_that_has_a_point_and_is_worth_it(
    seed: int, deeper: int, lift: int, few: tuple[int, int], budget: int, always: int
) -> None:
    region, terms, space = problem(seed, deeper, always)
    known = verdicts(region)
    reached = [s for s, verdict in known.items() if verdict == REACHED]
    worth = max((margin_at(terms, s) for s in reached), default=0.0) + lift
    tree, found = tree_of(region, terms, few), list[Members]()
    steps = nodes = 0
    while (code := advance(region, terms, tree, space, worth, budget)) != DONE:
        assert nodes <= tree.nodes[0] <= nodes + budget
        assert code != PAUSED or tree.nodes[0] == nodes + budget
        nodes = int(tree.nodes[0])
        steps += 1
        assert steps < 1000
        if code != PAUSED:
            members = members_of(tree)
            found.append(members)
            assert len(found) < 2**K
            assert tree.found[K:].all()
            assert tree.pending[0]
            tree.pending[0] = False
            assert margin_at(terms, members) >= worth
            assert code == (FOUND if known[members] == REACHED else UNCLEAR)
    assert len(set(found)) == len(found)
    assert {s for s in reached if margin_at(terms, s) >= worth} <= set(found)
    assert all(known[s] != REFUTED for s in found)


@settings(max_examples=10)
@given(seed=seeds, deeper=st.sampled_from([0, 1]), nodes=st.integers(1, 9), few=st.integers(-1, 2))
def test_trees_that_are_split_find_together_what_one_finds(
    seed: int, deeper: int, nodes: int, few: int
) -> None:
    region, terms, space = problem(seed, deeper)
    worth = max(margin_at(terms, s) for s in subsets(range(K))) - 8.0
    one, expected = tree_of(region, terms, (few, max(few, 0))), set[Members]()
    while advance(region, terms, one, space, worth, 10**6) != DONE:
        assert members_of(one) not in expected
        expected.add(members_of(one))
    trees, found = [tree_of(region, terms, (few, max(few, 0)))], list[Members]()
    while trees:
        tree = trees.pop(0)
        code = advance(region, terms, tree, space, worth, nodes)
        if code in (FOUND, UNCLEAR):
            found.append(members_of(tree))
        other = split(tree, worth) if code != DONE else None
        if other is not None:
            hand_over(tree, other)
        assert len(trees) < 100
        trees += [tree] * (code != DONE) + ([other] if other is not None else [])
    assert sorted(found) == sorted(expected)


@settings(max_examples=20)
@given(
    seed=seeds,
    deeper=st.sampled_from([0, 1, 2]),
    few=shares,
    nodes=st.sampled_from([1, 10**6]),
    always=st.sampled_from([0, 0, 1]),
    fewest=st.sampled_from([1, 2, 4]),
)
def test_a_tree_that_grows_does_what_one_with_all_rows_does(
    seed: int, deeper: int, few: tuple[int, int], nodes: int, always: int, fewest: int
) -> None:
    region, terms, space = problem(seed, deeper, always)
    worth = max(margin_at(terms, s) for s in subsets(range(K))) - 9.0
    whole = tree_of(region, terms, few)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_state, "LARGEST_START", 4 * fewest)
        patch.setattr(tree_state, "FEWEST_ROWS", fewest)
        tree = tree_of(region, terms, few)
    assert len(whole.count) == K + always + 1
    assert len(tree.count) == min(always + fewest, K + always + 1)
    code = -1
    while code != DONE:
        code = advance(region, terms, whole, space, worth, nodes)
        while (mine := advance(region, terms, tree, space, worth, nodes)) == FULL:
            rows, other = len(tree.count), deepened(tree)
            assert tree.depth[0] == rows - 1
            assert len(other.count) == min(2 * rows, K + always + 1) > rows
            tree = other
        assert mine == code
        assert tree.found.tolist() == whole.found.tolist()
        assert tree.nodes[0] == whole.nodes[0]
        assert tree.depth[0] == whole.depth[0]


def test_a_tree_has_few_rows_at_first_where_layers_are_wide() -> None:
    rng = np.random.default_rng(0)
    region = random_region(rng, 9)
    for width, rows in ((2, 10), (tree_state.LARGEST_START // 6, 6), (2**16, 4)):
        tree = new_tree(region, random_terms(rng, 9, width))
        assert len(tree.count) == len(tree.surplus) == len(tree.position) == rows
    tree.reach[:], tree.position[:], tree.surplus[3] = 5.0, [1, 2, 3, 4], 7.0
    longer = deepened(tree)
    assert (len(longer.count), len(deepened(longer).count)) == (8, 10)
    assert longer.position.tolist() == [1, 2, 3, 4, 0, 0, 0, 0]
    assert (longer.reach[:4] == 5.0).all() and (longer.surplus[3] == 7.0).all()
    assert longer.conflict is tree.conflict
    assert longer.at is tree.at


@pytest.mark.parametrize("always", [0, 1])
def test_what_excludes_each_other_at_the_root_does_so_everywhere(always: int) -> None:
    region, terms, space = problem(5, 0, always)
    everywhere = ~np.eye(K + always, dtype=bool)
    region = without_limits(region)._replace(
        excludes=everywhere,
        demand=np.full(K + always, -99.0),
        stay_demand=np.full(K + always, 99.0),
    )
    tree, found = tree_of(region, terms, (-1, 0)), list[Members]()
    while advance(region, terms, tree, space, -np.inf, 10**6) != DONE:
        found.append(members_of(tree))
    assert sorted(found) == [(i,) for i in range(K)]


def test_a_part_has_the_children_that_are_left_and_shares_no_array() -> None:
    region, terms, _ = problem(5, 0)
    tree = tree_of(region, terms, (-1, 0))
    tree.depth[0], tree.position[:3] = 2, [0, 3, 2]
    tree.reach[0], tree.reach[1], tree.reach[2] = 5.0, [1.0, 2.0, 4.0, 9.0, 9.0, 9.0], 8.0
    tree.nodes[0], tree.at.depth[0], tree.entering[0], tree.pending[0] = 44, 3, True, True
    assert split(tree, 4.5) is None  # the root has no further child, the next are not worth it
    assert tree.reach[1].tolist() == [1.0, 2.0, 4.0, 9.0, 9.0, 9.0]
    other = split(tree, 4.0)
    assert other is not None
    assert (other.depth[0], other.position[1], other.nodes[0]) == (1, 2, 0)
    assert not other.entering[0]
    assert not other.pending[0]
    assert is_over(other.at)
    for part in (tree, other):  # whoever is interrupted has lost nothing
        assert part.reach[1].tolist() == [1.0, 2.0, 4.0, 9.0, 9.0, 9.0]
    hand_over(tree, other)
    assert other.reach[1].tolist() == [1.0, 2.0, 4.0, 9.0, 9.0, 9.0]
    assert tree.pending[0]
    assert (tree.depth[0], tree.position[1], tree.nodes[0]) == (2, 3, 44)
    assert tree.at.depth[0] == 3
    assert tree.reach[1].tolist() == [-np.inf] * 3 + [9.0] * 3
    assert tree.reach[2].tolist() == [8.0] * 6
    pairs = [*zip(tree, other, strict=True), *zip(tree.at, other.at, strict=True)]
    arrays = [(a, b) for a, b in pairs if isinstance(a, np.ndarray)]
    assert len(arrays) > 20
    assert not any(np.shares_memory(a, b) for a, b in arrays)
    assert np.shares_memory(other.at.decided, other.at.eights)


def test_what_a_neuron_that_stays_refutes_says_nothing_of_supersets() -> None:
    """Flip 0 needs 1 to flip too: alone it has no point, with it there is one."""
    weight = np.array([[1.0, 1.0], [1.0, 1.0]])
    one = np.ones(2)
    terms = random_terms(np.random.default_rng(0), 2)
    for demand, keeps in (((1.0, 0.5), True), ((3.0, 2.5), False)):
        needs = np.array(demand)
        region = one_region(
            weight=weight, radius=one, demand=needs, stay_demand=needs, curvature=4.01
        )
        tree = new_tree(region, terms)
        tree.depth[0], tree.flipped[1], tree.position[1], tree.entering[0] = 1, 0, 1, True
        assert _decide_node(region, tree) == REFUTED
        assert bool(tree.entering[0]) == keeps
        assert tree.position[1] == (1 if keeps else -1)
        assert tree.found.tolist() == [True, False]

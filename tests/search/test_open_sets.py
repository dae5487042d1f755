"""The bound on what a stopped tree has not visited, against all flip sets that have a point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search import quadratic
from bnnopt.search.open_sets import open_bound
from bnnopt.search.problem import MarginTerms
from bnnopt.search.split import hand_over, split
from bnnopt.search.tree import DONE, FOUND, PAUSED, UNCLEAR, advance
from bnnopt.search.tree_state import Tree, new_tree
from tests.search.cases import Members, margin_at, random_region, random_terms, subsets, tree_of
from tests.search.test_tree import K, members_of, problem


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not compiled, as many steps as in a search would take long."""
    monkeypatch.setattr(quadratic, "LINEAR_STEPS", 4)
    monkeypatch.setattr(quadratic, "STEPS", 4)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    deeper=st.sampled_from([0, 1, 2]),
    lift=st.integers(-9, 0),
    few=st.sampled_from([(-1, 0), (0, 2), (3, 11)]),
    nodes=st.integers(1, 3),
    always=st.sampled_from([0, 0, 1]),
    parts=st.integers(1, 3),
)
def test_wherever_trees_stop_what_they_find_later_is_within_their_bounds(
    seed: int, deeper: int, lift: int, few: tuple[int, int], nodes: int, always: int, parts: int
) -> None:
    region, terms, space = problem(seed, deeper, always)
    worth = max(margin_at(terms, s) for s in subsets(range(K))) + lift
    trees, found, bounds = [tree_of(region, terms, few)], list[Members](), list[tuple[int, float]]()
    while trees:
        bounds.append((len(found), max(open_bound(terms, tree) for tree in trees)))
        tree = trees.pop(0)
        code = advance(region, terms, tree, space, worth, nodes)
        assert code in (DONE, PAUSED, FOUND, UNCLEAR)
        if code in (FOUND, UNCLEAR):
            found.append(members_of(tree))
            assert open_bound(terms, tree) >= margin_at(terms, found[-1]) - 1e-9
            tree.pending[0] = False
        trees += [tree] * (code != DONE)
        if code != DONE and len(trees) < parts and (other := split(tree, worth)) is not None:
            trees.append(other)
            bounds.append((len(found), max(open_bound(terms, part) for part in trees)))
            hand_over(tree, other)
    margins = [margin_at(terms, members) for members in found]
    for seen, bound in bounds:
        assert max(margins[seen:], default=-np.inf) <= bound + 1e-9


def one_tree(k: int = 6) -> tuple[MarginTerms, Tree]:
    rng = np.random.default_rng(0)
    terms = random_terms(rng, k)
    return terms, new_tree(random_region(rng, k), terms)


def test_a_path_leaves_open_the_children_before_those_at_work() -> None:
    terms, tree = one_tree()
    tree.depth[0], tree.position[:3], tree.entering[0] = 2, [3, 2, 1], False
    tree.reach[0, 2], tree.most[0, 3] = 20.0, 99.0
    tree.reach[1, 1], tree.most[1, 2] = 10.0, 98.0
    tree.reach[2, 1] = 30.0
    assert open_bound(terms, tree) == 30.0
    tree.position[2] = -1
    assert open_bound(terms, tree) == 20.0
    tree.position[0] = 0
    assert open_bound(terms, tree) == 10.0
    tree.most[0, 0] = 7.0  # bounds all below it
    assert open_bound(terms, tree) == 7.0
    tree.position[1] = 0
    assert open_bound(terms, tree) == -np.inf


def test_a_node_whose_children_are_not_bounded_has_the_bound_of_its_parents_child() -> None:
    terms, tree = one_tree()
    assert open_bound(terms, tree) == np.inf
    tree.depth[0], tree.position[:2], tree.count[1] = 1, [0, -1], 3
    tree.most[0, 0], tree.reach[1, :] = 5.0, 99.0
    assert open_bound(terms, tree) == 5.0
    tree.count[1] = 0
    assert open_bound(terms, tree) == -np.inf
    tree.entering[0], tree.at.depth[0] = False, 0  # sets are visited one by one
    assert open_bound(terms, tree) == 5.0


def test_a_tree_that_has_ended_leaves_nothing_but_the_set_that_waits() -> None:
    terms, tree = one_tree()
    tree.depth[0] = -1
    assert open_bound(terms, tree) == -np.inf
    tree.found[[1, 4]], tree.pending[0] = True, True
    assert open_bound(terms, tree) == margin_at(terms, (1, 4))

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.split import hand_over, split
from bnnopt.search.tree import advance
from bnnopt.search.tree_state import Tree, new_tree
from bnnopt.search.workspace import new_workspace
from tests.search.cases import tree_of
from tests.search.test_kernel import problem


def all_found(region: Region, terms: MarginTerms, tree: Tree, floor: float) -> list[bytes]:
    found = []
    space = new_workspace(region, terms)
    while advance(region, terms, tree, space, floor, 10**6) != 0:
        found.append(tree.found.tobytes())
    return found


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    widths=st.sampled_from([(9, 5), (9, 5, 4), (8, 5, 5, 4)]),
    floor=st.integers(-8, 8).map(float),  # of whole numbers the kernel is compiled anew
    nodes=st.integers(1, 12),
    few=st.sampled_from([-1, 2]),
)
def test_two_trees_find_what_one_finds_and_nothing_twice(
    seed: int, widths: tuple[int, ...], floor: float, nodes: int, few: int
) -> None:
    _, _, region, terms = problem(seed, widths, 0.5, inputs=9)
    space, shares = new_workspace(region, terms), (few, max(few, 0))
    expected = all_found(region, terms, tree_of(region, terms, shares), floor)
    trees, found = [tree_of(region, terms, shares)], []
    while trees:
        for tree in list(trees):
            code = advance(region, terms, tree, space, floor, nodes)
            if code > 1:
                found.append(tree.found.tobytes())
            if code == 0:
                trees = [other for other in trees if other is not tree]
        for tree in list(trees):
            if len(trees) < 3 and (other := split(tree, floor)) is not None:
                trees.append(other)
                hand_over(tree, other)
    assert sorted(found) == sorted(expected)


def test_the_root_bounds_of_both_parts_hold_for_what_they_keep() -> None:
    _, _, region, terms = problem(3, (9, 6, 5), 0.6, inputs=9)
    tree = tree_of(region, terms, (-1, 0))
    advance(region, terms, tree, new_workspace(region, terms), -100.0, 1)
    before = float(tree.reach[0, tree.position[0]])
    other = split(tree, -100.0)
    assert other is not None
    hand_over(tree, other)
    assert tree.reach[0, tree.position[0]] == before
    assert other.reach[0, other.position[0]] <= before
    assert np.all(tree.reach[0, : tree.position[0]] == -np.inf)
    assert other.position[0] == tree.position[0] - 1


def test_a_tree_without_children_worth_it_stays_whole() -> None:
    _, _, region, terms = problem(3, (9, 6, 5), 0.6, inputs=9)
    tree = new_tree(region, terms)
    advance(region, terms, tree, new_workspace(region, terms), -100.0, 1)
    assert split(tree, np.inf) is None

"""The function above the margin: of every set of a node's subtree, at any scale, deep or not."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bnnopt.search import quadratic
from bnnopt.search.quadratic import fit, fit_lines, wanted_candidates
from bnnopt.search.sets import NONE
from tests.search.cases import Members, Node, surplus_at

seeds = st.integers(0, 10**6)
layers = st.sampled_from([0, 0, 1, 2])
scales = st.sampled_from([2.0**-10, 1.0, 2.0**10])


def fitted(seed: int, deeper: int, scale: float, worth: float | None = None) -> tuple[Node, int]:
    node = Node(seed, 8, deeper, scale)
    worth = -1e9 * scale if worth is None else worth
    alive = fit(node.terms, node.tree, node.size, node.groups, worth, node.space)
    return node, alive


def by_last(node: Node) -> dict[int, list[Members]]:
    """The sets of the children: those with each place of the order last, as places in `kept`."""
    order = node.tree.order[node.depth, : node.size].tolist()
    children: dict[int, list[Members]] = {a: [] for a in range(node.size)}
    for places in node.sets[1:]:
        children[max(order.index(a) for a in places)].append(places)
    return children


@settings(max_examples=100)
@given(seed=seeds, deeper=layers, scale=scales)
def test_the_function_lies_above_the_margin_of_every_set(
    seed: int, deeper: int, scale: float
) -> None:
    node, _ = fitted(seed, deeper, scale)
    for places in node.sets:
        assert node.margin(places) <= node.function(places) + 1e-9 * scale


@settings(max_examples=100)
@given(seed=seeds, deeper=layers, scale=scales, lift=st.integers(-6, 6))
def test_children_that_are_left_out_have_no_set_that_is_worth_it(
    seed: int, deeper: int, scale: float, lift: int
) -> None:
    node = Node(seed, 8, deeper, scale)
    worth = max(node.margin(places) for places in node.sets) + scale * (lift - 0.01)
    alive = fit(node.terms, node.tree, node.size, node.groups, worth, node.space)
    bounds = node.tree.most[node.depth]
    kept = 0
    for last, sets in by_last(node).items():
        best = max(node.margin(places) for places in sets)
        assert best < worth or best <= bounds[last]
        kept += bounds[last] > -np.inf
    assert alive == kept


@settings(max_examples=100)
@given(seed=seeds, deeper=st.sampled_from([1, 2]), scale=scales)
def test_deeper_a_node_is_worth_it_exactly_where_its_function_allows_a_set(
    seed: int, deeper: int, scale: float
) -> None:
    node, _ = fitted(seed, deeper, scale)
    values = sorted({round(node.function(places) / scale, 6) for places in node.sets})
    for value in (values[-1], values[0], values[len(values) // 2]):
        for off in (-1e-3, 1e-3):
            worth = scale * (value + off)
            forget(node)
            left = wanted_candidates(node.terms, node.tree, node.size, worth, node.space)
            assert (left != NONE) == (scale * values[-1] >= worth)
            if left != NONE:
                allowed = [s for s in node.sets if node.function(s) / scale >= worth / scale]
                assert left == node.size if () in allowed else left == 1 + last_of(node, allowed)


def last_of(node: Node, sets: list[Members]) -> int:
    """The last place of the order that any of the sets has."""
    order = node.tree.order[node.depth, : node.size].tolist()
    return max((order.index(a) for places in sets for a in places), default=-1)


@settings(max_examples=100)
@given(seed=seeds, lift=st.integers(-4, 2), walked=st.sampled_from([0, 1, 10**6]))
def test_with_two_layers_a_node_is_worth_it_where_a_set_is(
    seed: int, lift: int, walked: int
) -> None:
    node, _ = fitted(seed, 0, 1.0)
    worth = max(node.margin(places) for places in node.sets) + lift - 0.01 * (seed % 2)
    wanted = [places for places in node.sets if node.margin(places) >= worth]
    forget(node)
    # Compiled, it would keep the constants that it was compiled with.
    candidates = getattr(wanted_candidates, "py_func", wanted_candidates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quadratic, "WALKED", walked)
        left = candidates(node.terms, node.tree, node.size, worth, node.space)
        patch.setattr(quadratic, "WIDEST", 3)  # by the function alone
        forget(node)
        unseen = candidates(node.terms, node.tree, node.size, worth, node.space)
    assert unseen >= (1 + last_of(node, wanted) if wanted else NONE)
    assert unseen >= left or walked < 2
    assert left >= (1 + last_of(node, wanted) if wanted else NONE)
    if () in wanted:
        assert left == node.size
    elif walked > 1:
        assert left == (1 + last_of(node, wanted) if wanted else NONE)


def forget(node: Node) -> None:
    """What the last call left in the space is not to be used by the next one."""
    space = node.space
    for array in (
        space.by_single,
        space.by_pair,
        space.single,
        space.pair,
        space.gain,
        space.reach,
    ):
        array[:] = 1e6
    node.tree.order[node.depth, : node.size] = node.kept


@settings(max_examples=40)
@given(seed=seeds)
def test_what_is_just_reached_is_worth_it(seed: int) -> None:
    node, _ = fitted(seed, 1, 1.0)
    space, tree = node.space, node.tree
    value = quadratic._by_flips(node.terms, tree, node.size, True, space)
    forget(node)
    assert wanted_candidates(node.terms, tree, node.size, value, space) == node.size
    value = quadratic._by_flips(node.terms, tree, 0, True, space)
    assert wanted_candidates(node.terms, tree, 0, value + 1e-6, space) == NONE
    assert wanted_candidates(node.terms, tree, 0, value, space) == 0
    value = quadratic._by_flips(node.terms, tree, 1, True, space)
    worth = value + max(space.by_single[0], 0.0)
    forget(node)
    assert wanted_candidates(node.terms, tree, 1, worth, space) == 1


@settings(max_examples=40)
@given(seed=seeds, scale=scales, lift=st.floats(-3.0, 1.0))
def test_children_are_bounded_by_what_the_function_allows(
    seed: int, scale: float, lift: float
) -> None:
    node, _ = fitted(seed, 0, scale)
    space, tree = node.space, node.tree
    for array in (node.tree.most, space.seen, space.seen_square):
        array[:] = 77.0
    worth = max(node.function(places) for places in node.sets) + scale * lift
    before, before_square = space.mean.copy(), space.square.copy()
    alive = quadratic._bound_by_sets(node.terms, tree, node.size, worth, 0.5, space)
    expected = {
        last: max(node.function(places) for places in sets) for last, sets in by_last(node).items()
    }
    bounds = tree.most[node.depth]
    assume(all(abs(value - worth) > 1e-6 * scale for value in expected.values()))
    is_left = [expected[last] >= worth for last in range(node.size)]
    assert alive == sum(is_left)
    for last in range(node.size):
        if is_left[last]:
            top = expected[last] - node.function(())
            assert bounds[last] >= expected[last]
            # No more than all that candidates up to it could add.
            order = tree.order[node.depth, : last + 1]
            single = [node.function((int(a),)) - node.function(()) for a in order]
            pairs = np.triu(np.maximum(space.by_pair[np.ix_(order, order)], 0.0), 1).sum()
            assert bounds[last] <= (
                node.function(()) + sum(max(s, 0.0) for s in single) + pairs + 1e-6 * scale
            )
            assert top <= bounds[last] - node.function(()) + 1e-6 * scale
        else:
            assert bounds[last] == -np.inf
    assert set(bounds[node.size :]) == {77.0}
    if alive == 0:
        assert (space.mean == before).all() and (space.square == before_square).all()
    else:  # half the way to moments of sets
        sums = np.array([surplus_at(node.terms, node.members(places)) for places in node.sets])
        for now, then, seen in ((space.mean, before, sums), (space.square, before_square, sums**2)):
            target = then + 2.0 * (now - then)
            assert (seen.min(axis=0) - 1e-9 <= target).all()
            assert (target <= seen.max(axis=0) + 1e-9).all()


@settings(max_examples=40)
@given(seed=seeds, deeper=layers, bends=st.booleans())
def test_in_the_flips_the_function_has_the_same_values(seed: int, deeper: int, bends: bool) -> None:
    node, _ = fitted(seed, deeper, 1.0)
    space, tree, depth = node.space, node.tree, node.depth
    rng = np.random.default_rng(seed)
    tree.level[depth], tree.slope[depth] = rng.normal(), rng.normal(size=4)
    tree.curve[depth] = rng.normal(size=4) if bends else 0.0
    space.by_pair[:] = 0.0
    value = quadratic._by_flips(node.terms, tree, node.size, bends, space)
    assert 0.0 < value - node.function(()) < 1e-7
    for places in node.sets:
        total = value + sum(space.by_single[a] for a in places)
        total += sum(space.by_pair[a, b] for a, b in combinations(places, 2))
        assert total == pytest.approx(node.function(places), abs=1e-7)


@settings(max_examples=40)
@given(seed=seeds)
def test_the_first_distribution_flips_classes_independently(seed: int) -> None:
    node = Node(seed, 7)
    space, groups = node.space, node.groups
    for array in (space.mean, space.square, space.rows):
        array[:] = 77.0
    quadratic._spread(node.terms, node.tree, node.size, groups, space)
    classes = [np.flatnonzero(space.group[: node.size] == c).tolist() for c in range(groups)]
    sums = [
        surplus_at(node.terms, node.members(tuple(a for a in chosen if a is not None)))
        for chosen in product(*[(None, *members) for members in classes])
    ]
    assert space.mean == pytest.approx(np.mean(sums, axis=0), abs=1e-9)
    assert space.square == pytest.approx(np.mean(np.square(sums), axis=0), abs=1e-9)


@settings(max_examples=40)
@given(seed=seeds, weight=st.floats(0.0, 1.0))
def test_moments_move_towards_those_of_the_sets_found(seed: int, weight: float) -> None:
    node = Node(seed, 7)
    rng, space, tree = np.random.default_rng(seed), node.space, node.tree
    tree.order[node.depth, : node.size] = rng.permutation(node.size)
    mean, square = rng.normal(size=4), rng.normal(size=4)
    space.mean[:], space.square[:] = mean, square
    space.seen[:], space.seen_square[:] = 0.0, 0.0
    sums = []
    for _ in range(3):
        path = rng.permutation(node.size)[: rng.integers(1, node.size + 1)]
        space.path[: len(path)] = path
        quadratic._add_moments(node.terms, tree, len(path), space)
        places = tuple(int(tree.order[node.depth, b]) for b in path)
        sums.append(surplus_at(node.terms, node.members(places)))
    quadratic._move_moments(weight, 3, space)
    target = np.mean(sums, axis=0)
    assert space.mean == pytest.approx(mean + weight * (target - mean))
    target = np.mean(np.square(sums), axis=0)
    assert space.square == pytest.approx(square + weight * (target - square))


@settings(max_examples=40)
@given(seed=seeds, deeper=layers, weight=st.floats(0.0, 1.0))
def test_a_new_function_is_averaged_with_the_one_before(
    seed: int, deeper: int, weight: float
) -> None:
    node, _ = fitted(seed, deeper, 1.0)
    depth, tree = node.depth, node.tree

    def state() -> list[Any]:
        parts = tree.level[depth], tree.slope[depth], tree.curve[depth], tree.activation[depth]
        return [np.copy(part) for part in parts]

    before = state()
    quadratic._average(node.terms, tree, weight, True, node.space)
    mixed = state()
    parts = tree.level, tree.slope, tree.curve, tree.activation
    for part, old in zip(parts, before, strict=True):
        part[depth] = old
    quadratic._average(node.terms, tree, 1.0, True, node.space)
    for new, old, between in zip(state(), before, mixed, strict=True):
        assert between == pytest.approx(old + weight * (new - old), abs=1e-9)
    if deeper:
        assert tree.activation[depth] == pytest.approx(node.space.activation)
    for places in node.sets:
        assert node.margin(places) <= node.function(places) + 1e-9


@settings(max_examples=8)
@given(seed=seeds, deeper=layers, scale=scales)
def test_lines_bound_every_set_by_its_classes(seed: int, deeper: int, scale: float) -> None:
    node = Node(seed, 7, deeper, scale)
    space, size = node.space, node.size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quadratic, "LINEAR_STEPS", 20)  # not compiled, 200 take long
        value = fit_lines(node.terms, node.tree, size, node.groups, space)
    assert not node.tree.curve[node.depth].any()
    most = np.zeros(node.groups)
    np.maximum.at(most, space.group[:size], space.by_single[:size])
    for places in node.sets:
        total = value + sum(space.by_single[a] for a in places)
        assert node.margin(places) <= total <= value + most.sum() + 1e-9 * scale
        assert total == pytest.approx(node.function(places), abs=1e-6 * scale)


def test_fitting_prunes_what_intervals_leave() -> None:
    """Steps are worth their time: over many nodes the children left get far fewer."""
    first = last = 0
    for seed in range(40):
        node = Node(seed, 9)
        worth = max(node.margin(places) for places in node.sets) + 0.99
        quadratic._spread(node.terms, node.tree, node.size, node.groups, node.space)
        quadratic._average(node.terms, node.tree, 1.0, True, node.space)
        first += quadratic._bound_by_sets(node.terms, node.tree, node.size, worth, 1.0, node.space)
        node.tree.order[node.depth, : node.size] = node.kept
        last += fit(node.terms, node.tree, node.size, node.groups, worth, node.space)
    assert last < 0.8 * first

"""The function above the margin: of every set of a node's subtree, at any scale, deep or not."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bnnopt.search import above
from bnnopt.search.above import fit, fit_lines, is_worth_it
from tests.search.cases import Members, Node, surplus_at

seeds = st.integers(0, 10**6)
layers = st.sampled_from([0, 0, 1, 2])
scales = st.sampled_from([2.0**-10, 1.0, 2.0**10])


def fitted(seed: int, deeper: int, scale: float, worth: float | None = None) -> tuple[Node, int]:
    node = Node(seed, 8, deeper, scale)
    worth = -1e9 * scale if worth is None else worth
    alive = fit(node.terms, node.tree, node.size, node.groups, worth, node.room)
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
    alive = fit(node.terms, node.tree, node.size, node.groups, worth, node.room)
    bounds = node.tree.most[node.depth]
    kept = 0
    for last, sets in by_last(node).items():
        best = max(node.margin(places) for places in sets)
        assert best < worth or best <= bounds[last]
        kept += bounds[last] > -np.inf
    assert alive == kept


@settings(max_examples=100)
@given(seed=seeds, deeper=layers, scale=scales)
def test_a_node_is_worth_it_exactly_where_its_function_allows_a_set(
    seed: int, deeper: int, scale: float
) -> None:
    node, _ = fitted(seed, deeper, scale)
    values = sorted({round(node.function(places) / scale, 6) for places in node.sets})
    for value in (values[-1], values[0], values[len(values) // 2]):
        for off in (-1e-3, 1e-3):
            worth = scale * (value + off)
            forget(node)
            found = is_worth_it(node.terms, node.tree, node.size, worth, node.room)
            assert found == (scale * values[-1] >= worth)


def forget(node: Node) -> None:
    """What the last call left in the room is not to be used by the next one."""
    room = node.room
    for array in (room.by_single, room.by_pair, room.single, room.pair, room.gain, room.reach):
        array[:] = 1e6
    node.tree.order[node.depth, : node.size] = node.kept


@settings(max_examples=40)
@given(seed=seeds)
def test_what_is_just_reached_is_worth_it(seed: int) -> None:
    node, _ = fitted(seed, 0, 1.0)
    room, tree = node.room, node.tree
    value = above._by_flips(node.terms, tree, node.size, True, room)
    forget(node)
    assert is_worth_it(node.terms, tree, node.size, value, room)
    value = above._by_flips(node.terms, tree, 0, True, room)
    assert not is_worth_it(node.terms, tree, 0, value + 1e-6, room)
    assert is_worth_it(node.terms, tree, 0, value, room)
    value = above._by_flips(node.terms, tree, 1, True, room)
    worth = value + max(room.by_single[0], 0.0)
    forget(node)
    assert is_worth_it(node.terms, tree, 1, worth, room)


@settings(max_examples=40)
@given(seed=seeds, scale=scales, lift=st.floats(-3.0, 1.0))
def test_children_are_bounded_by_what_the_function_allows(
    seed: int, scale: float, lift: float
) -> None:
    node, _ = fitted(seed, 0, scale)
    room, tree = node.room, node.tree
    for array in (node.tree.most, room.seen, room.seen_square):
        array[:] = 77.0
    worth = max(node.function(places) for places in node.sets) + scale * lift
    before, before_square = room.mean.copy(), room.square.copy()
    alive = above._bound_by_sets(node.terms, tree, node.size, worth, 0.5, room)
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
            pairs = np.triu(np.maximum(room.by_pair[np.ix_(order, order)], 0.0), 1).sum()
            assert bounds[last] <= (
                node.function(()) + sum(max(s, 0.0) for s in single) + pairs + 1e-6 * scale
            )
            assert top <= bounds[last] - node.function(()) + 1e-6 * scale
        else:
            assert bounds[last] == -np.inf
    assert set(bounds[node.size :]) == {77.0}
    if alive == 0:
        assert (room.mean == before).all() and (room.square == before_square).all()
    else:  # half the way to moments of sets
        sums = np.array([surplus_at(node.terms, node.members(places)) for places in node.sets])
        for now, then, seen in ((room.mean, before, sums), (room.square, before_square, sums**2)):
            target = then + 2.0 * (now - then)
            assert (seen.min(axis=0) - 1e-9 <= target).all()
            assert (target <= seen.max(axis=0) + 1e-9).all()


@settings(max_examples=40)
@given(seed=seeds, deeper=layers, bends=st.booleans())
def test_in_the_flips_the_function_has_the_same_values(seed: int, deeper: int, bends: bool) -> None:
    node, _ = fitted(seed, deeper, 1.0)
    room, tree, depth = node.room, node.tree, node.depth
    rng = np.random.default_rng(seed)
    tree.level[depth], tree.slope[depth] = rng.normal(), rng.normal(size=4)
    tree.curve[depth] = rng.normal(size=4) if bends else 0.0
    room.by_pair[:] = 0.0
    value = above._by_flips(node.terms, tree, node.size, bends, room)
    assert 0.0 < value - node.function(()) < 1e-7
    for places in node.sets:
        total = value + sum(room.by_single[a] for a in places)
        total += sum(room.by_pair[a, b] for a, b in combinations(places, 2))
        assert total == pytest.approx(node.function(places), abs=1e-7)


@settings(max_examples=40)
@given(seed=seeds)
def test_the_first_distribution_flips_classes_independently(seed: int) -> None:
    node = Node(seed, 7)
    room, groups = node.room, node.groups
    for array in (room.mean, room.square, room.rows):
        array[:] = 77.0
    above._spread(node.terms, node.tree, node.size, groups, room)
    classes = [np.flatnonzero(room.group[: node.size] == c).tolist() for c in range(groups)]
    sums = [
        surplus_at(node.terms, node.members(tuple(a for a in chosen if a is not None)))
        for chosen in product(*[(None, *members) for members in classes])
    ]
    assert room.mean == pytest.approx(np.mean(sums, axis=0), abs=1e-9)
    assert room.square == pytest.approx(np.mean(np.square(sums), axis=0), abs=1e-9)


@settings(max_examples=40)
@given(seed=seeds, weight=st.floats(0.0, 1.0))
def test_moments_move_towards_those_of_the_sets_found(seed: int, weight: float) -> None:
    node = Node(seed, 7)
    rng, room, tree = np.random.default_rng(seed), node.room, node.tree
    tree.order[node.depth, : node.size] = rng.permutation(node.size)
    mean, square = rng.normal(size=4), rng.normal(size=4)
    room.mean[:], room.square[:] = mean, square
    room.seen[:], room.seen_square[:] = 0.0, 0.0
    sums = []
    for _ in range(3):
        path = rng.permutation(node.size)[: rng.integers(1, node.size + 1)]
        room.path[: len(path)] = path
        above._add_moments(node.terms, tree, len(path), room)
        places = tuple(int(tree.order[node.depth, b]) for b in path)
        sums.append(surplus_at(node.terms, node.members(places)))
    above._move_moments(weight, 3, room)
    target = np.mean(sums, axis=0)
    assert room.mean == pytest.approx(mean + weight * (target - mean))
    target = np.mean(np.square(sums), axis=0)
    assert room.square == pytest.approx(square + weight * (target - square))


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
    above._average(node.terms, tree, weight, True, node.room)
    mixed = state()
    parts = tree.level, tree.slope, tree.curve, tree.activation
    for part, old in zip(parts, before, strict=True):
        part[depth] = old
    above._average(node.terms, tree, 1.0, True, node.room)
    for new, old, between in zip(state(), before, mixed, strict=True):
        assert between == pytest.approx(old + weight * (new - old), abs=1e-9)
    if deeper:
        assert tree.activation[depth] == pytest.approx(node.room.activation)
    for places in node.sets:
        assert node.margin(places) <= node.function(places) + 1e-9


@settings(max_examples=8)
@given(seed=seeds, deeper=layers, scale=scales)
def test_lines_bound_every_set_by_its_classes(seed: int, deeper: int, scale: float) -> None:
    node = Node(seed, 7, deeper, scale)
    room, size = node.room, node.size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(above, "LINEAR_STEPS", 20)  # not compiled, 200 take long
        value = fit_lines(node.terms, node.tree, size, node.groups, room)
    assert not node.tree.curve[node.depth].any()
    most = np.zeros(node.groups)
    np.maximum.at(most, room.group[:size], room.by_single[:size])
    for places in node.sets:
        total = value + sum(room.by_single[a] for a in places)
        assert node.margin(places) <= total <= value + most.sum() + 1e-9 * scale
        assert total == pytest.approx(node.function(places), abs=1e-6 * scale)


def test_fitting_prunes_what_intervals_leave() -> None:
    """Steps are worth their time: over many nodes the children left get far fewer."""
    first = last = 0
    for seed in range(40):
        node = Node(seed, 9)
        worth = max(node.margin(places) for places in node.sets) + 0.99
        above._spread(node.terms, node.tree, node.size, node.groups, node.room)
        above._average(node.terms, node.tree, 1.0, True, node.room)
        first += above._bound_by_sets(node.terms, node.tree, node.size, worth, 1.0, node.room)
        node.tree.order[node.depth, : node.size] = node.kept
        last += fit(node.terms, node.tree, node.size, node.groups, worth, node.room)
    assert last < 0.8 * first

"""The search over sets of candidates, on whole numbers: every value and every tie is exact."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search.sets import (
    CONFLICT,
    NONE,
    PAIR_SHARE,
    _add_member,
    _last_free,
    _most_added,
    find_set,
    sort_candidates,
    walk_sets,
)
from bnnopt.search.workspace import Workspace, new_workspace
from tests.search.cases import one_region, random_conflicts, random_terms, subsets

seeds = st.integers(0, 10**6)


def blank_space(k: int) -> Workspace:
    terms = random_terms(np.random.default_rng(0), k, 1)
    return new_workspace(one_region(demand=np.ones(k)), terms)


def whole_numbers(seed: int, scale: float = 1.0) -> tuple[int, Workspace]:
    """A function of whole numbers; its workspace is larger than it and full of other numbers."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 8))
    space = blank_space(k + 2)
    for array in (
        space.single,
        space.pair,
        space.gain,
        space.reach,
        space.by_single,
        space.by_pair,
    ):
        array[:] = 77.0 * scale
    space.by_single[:k] = scale * rng.integers(-5, 4, k)
    pair = np.triu(rng.integers(-3, 4, (k, k)), 1)
    space.by_pair[:k, :k] = scale * (pair + pair.T)
    space.conflict[:k, :k] = random_conflicts(rng, k, 0.2)
    return k, space


def value(space: Workspace, members: tuple[int, ...]) -> float:
    pairs = sum(space.by_pair[i, j] for i, j in combinations(members, 2))
    return float(sum(space.by_single[i] for i in members) + pairs)


@settings(max_examples=60)
@given(seed=seeds, scale=st.sampled_from([2.0**-20, 1.0, 2.0**20]))
def test_the_order_and_what_candidates_add_are_as_stated(seed: int, scale: float) -> None:
    k, space = whole_numbers(seed, scale)
    order = np.full(k + 2, -9)
    sort_candidates(k, order, space)
    pairs = np.where(space.conflict[:k, :k], 0.0, np.maximum(space.by_pair[:k, :k], 0.0))
    np.fill_diagonal(pairs, 0.0)
    key = space.by_single[:k] + PAIR_SHARE * pairs.sum(axis=1)
    assert order.tolist() == [*np.argsort(key, kind="stable").tolist(), -9, -9]
    pairs = pairs[np.ix_(order[:k], order[:k])]
    for a in range(k):
        i = order[a]
        for b in range(a):
            expected = CONFLICT if space.conflict[i, order[b]] else space.by_pair[i, order[b]]
            assert space.pair[a, b] == expected
        halves = 0.5 * pairs[:a].sum(axis=0)
        assert space.gain[a, :k].tolist() == halves.tolist()
        assert space.single[0, a] == space.by_single[i]
        gains = 0.5 * pairs[: a + 1, : a + 1].sum(axis=1)
        most = np.maximum(space.by_single[order[: a + 1]] + gains, 0.0)
        assert space.reach[a] == most.sum()


@settings(max_examples=80)
@given(seed=seeds, scale=st.sampled_from([2.0**-20, 1.0, 2.0**20]), start=st.integers(-4, 4))
def test_a_set_is_found_exactly_where_one_reaches_what_is_sought(
    seed: int, scale: float, start: int
) -> None:
    k, space = whole_numbers(seed, scale)
    order = np.zeros(k + 2, dtype=np.int64)
    sort_candidates(k, order, space)
    for last in range(k):
        values = []
        for places in subsets(range(last)):
            members = (*(int(order[a]) for a in places), int(order[last]))
            if not any(space.conflict[i, j] for i, j in combinations(members, 2)):
                values.append(scale * start + value(space, members))
        best = max(values)
        assert best <= scale * start + space.reach[last]
        for above in (-3, -1, 0, 1, 3):
            worth = best + scale * above
            count = find_set(scale * start, last, worth, 10**6, space)
            assert (count > 0) == (above <= 0)
            assert count >= 0
            if count > 0:
                members = tuple(int(order[a]) for a in space.path[:count])
                assert space.path[0] == last
                assert (np.diff(space.path[:count]) < 0).all()
                assert scale * start + value(space, members) >= worth
                assert not space.conflict[np.ix_(members, members)].any()


@settings(max_examples=60)
@given(seed=seeds)
def test_what_is_left_beside_a_new_member_is_as_stated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    new, depth = int(rng.integers(0, 7)), int(rng.integers(0, 3))
    single, pair, gain = (rng.integers(low, 5, (8, 8)).astype(float) for low in (-4, -4, 0))
    before = single.copy()
    added = _add_member(single, depth, pair, gain, new)
    after = (before[depth] + pair[new])[:new]
    assert single[depth + 1, :new].tolist() == after.tolist()
    single[depth + 1, :new] = before[depth + 1, :new]
    assert np.array_equal(single, before)
    assert added == np.maximum(after + gain[new, :new], 0.0).sum()
    most = np.maximum(single[depth] + gain[new], 0.0)[:new].sum()
    assert _most_added(single, depth, gain, new) == most
    single[:] = np.where(rng.random((8, 8)) < 0.5, CONFLICT, single)
    free = np.flatnonzero(single[depth, :new] > CONFLICT)
    assert _last_free(single, depth, new - 1) == (free[-1] if len(free) else NONE)


@pytest.mark.parametrize("k", [2, 5, 7])
def test_a_search_ends_without_an_answer_after_as_many_sets_as_allowed(k: int) -> None:
    space, order = blank_space(k), np.zeros(k, dtype=np.int64)
    # Any two members but one pair lose; all sets are seen where only the whole is worth it.
    space.by_single[:] = 1.0
    sort_candidates(k, order, space)
    worth = float(k)
    assert find_set(0.0, k - 1, worth, k - 2, space) == (-1 if k > 2 else k)
    assert find_set(0.0, k - 1, worth, k - 1, space) == k
    assert find_set(0.0, k - 1, worth + 0.5, 1, space) == 0


@settings(max_examples=150)
@given(
    seed=seeds, start=st.integers(-4, 6), gain=st.sampled_from([1.0, 1.0 + 2.0**-30, 2.0**24 + 1.0])
)
def test_a_walk_looks_at_every_set_that_the_function_allows(
    seed: int, start: int, gain: float
) -> None:
    k, space = whole_numbers(seed)
    terms = random_terms(np.random.default_rng(seed), k + 2, 1 + seed % 3)
    terms = terms._replace(gain=terms.gain * gain)  # which single precision may not hold
    room = new_workspace(one_region(demand=np.ones(k + 2)), terms)
    space = space._replace(
        least=room.least + 77.0, small_gain=room.small_gain, kept=np.roll(np.arange(k + 2), 1)
    )
    order = np.zeros(k + 2, dtype=np.int64)
    sort_candidates(k, order, space)
    worth: dict[int, float] = {}  # the largest value that both reach, by the last member
    for places in subsets(range(k)):
        members = tuple(int(order[a]) for a in places)
        if not any(space.conflict[i, j] for i, j in combinations(members, 2)):
            surplus = terms.surplus + terms.change[space.kept[list(members)]].sum(axis=0)
            margin = float(terms.constant + terms.gain @ (surplus >= 0.0))
            last = max(places, default=-1)
            both = min(margin, start + value(space, members)) if places else margin
            worth[last] = max(worth.get(last, -np.inf), both)
    for wanted in (*range(-4, 9, 2), max(worth.values()), max(worth.values()) + 1.0):
        lasts = [last for last, most in worth.items() if most >= wanted]
        left = 1 + max(lasts) if lasts else NONE
        left = k if -1 in lasts else left
        args = (terms, terms.surplus, order[:k], float(start), float(wanted))
        assert walk_sets(*args, 10**6, space) == left
        early = walk_sets(*args, 1, space)
        assert early in {left, *range(max(left, 0), k + 1)}


@pytest.mark.parametrize("k", [3, 4, 6])
def test_a_walk_reaches_a_set_that_its_bound_hardly_allows(k: int) -> None:
    # Each flip loses 1 and each pair gains 2, so that halves of pairs bound every set exactly, and
    # all k flips together are worth most; the neuron is on where all are made, and no sooner.
    terms = random_terms(np.random.default_rng(0), k, 1)._replace(
        surplus=np.full(1, -k, dtype=np.float32),
        change=np.ones((k, 1), dtype=np.float32),
        constant=0.0,
        gain=np.full(1, 1000.0),
    )
    space = new_workspace(one_region(demand=np.ones(k)), terms)
    space.kept[:] = np.arange(k)
    space.by_single[:], space.by_pair[:] = -1.0, 2.0
    order = np.zeros(k, dtype=np.int64)
    sort_candidates(k, order, space)
    worth = float(k * (k - 1) - k)
    assert walk_sets(terms, terms.surplus, order, 0.0, worth, 10**6, space) == k
    assert walk_sets(terms, terms.surplus, order, 0.0, worth + 1.0, 10**6, space) == NONE
    never = terms._replace(gain=np.zeros(1), constant=-1000.0)
    assert walk_sets(never, terms.surplus, order, 0.0, worth, k, space) == NONE
    assert walk_sets(never, terms.surplus, order, 0.0, worth, k - 1, space) == k

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search.sets import find_set, sort_candidates
from bnnopt.search.workspace import Workspace, new_workspace
from tests.search.test_kernel import problem


def example(seed: int) -> tuple[int, Workspace]:
    """A random function and random conflicts, in the workspace of some problem."""
    _, _, region, terms = problem(seed, (8, 4), 0.5, inputs=8)
    k = len(region.demand)
    space, rng = new_workspace(region, terms), np.random.default_rng(seed)
    space.by_single[:] = rng.normal(0.0, 2.0, k)
    pair = rng.normal(0.0, 1.0, (k, k))
    space.by_pair[:] = pair + pair.T
    conflict = np.triu(rng.random((k, k)) < 0.2, 1)
    space.conflict[:] = conflict | conflict.T
    return k, space


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), worth=st.floats(-3.0, 8.0))
def test_a_set_is_found_exactly_where_enumeration_finds_one(seed: int, worth: float) -> None:
    k, space = example(seed)
    order = np.zeros(k, dtype=np.int64)
    sort_candidates(k, order, space)
    assert sorted(order.tolist()) == list(range(k))

    def value(members: tuple[int, ...]) -> float:
        pairs = combinations(members, 2)
        single = sum(space.by_single[i] for i in members)
        return 1.0 + float(single + sum(space.by_pair[i, j] for i, j in pairs))

    so_far = 1.0
    for last in range(k):
        before = order[:last].tolist()
        values = [
            value((*chosen, int(order[last])))
            for size in range(last + 1)
            for chosen in combinations(before, size)
            if not space.conflict[np.ix_([*chosen, order[last]], [*chosen, order[last]])].any()
        ]
        so_far = max(so_far, *values)
        assert so_far <= 1.0 + space.reach[last] + 1e-9
        count = find_set(1.0, last, worth, 10**6, space)
        assert (count > 0) == (max(values) >= worth)
        if count:
            members = tuple(order[space.path[:count]].tolist())
            assert space.path[0] == last
            assert value(members) >= worth - 1e-9
            assert not space.conflict[np.ix_(members, members)].any()


def test_a_search_that_sees_too_many_sets_gives_up_without_an_answer() -> None:
    k, space = example(1)
    space.by_single[:], space.by_pair[:], space.conflict[:] = 1.0, 0.0, False
    order = np.zeros(k, dtype=np.int64)
    sort_candidates(k, order, space)
    assert find_set(0.0, k - 1, k - 1.5, 1, space) == -1
    assert find_set(0.0, k - 1, k - 0.5, 10**6, space) == k
    assert find_set(0.0, k - 1, k + 0.5, 10**6, space) == 0

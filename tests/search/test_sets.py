from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search.room import Room, new_room
from bnnopt.search.sets import find_set, sort_candidates
from tests.search.test_kernel import problem


def example(seed: int) -> tuple[int, Room]:
    """A random function and random conflicts, in the room of some problem."""
    _, flips, region, terms = problem(seed, (8, 4), 0.5, inputs=8)
    k = len(flips.neurons)
    room, rng = new_room(region, terms), np.random.default_rng(seed)
    room.by_single[:] = rng.normal(0.0, 2.0, k)
    pair = rng.normal(0.0, 1.0, (k, k))
    room.by_pair[:] = pair + pair.T
    conflict = np.triu(rng.random((k, k)) < 0.2, 1)
    room.conflict[:] = conflict | conflict.T
    return k, room


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), worth=st.floats(-3.0, 8.0))
def test_a_set_is_found_exactly_where_enumeration_finds_one(seed: int, worth: float) -> None:
    k, room = example(seed)
    order = np.zeros(k, dtype=np.int64)
    sort_candidates(k, order, room)
    assert sorted(order.tolist()) == list(range(k))

    def value(members: tuple[int, ...]) -> float:
        pairs = combinations(members, 2)
        single = sum(room.by_single[i] for i in members)
        return 1.0 + float(single + sum(room.by_pair[i, j] for i, j in pairs))

    so_far = 1.0
    for last in range(k):
        before = order[:last].tolist()
        values = [
            value((*chosen, int(order[last])))
            for size in range(last + 1)
            for chosen in combinations(before, size)
            if not room.conflict[np.ix_([*chosen, order[last]], [*chosen, order[last]])].any()
        ]
        so_far = max(so_far, *values)
        assert so_far <= 1.0 + room.reach[0, last] + 1e-9
        count = find_set(1.0, last, worth, 10**6, room)
        assert (count > 0) == (max(values) >= worth)
        if count:
            members = tuple(order[room.path[:count]].tolist())
            assert room.path[0] == last
            assert value(members) >= worth - 1e-9
            assert not room.conflict[np.ix_(members, members)].any()


def test_a_search_that_sees_too_many_sets_gives_up_without_an_answer() -> None:
    k, room = example(1)
    room.by_single[:], room.by_pair[:], room.conflict[:] = 1.0, 0.0, False
    order = np.zeros(k, dtype=np.int64)
    sort_candidates(k, order, room)
    assert find_set(0.0, k - 1, k - 1.5, 1, room) == -1
    assert find_set(0.0, k - 1, k - 0.5, 10**6, room) == k
    assert find_set(0.0, k - 1, k + 0.5, 10**6, room) == 0

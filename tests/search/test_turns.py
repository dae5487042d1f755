"""A flip set on the move against the same set made anew: sums, surpluses, margins, tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search.place import (
    MEMORY,
    Place,
    Worth,
    _switches,
    exclude,
    move_to,
    new_place,
    passes_sum_test,
    turn,
    worth_of,
)
from bnnopt.search.problem import MarginTerms
from tests.search.cases import (
    fails_sum_test,
    margin_at,
    random_region,
    random_terms,
    surplus_at,
)

seeds = st.integers(0, 10**6)
layers = st.sampled_from([0, 1, 2])
K = 6


def some_targets(rng: np.random.Generator, deeper: int, k: int = K) -> list[MarginTerms]:
    """Terms that differ in what the last layer's neurons gain only."""
    first = random_terms(rng, k, 5, deeper)
    return [
        first._replace(gain=rng.choice([-4.0, 0.0, 4.0], 5), constant=float(rng.integers(-3, 4)))
        for _ in range(2)
    ]


def check(place: Place, worth: Worth, terms: list[MarginTerms], flipped: np.ndarray) -> None:
    members = tuple(np.flatnonzero(flipped).tolist())
    assert place.flipped.tolist() == flipped.tolist()
    surplus = surplus_at(terms[0], members)
    assert place.surplus[0].tolist() == surplus.tolist()
    for at in range(len(worth.weight)):
        surplus = terms[0].weight[at] @ (surplus >= 0) - terms[0].needed[at]
        assert place.surplus[at + 1].tolist() == surplus.tolist()
    assert place.margin.tolist() == [margin_at(t, members) for t in terms]


@settings(max_examples=60)
@given(seed=seeds, deeper=layers)
def test_every_turn_gives_what_the_set_has_anew(seed: int, deeper: int) -> None:
    rng = np.random.default_rng(seed)
    region, terms = random_region(rng, K), some_targets(rng, deeper)
    worth = worth_of(terms)
    place = new_place(worth)
    flipped = np.zeros(K, dtype=bool)
    check(place, worth, terms, flipped)
    keys = {flipped.tobytes(): int(place.key[0])}
    for i in rng.integers(K, size=25).tolist():
        turn(region, worth, place, i)
        flipped[i] ^= True
        check(place, worth, terms, flipped)
        assert place.demand[0] == pytest.approx(region.demand[flipped].sum())
        assert keys.setdefault(flipped.tobytes(), int(place.key[0])) == place.key[0]
    assert len(set(keys.values())) == len(keys)
    place.demand[0] += 0.3  # as rounding might, over many turns
    other = rng.random(K) < 0.5
    move_to(region, worth, place, other)
    check(place, worth, terms, other)
    assert place.demand[0] == region.demand[other].sum()


@settings(max_examples=30)
@given(seed=seeds)
def test_the_neurons_that_turn_are_those_whose_sign_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    surplus = rng.integers(-2, 3, 7).astype(np.float32)
    row, sign = rng.integers(-2, 3, 7).astype(np.float32), float(rng.choice([-1.0, 1.0]))
    after, turned = surplus.copy(), np.zeros(7, dtype=np.int64)
    count = _switches(after, row, np.float32(sign), turned)
    assert after.tolist() == (surplus + sign * row).tolist()
    assert turned[:count].tolist() == np.flatnonzero((surplus >= 0) != (after >= 0)).tolist()


@settings(max_examples=100)
@given(seed=seeds, always=st.integers(0, 1))
def test_the_sum_test_is_that_of_all_rows_of_the_set(seed: int, always: int) -> None:
    rng = np.random.default_rng(seed)
    region = random_region(rng, K, 5, always, tight=0.8)
    terms = some_targets(rng, 0, K + always)
    worth = worth_of(terms)
    place = new_place(worth)
    flipped = rng.random(K + always) < 0.5
    flipped[K:] = True
    move_to(region, worth, place, flipped)
    inside = tuple(np.flatnonzero(flipped[:K]).tolist())
    assert passes_sum_test(region, place) == (not fails_sum_test(region, inside))


@pytest.mark.parametrize(
    ("off", "passes"), [(4e-6, False), (5e-7, True), (0.0, True), (-1e-6, True)]
)
def test_a_sum_fails_by_more_than_rounding(off: float, passes: bool) -> None:
    rng = np.random.default_rng(0)
    region = random_region(rng, 2)
    reach = np.abs(region.weight.sum(axis=0)) @ region.radius
    region = region._replace(demand=np.full(2, (reach + off) / 2))
    worth = worth_of(some_targets(rng, 0, 2))
    place = new_place(worth)
    move_to(region, worth, place, np.ones(2, dtype=bool))
    assert passes_sum_test(region, place) == passes


@settings(max_examples=60)
@given(seed=seeds, always=st.integers(0, 1))
def test_the_sum_test_allows_for_the_rounding_of_each_row(seed: int, always: int) -> None:
    rng = np.random.default_rng(seed)
    region = random_region(rng, K, 5, always, tight=0.8)._replace(rounding=0.05)
    worth = worth_of(some_targets(rng, 0, K + always))
    place = new_place(worth)
    flipped = rng.random(K + always) < 0.5
    flipped[K:] = True
    move_to(region, worth, place, flipped)
    inside = np.flatnonzero(flipped[:K])
    times = np.ceil(region.rate * np.sqrt(len(inside))) if always else 0.0
    rows = [*inside.tolist(), *[K] * int(times)]
    reach = np.abs(region.weight[rows].sum(axis=0)) @ region.radius
    fails_by = region.demand[rows].sum() - reach
    allowed = max(0.05 * len(rows), 1e-6)
    assert abs(fails_by - allowed) < 1e-9 or passes_sum_test(region, place) == (fails_by <= allowed)


def test_a_set_without_a_point_is_remembered_at_its_place() -> None:
    rng = np.random.default_rng(0)
    worth = worth_of(some_targets(rng, 0))
    place = new_place(worth)
    assert len(place.without) == MEMORY
    exclude(place)
    assert np.flatnonzero(place.without).tolist() == [place.key[0] % MEMORY]
    assert place.without[place.key[0] % MEMORY] == place.key[0]


def test_targets_are_collected_without_a_change() -> None:
    terms = some_targets(np.random.default_rng(1), 2)
    worth = worth_of(terms)
    assert worth.gain.T.tolist() == [t.gain.tolist() for t in terms]
    assert worth.constant.tolist() == [t.constant for t in terms]
    assert worth.weight.transpose(0, 2, 1).tolist() == terms[0].weight.tolist()
    assert worth.needed.tolist() == terms[0].needed.tolist()

"""A flip set on the move against the same set made anew: sums, surpluses, margins, tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search.gray_code import is_in_subset
from bnnopt.search.position import (
    MEMORY,
    MOST_STEPS,
    Position,
    TargetTerms,
    _find_switched,
    _whole_steps,
    exclude,
    move_to,
    new_position,
    passes_sum_test,
    target_terms,
    turn,
    walk,
)
from bnnopt.search.problem import LANES, MarginTerms
from tests.search.cases import (
    fails_sum_test,
    layers_of,
    margin_at,
    random_region,
    random_terms,
    subsets,
    surplus_at,
    without_limits,
)

seeds = st.integers(0, 10**6)
layers = st.sampled_from([0, 1, 2])
K = 6


def some_targets(
    rng: np.random.Generator, deeper: int, k: int = K, width: int = 5
) -> list[MarginTerms]:
    """Terms that differ in what the last layer's neurons gain only."""
    first = random_terms(rng, k, width, deeper)
    gains = rng.choice([-4.0, 0.0, 4.0], (2, len(first.gain)))
    return [first._replace(gain=gain, constant=float(rng.integers(-3, 4))) for gain in gains]


def surpluses(terms: MarginTerms, members: tuple[int, ...]) -> list[np.ndarray]:
    """Of every layer."""
    found = [surplus_at(terms, members)]
    for weight, needed in layers_of(terms):
        found.append(weight @ (found[-1] >= 0) - needed)
    return found


def check(
    position: Position, targets: TargetTerms, terms: list[MarginTerms], flipped: np.ndarray
) -> None:
    members = tuple(np.flatnonzero(flipped).tolist())
    assert position.flipped.tolist() == flipped.tolist()
    for at, surplus in enumerate(surpluses(terms[0], members)):
        first, end = targets.start[at : at + 2]
        assert position.surplus[first : first + len(surplus)].tolist() == surplus.tolist()
        assert (position.surplus[first + len(surplus) : end] < 0.0).all()
    assert position.on.tolist() == (position.surplus >= 0.0).tolist()
    assert position.margin.tolist() == [margin_at(t, members) for t in terms]


@settings(max_examples=60)
@given(seed=seeds, deeper=layers, width=st.sampled_from([5, 20]), count=st.integers(1, 2))
def test_every_turn_gives_what_the_set_has_anew(
    seed: int, deeper: int, width: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    terms = some_targets(rng, deeper, width=width)[:count]
    targets = target_terms(terms)
    position = new_position(targets)
    flipped = np.zeros(K, dtype=bool)
    check(position, targets, terms, flipped)
    keys = {flipped.tobytes(): int(position.key[0])}
    for i in rng.integers(K, size=25).tolist():
        turn(targets, position, i)
        flipped[i] ^= True
        check(position, targets, terms, flipped)
        assert keys.setdefault(flipped.tobytes(), int(position.key[0])) == position.key[0]
    assert len(set(keys.values())) == len(keys)
    other = rng.random(K) < 0.5
    move_to(targets, position, other)
    check(position, targets, terms, other)


@settings(max_examples=60)
@given(seed=seeds, deeper=layers, count=st.integers(1, 4), lift=st.integers(-9, 1))
def test_a_walk_stops_at_each_subset_that_is_wanted_of_any_target(
    seed: int, deeper: int, count: int, lift: int
) -> None:
    rng = np.random.default_rng(seed)
    terms = some_targets(rng, deeper)
    targets = target_terms(terms)
    position = new_position(targets)
    begin = rng.random(K) < 0.4
    move_to(targets, position, begin)
    order, end = rng.permutation(K)[:count], 1 << count
    sets = []
    for step in range(end):
        flipped = begin.copy()
        flipped[[i for at, i in enumerate(order) if is_in_subset(step, at)]] ^= True
        sets.append(flipped)
    assert len({flipped.tobytes() for flipped in sets}) == end
    margins = np.array(
        [[margin_at(t, tuple(np.flatnonzero(flipped))) for t in terms] for flipped in sets]
    )
    wanted = margins.max(axis=0) + lift + np.array([0.0, 2.0])
    expected = [step for step in range(1, end) if (margins[step] >= wanted).any()]
    found, step = [], 0
    while (step := walk(targets, position, order, (step + 1, end), wanted)) < end:
        found.append(step)
        check(position, targets, terms, sets[step])
    assert found == expected
    check(position, targets, terms, sets[-1])


@settings(max_examples=30)
@given(seed=seeds)
def test_the_neurons_that_turn_are_those_whose_sign_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    surplus = rng.integers(-2, 3, 5 * 8).astype(np.float32)
    on = rng.integers(0, 2, 5 * 8).astype(np.uint8)
    before, switched = on.copy(), rng.integers(0, 2, 5 * 8).astype(np.uint8)
    turned = np.zeros(5 * 8 + 8, dtype=np.int64)
    first, end = (8 * np.sort(rng.permutation(6)[:2])).tolist()
    eights = switched.view(np.uint64)
    count = _find_switched(surplus, on, switched, eights, turned, first, end)
    inside = np.arange(5 * 8)
    inside = (inside >= first) & (inside < end)
    expected = inside & ((surplus >= 0) != (before == 1))
    assert turned[:count].tolist() == np.flatnonzero(expected).tolist()
    assert on[inside].tolist() == (surplus >= 0)[inside].tolist()
    assert on[~inside].tolist() == before[~inside].tolist()


@settings(max_examples=100)
@given(seed=seeds, always=st.integers(0, 1))
def test_the_sum_test_is_that_of_all_rows_and_costs_of_the_set(seed: int, always: int) -> None:
    rng = np.random.default_rng(seed)
    region = random_region(rng, K, 5, always, tight=0.8)
    for inside in subsets(range(K)):
        flipped = np.isin(np.arange(K + always), [*inside, K])
        assert passes_sum_test(region, flipped) == (not fails_sum_test(region, inside))


@pytest.mark.parametrize(
    ("off", "passes"), [(4e-6, False), (5e-7, True), (0.0, True), (-1e-6, True)]
)
def test_a_sum_fails_by_more_than_rounding(off: float, passes: bool) -> None:
    region = without_limits(random_region(np.random.default_rng(0), 2))
    reach = np.abs(region.weight.sum(axis=0)) @ region.radius
    region = region._replace(demand=np.full(2, (reach + off) / 2))
    assert passes_sum_test(region, np.ones(2, dtype=bool)) == passes


def test_a_budget_is_all_spent_before_it_is_exceeded() -> None:
    region = without_limits(random_region(np.random.default_rng(0), 2, tight=0.0))
    for cost, passes in (((2.0, 3.0), True), ((2.0, 4.0), False)):
        dear = region._replace(cost=np.array([cost]).T, most=np.array([5.0]))
        assert passes_sum_test(dear, np.ones(2, dtype=bool)) == passes
        two = region._replace(cost=np.array([[1.0, 1.0], cost]).T, most=np.array([5.0, 5.0]))
        assert passes_sum_test(two, np.ones(2, dtype=bool)) == passes


@settings(max_examples=60)
@given(seed=seeds, always=st.integers(0, 1), more=st.booleans())
def test_the_sum_test_allows_for_the_rounding_of_each_row(
    seed: int, always: int, more: bool
) -> None:
    rng = np.random.default_rng(seed)
    region = without_limits(random_region(rng, K, 5, always))._replace(rounding=0.05)
    inside = rng.permutation(K)[: rng.integers(1, K + 1)]
    flipped = np.isin(np.arange(K + always), [*inside, K])
    times = np.ceil(region.rate * np.sqrt(len(inside))) if always else 0.0
    rows = [*inside.tolist(), *[K] * int(times)]
    reach = np.abs(region.weight[rows].sum(axis=0)) @ region.radius
    fails_by = 0.05 * len(rows) + (1e-6 if more else -1e-6)
    region = region._replace(demand=np.full(K + always, (reach + fails_by) / len(rows)))
    assert passes_sum_test(region, flipped) != more


def test_a_set_without_a_point_is_remembered_at_its_place() -> None:
    position = new_position(target_terms(some_targets(np.random.default_rng(0), 0)))
    assert len(position.without) == MEMORY
    exclude(position)
    assert np.flatnonzero(position.without).tolist() == [position.key[0] % MEMORY]
    assert position.without[position.key[0] % MEMORY] == position.key[0]


def test_one_flip_may_turn_all_neurons_of_wide_layers() -> None:
    for deeper in (0, 1, 2):
        change, surplus = np.ones((K, 40), dtype=np.float32), np.full(40, -1.0, dtype=np.float32)
        terms = [
            one._replace(surplus=surplus, change=change)
            for one in some_targets(np.random.default_rng(deeper), deeper, width=40)
        ]
        targets, flipped = target_terms(terms), np.zeros(K, dtype=bool)
        position = new_position(targets)
        for i in (2, 2, 3, 2, 3):
            turn(targets, position, i)
            flipped[i] ^= True
            check(position, targets, terms, flipped)


@settings(max_examples=30)
@given(seed=seeds, deeper=layers)
def test_targets_are_collected_with_neurons_more_that_are_always_off(
    seed: int, deeper: int
) -> None:
    terms = some_targets(np.random.default_rng(seed), deeper)
    targets, first = target_terms(terms), terms[0]
    last = len(first.gain)
    assert targets.gain[:last].T.tolist() == [t.gain.tolist() for t in terms]
    assert not targets.gain[last:].any()
    assert targets.constant.tolist() == [t.constant for t in terms]
    assert (targets.start % LANES == 0).all()
    assert targets.change[:, :5].tolist() == first.change.tolist()
    assert not targets.change[:, 5:].any()
    assert targets.surplus[:5].tolist() == first.surplus.tolist()
    for at, (weight, needed) in enumerate(layers_of(first), 1):
        rows, columns = np.diff(targets.start)[at - 1 : at + 1]
        matrix = targets.weight[targets.block[at - 1] : targets.block[at]].reshape(rows, columns)
        assert matrix[: weight.shape[1], : len(weight)].tolist() == weight.T.tolist()
        assert not matrix[weight.shape[1] :].any() and not matrix[:, len(weight) :].any()
        own = targets.needed[targets.start[at] : targets.start[at + 1]]
        assert own[: len(needed)].tolist() == needed.tolist()
        assert (own[len(needed) :] > 0.0).all()


@settings(max_examples=60)
@given(seed=seeds, scale=st.sampled_from([2.0**-20, 1.0, 2.0**20, 2.0**40]), whole=st.booleans())
def test_whole_steps_are_no_less_than_the_gains_and_hardly_more(
    seed: int, scale: float, whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.choice([6, 200])), 3)
    gain = scale * (rng.integers(-9, 10, shape) if whole else rng.normal(size=shape))
    steps, unit = _whole_steps(gain)
    assert (steps == np.round(steps)).all()
    assert np.abs(steps).sum(axis=0).max() < MOST_STEPS <= 2**30
    assert (gain <= steps * unit).all()
    assert (steps * unit < gain + unit).all()
    if whole and scale >= 1.0 and np.abs(gain).sum(axis=0).max() < MOST_STEPS:
        assert (unit, steps.tolist()) == (1.0, gain.tolist())
    else:
        assert unit <= 2.0**-27 * max(np.abs(gain).sum(axis=0).max(), 2.0**-99)
    found = target_terms([random_terms(rng, 2, len(gain))._replace(gain=row) for row in gain.T])
    assert found.gain_unit == unit
    assert found.gain_above[:, : len(gain)].T.tolist() == steps.tolist()
    assert not found.gain_above[:, len(gain) :].any()


def test_gains_of_nothing_have_steps_too() -> None:
    steps, unit = _whole_steps(np.zeros((3, 2)))
    assert (unit, steps.any()) == (1.0, False)

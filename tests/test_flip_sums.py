"""Conflicts of flips against linear programs over the box, of pairs, fours and whole patterns."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_array

from bnnopt import AttackInstance, flips
from bnnopt.flips import (
    Flips,
    _clique_cover,
    _grow,
    _quadruple_conflicts,
    _quadruple_table,
    _reach_of_pairs,
    first_layer_flips,
    flip_limits,
    flip_origin,
    pair_conflicts,
)
from tests.helpers import random_image, random_network

seeds = st.integers(0, 10**6)
kinds = st.sampled_from(["signs", "ternary", "large"])


WEIGHTS = {"signs": [-1.0, 1.0], "ternary": [-1.0, 0.0, 1.0], "large": [-3.0, -1.0, 0.0, 1.0, 2.0]}


def random_flips(
    seed: int, k: int = 7, n: int = 8, tight: float = 0.5, entries: str = "signs"
) -> Flips:
    """Whole numbers of quarter levels, so that every sum below is exact."""
    rng = np.random.default_rng(seed)
    radius = rng.integers(0, 9, n) / 4.0
    demand = np.floor(rng.random(k) * tight * radius.sum() * 4.0) / 4.0
    neurons, signs = np.sort(rng.permutation(20)[:k]), rng.choice([-1, 1], k).astype(np.int8)
    weight = rng.choice(WEIGHTS[entries], (k, n))
    return Flips(
        neurons,
        signs,
        weight if entries == "signs" else csr_array(weight),
        demand,
        demand - rng.choice([0.0, 1.0]),
        radius,
    )


def rows_of(some: Flips, members: Any) -> np.ndarray:
    """Their weights, zeros and all."""
    rows = some.weight[list(members)]
    return np.asarray(rows if isinstance(rows, np.ndarray) else rows.toarray())


def deepest(some: Flips, members: Any) -> float:
    """By how much the sums of a set of flips can all fall beyond their demands at once."""
    rows = rows_of(some, members)
    solved = linprog(
        np.r_[np.zeros(rows.shape[1]), -1.0],
        A_ub=np.hstack([rows, np.ones((len(rows), 1))]),
        b_ub=-some.demand[list(members)],
        bounds=[*[(-r, r) for r in some.radius], (None, None)],
    )
    return float(-solved.fun)


@settings(max_examples=40)
@given(seed=seeds, size=st.integers(1, 4), entries=kinds)
def test_conflicts_are_sums_that_fail_and_have_no_point(seed: int, size: int, entries: str) -> None:
    some = random_flips(seed, entries=entries)
    sets = np.array(list(combinations(range(7), size)))
    found = some.are_conflicts(sets)
    for members, reach, is_conflict in zip(sets, some.reach(sets), found, strict=True):
        assert reach == np.abs(rows_of(some, members).sum(axis=0)) @ some.radius
        assert is_conflict == (reach < some.demand[members].sum())
        if is_conflict:
            assert deepest(some, members) < 0


@settings(max_examples=60)
@given(seed=seeds, entries=kinds)
def test_pairs_conflict_where_their_sum_fails(seed: int, entries: str) -> None:
    some = random_flips(seed, entries=entries)
    pairs = pair_conflicts(some)
    for i, j in combinations(range(7), 2):
        assert pairs[i, j] == pairs[j, i] == some.are_conflicts(np.array([[i, j]]))[0]
    assert not pairs.diagonal().any()


@settings(max_examples=60)
@given(seed=seeds, entries=st.sampled_from(["ternary", "large"]), share=st.floats(0.0, 1.0))
def test_what_a_pair_of_sparse_rows_reaches_is_the_sum_of_both(
    seed: int, entries: str, share: float
) -> None:
    some = random_flips(seed, entries=entries)
    kept = np.random.default_rng(seed).random((7, 8)) < share  # rows without any weight too
    weight = csr_array(np.where(kept, rows_of(some, range(7)), 0.0))
    reach = _reach_of_pairs(weight, some.radius)
    rows = weight.toarray()
    for i in range(7):
        for j in range(7):
            assert reach[i, j] == np.abs(rows[i] + rows[j]) @ some.radius


@settings(max_examples=40)
@given(seed=seeds)
def test_fours_conflict_where_their_sum_fails_and_no_pair_does(seed: int) -> None:
    some = random_flips(seed, tight=0.45)
    pairs = pair_conflicts(some)
    chosen = np.sort(np.random.default_rng(seed).permutation(7)[:6])
    found = {tuple(sorted(four)) for four in _quadruple_conflicts(some, pairs, chosen).tolist()}
    expected = set()
    for four in combinations(range(6), 4):
        members = chosen[list(four)]
        by_pair = pairs[np.ix_(members, members)].any()
        if not by_pair and some.are_conflicts(members[None])[0]:
            expected.add(four)
    assert found == expected


@pytest.mark.parametrize(("off", "expected"), [(4e-6, True), (5e-7, False), (-4e-6, False)])
def test_a_sum_must_fail_by_more_than_rounding(off: float, expected: bool) -> None:
    for entries in ("ternary", "large"):
        some = random_flips(3, 2, 6, entries=entries)
        even = np.full(2, (np.abs(rows_of(some, [0, 1]).sum(axis=0)) @ some.radius + off) / 2)
        some = Flips(some.neurons, some.signs, some.weight, even, even, some.radius)
        assert some.are_conflicts(np.arange(2)[None])[0] == pair_conflicts(some)[0, 1] == expected
    for size in (2, 4):
        some = random_flips(3, size, 6)
        reach = np.abs(some.weight.sum(axis=0)) @ some.radius
        even = np.full(size, (reach + off) / size)
        some = Flips(some.neurons, some.signs, some.weight, even, even, some.radius)
        assert some.are_conflicts(np.arange(size)[None])[0] == expected
        if size == 2:
            assert pair_conflicts(some)[0, 1] == expected
        else:
            none = np.zeros((4, 4), dtype=bool)
            assert (len(_quadruple_conflicts(some, none, np.arange(4))) == 1) == expected


def test_where_sums_are_large_a_conflict_must_be_certain_by_more() -> None:
    """2^-36 of the reach and the demand of each flip, of about 2^21 levels each."""
    for size in (2, 4):
        some = random_flips(3, size, 6)
        radius = some.radius * 2.0**20
        reach = np.abs(some.weight.sum(axis=0)) @ radius
        rounding = 2.0**-36 * size * radius.sum()
        for off, expected in ((0.9 * rounding, False), (40.0 * rounding, True)):
            even = np.full(size, (reach + off) / size)
            large = Flips(some.neurons, some.signs, some.weight, even, even, radius)
            members = np.arange(size)[None]
            assert large.are_conflicts(members)[0] == expected
            assert large.refutes(np.ones(size, dtype=bool), np.ones(size)) == expected
            if size == 2:
                assert pair_conflicts(large)[0, 1] == expected
            else:
                none = np.zeros((4, 4), dtype=bool)
                assert (len(_quadruple_conflicts(large, none, np.arange(4))) == 1) == expected


@settings(max_examples=60)
@given(seed=seeds, entries=kinds)
def test_multipliers_refute_only_what_their_combination_rules_out(seed: int, entries: str) -> None:
    some, rng = random_flips(seed, entries=entries), np.random.default_rng(seed)
    flipped = rng.random(7) < 0.6
    multipliers = rng.integers(0, 3, 7) * 2.0 ** rng.integers(-12, 12)
    side = np.where(flipped, 1.0, -1.0)
    needs = np.where(flipped, some.demand, -some.stay_demand)
    pull = np.abs((side * multipliers) @ rows_of(some, range(7))) @ some.radius
    expected = bool(pull < multipliers @ needs)
    assert some.refutes(flipped, multipliers) == expected
    # What is next to nothing beside the largest multiplier does not count.
    dust = multipliers + 1e-10 * multipliers.max() * (multipliers == 0.0)
    assert some.refutes(flipped, dust) == expected
    assert not some.refutes(flipped, np.zeros(7))
    assert not some.refutes(flipped, -np.ones(7))


def test_a_refutation_is_larger_than_rounding_whatever_its_scale() -> None:
    one = np.ones(1)
    for off, expected in ((4e-6, True), (5e-7, False), (-4e-6, False)):
        some = Flips(
            np.zeros(1, dtype=np.int64),
            np.ones(1, dtype=np.int8),
            np.ones((1, 1)),
            one + off,
            one + off,
            one,
        )
        for scale in (1e-6, 1.0, 1e6):
            assert some.refutes(one > 0, scale * one) == expected


@settings(max_examples=40)
@given(
    seed=seeds,
    domain=st.sampled_from(["continuous", "pixels"]),
    max_l1=st.sampled_from([None, 0.4]),
)
def test_flips_are_the_neurons_that_can_change_and_demands_are_from_the_centre(
    seed: int, domain: Any, max_l1: float | None
) -> None:
    network = random_network(seed, inputs=5, widths=(9,), levels=[1, 7, 255][seed % 3])
    instance = AttackInstance(
        network, random_image(network, seed), 0.3, domain=domain, max_l1=max_l1
    )
    some, layer, (low, high) = first_layer_flips(instance), network.hidden[0], instance.box
    centre, radius = (low + high) / 2, (high - low) / 2
    assert some.radius.tolist() == radius.tolist()
    assert (
        flip_origin(instance).tolist()
        == (instance.levels if max_l1 is not None else centre).tolist()
    )
    for at, j in enumerate(some.neurons.tolist()):
        row, threshold = layer.weight[j].astype(float), float(layer.threshold[j])
        sign = 1 if row @ flip_origin(instance) >= threshold else -1
        assert some.signs[at] == sign
        assert some.weight[at].tolist() == (sign * row).tolist()
        at_centre = float(row @ centre)
        # In whole levels, off is a level below the threshold at least.
        step = 1.0 if domain == "pixels" else 0.0
        falls = at_centre - (threshold - step) if sign > 0 else threshold - at_centre
        stays = at_centre - threshold if sign > 0 else threshold - step - at_centre
        assert some.demand[at] == pytest.approx(falls)
        assert some.stay_demand[at] == pytest.approx(stays)


@settings(max_examples=40)
@given(seed=seeds, share=st.floats(0.0, 1.0))
def test_cliques_cover_all_edges_and_nothing_else(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((7, 7)) < share, 1)
    adjacent = upper | upper.T
    cliques = _clique_cover(adjacent, lambda: None)
    assert all(members == sorted(set(members)) and len(members) > 1 for members in cliques)
    covered = {pair for members in cliques for pair in combinations(members, 2)}
    assert covered == {pair for pair in combinations(range(7), 2) if adjacent[pair]}
    # Each can have no further member.
    for members in cliques:
        others = set(range(7)) - set(members)
        assert not any(adjacent[new, members].all() for new in others)


@settings(max_examples=40)
@given(seed=seeds)
def test_the_table_of_fours_has_every_order_and_what_pairs_rule_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((5, 5)) < 0.1, 1)
    pairs = upper | upper.T
    fours = list(combinations(range(5), 4))
    some = [four for four in fours if rng.random() < 0.4]
    given_fours = np.array(some, dtype=np.int64).reshape(-1, 4)
    table = _quadruple_table(given_fours, pairs)
    known = {tuple(four) for four in given_fours.tolist()}
    for index in np.ndindex(table.shape):
        by_pair = any(pairs[a, b] for a, b in combinations(index, 2))
        repeats = len(set(index)) < 4
        assert table[index] == (by_pair or repeats or tuple(sorted(index)) in known)
    if known:
        score = np.bincount(given_fours.ravel(), minlength=5)
        grown = _grow(list(given_fours[0]), table, score)
        assert len(set(grown)) == len(grown) >= 4
        assert all(table[four] for four in combinations(grown, 4))
        rest = set(range(5)) - set(grown)
        assert not any(all(table[(*t, new)] for t in combinations(grown, 3)) for new in rest)


@settings(max_examples=40)
@given(seed=seeds, quadruples=st.booleans(), entries=kinds)
def test_limits_cover_all_conflicts_and_hold_for_every_set_that_has_a_point(
    seed: int, quadruples: bool, entries: str
) -> None:
    some = random_flips(seed, tight=0.45, entries=entries)
    limits = flip_limits(some, quadruples=quadruples)
    pairs = pair_conflicts(some)
    for members, most in limits:
        assert most in (1, 3)
        for too_many in combinations(members, most + 1):
            by_pair = pairs[np.ix_(too_many, too_many)].any()
            assert by_pair or some.are_conflicts(np.array([too_many]))[0]
    for size in (2, 4):
        for members in combinations(range(7), size):
            if size == 2 and not pairs[members]:
                continue
            seeks_fours = quadruples and entries == "signs"
            if size == 4 and not (seeks_fours and some.are_conflicts(np.array([members]))[0]):
                continue
            assert any(
                len(set(members) & set(inside)) > most for inside, most in limits if most < size
            )


def test_fours_are_sought_among_the_hardest_and_rows_are_few() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flips, "MAX_QUADRUPLE_NEURONS", 5)
        hardest = set(np.argsort(-random_flips(11, tight=0.45).demand, kind="stable")[:5].tolist())
        threes = [m for m, most in flip_limits(random_flips(11, tight=0.45)) if most == 3]
        assert all(set(members) <= hardest for members in threes)
        patch.setattr(flips, "MAX_QUADRUPLE_NEURONS", 7)
        patch.setattr(flips, "MAX_ROWS", 1)
        for seed in range(30):
            assert sum(most == 3 for _, most in flip_limits(random_flips(seed, tight=0.45))) <= 1

"""Descents through all sets of some flips, against all of their sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search.descent import (
    Descent,
    begin_descent,
    copied,
    descend,
    is_over,
    new_descent,
)
from bnnopt.search.position import TargetTerms, target_terms
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.region import free_region
from tests.search.cases import Members, margin_at, random_conflicts, random_terms, subsets

seeds = st.integers(0, 10**6)
layers = st.sampled_from([0, 1, 2])
K = 7


class Case:
    """Some targets, flips that are made already, others in some order, conflicts and costs."""

    def __init__(
        self,
        seed: int,
        deeper: int,
        count: int,
        targets: int = 2,
        whole: bool = True,
        width: int = 5,
    ) -> None:
        self.rng = rng = np.random.default_rng(seed)
        first = random_terms(rng, K, width, deeper)
        last = len(first.gain)
        self.terms: list[MarginTerms] = []
        for _ in range(targets):
            gain = rng.choice([-4.0, -2.0, 0.0, 2.0], last) if whole else rng.normal(size=last)
            self.terms.append(first._replace(gain=gain, constant=float(rng.integers(-3, 4))))
        self.targets: TargetTerms = target_terms(self.terms)
        self.conflict = random_conflicts(rng, K, 0.15)
        budgets = int(rng.integers(0, 3))
        cost, most = rng.integers(0, 4, (K, budgets)), rng.integers(2, 9, budgets)
        none = np.zeros((K, K), dtype=bool)  # what excludes each other is told by `conflict`
        self.region: Region = free_region(none, cost.astype(float), most.astype(float))
        order = rng.permutation(K)
        self.order, rest = order[:count], order[count:]
        self.made = np.isin(np.arange(K), rest[: rng.integers(0, len(rest) + 1)])
        made = self.region.cost[self.made].sum(axis=0)
        self.region = self.region._replace(most=np.maximum(self.region.most, made))

    def begin(self, room: int = 0) -> Descent:
        descent = new_descent(self.region, self.targets, len(self.order) + room)
        assert is_over(descent)
        begin_descent(self.region, self.targets, descent, self.made, self.order)
        return descent

    @property
    def sets(self) -> list[Members]:
        """All that the order, conflicts among it and budgets allow, in the order of a descent."""
        made = tuple(np.flatnonzero(self.made).tolist())
        found = []
        for choices in np.ndindex(*([2] * len(self.order))):
            new = tuple(self.order[np.array(choices, dtype=bool)].tolist())
            pairs = self.conflict[np.ix_(new, new)].any()
            cost = self.region.cost[[*made, *new]].sum(axis=0)
            if not pairs and np.all(cost <= self.region.most):
                found.append(tuple(sorted((*made, *new))))
        return found

    def margins(self, members: Members) -> np.ndarray:
        return np.array([margin_at(terms, members) for terms in self.terms])

    def descend(self, descent: Descent, wanted: np.ndarray, budget: int = 10**6) -> bool:
        before = int(descent.nodes[0])
        found = descend(self.region, self.targets, descent, self.conflict, wanted, budget)
        assert before <= descent.nodes[0] <= before + budget
        assert found or is_over(descent) or descent.nodes[0] == before + budget
        return found

    def all_found(self, descent: Descent, wanted: np.ndarray, budget: int = 10**6) -> list[Members]:
        found: list[Members] = []
        while not is_over(descent):
            if self.descend(descent, wanted, budget):
                found.append(tuple(np.flatnonzero(descent.flipped).tolist()))
        return found

    def some_wanted(self, lift: float) -> np.ndarray:
        """Margins, one a target, that some sets have and others do not."""
        best = np.max([self.margins(members) for members in self.sets], axis=0)
        return np.asarray(best + lift + self.rng.integers(-2, 2, len(best)))


@settings(max_examples=100)
@given(
    seed=seeds,
    deeper=layers,
    count=st.integers(0, 6),
    targets=st.integers(1, 3),
    lift=st.integers(-9, 2),
    budget=st.sampled_from([1, 2, 7, 10**6]),
    room=st.sampled_from([0, 3]),
    width=st.sampled_from([5, 5, 20]),
)
def test_a_descent_finds_each_set_that_is_wanted_of_any_target_once_and_no_other(
    seed: int, deeper: int, count: int, targets: int, lift: int, budget: int, room: int, width: int
) -> None:
    case = Case(seed, deeper, count, targets, width=width)
    wanted = case.some_wanted(lift)
    expected = [s for s in case.sets if (case.margins(s) >= wanted).any()]
    descent = case.begin(room)
    assert case.all_found(descent, wanted, budget) == expected
    assert not case.descend(descent, wanted)  # it stays over
    assert is_over(descent)


@settings(max_examples=40)
@given(seed=seeds, deeper=layers, count=st.integers(0, 6), steps=st.integers(0, 20))
def test_it_begins_anew_whatever_came_before(
    seed: int, deeper: int, count: int, steps: int
) -> None:
    case, other = Case(seed, deeper, count), Case(seed + 1, deeper, 6)
    wanted = case.some_wanted(-4.0)
    descent = case.begin(6 - count)
    expected, nodes = case.all_found(descent, wanted), int(descent.nodes[0])
    begin_descent(case.region, case.targets, descent, ~other.made, other.order)
    descend(case.region, case.targets, descent, other.conflict, np.full(2, -np.inf), steps)
    before = int(descent.nodes[0])
    begin_descent(case.region, case.targets, descent, case.made, case.order)
    assert case.all_found(descent, wanted) == expected
    assert descent.nodes[0] == before + nodes


@pytest.mark.parametrize("deeper", [1, 2])
def test_one_flip_may_turn_all_neurons_of_a_wide_layer(deeper: int) -> None:
    case = Case(3, deeper, 2, width=40)
    change, surplus = np.full((K, 40), 1.0, dtype=np.float32), np.full(40, -1.0, dtype=np.float32)
    case.terms = [terms._replace(surplus=surplus, change=change) for terms in case.terms]
    case.targets = target_terms(case.terms)
    case.made[:] = False
    assert case.all_found(case.begin(), np.full(2, -np.inf)) == case.sets
    wanted = case.some_wanted(1.0)
    expected = [s for s in case.sets if (case.margins(s) >= wanted).any()]
    assert case.all_found(case.begin(), wanted) == expected


@settings(max_examples=60)
@given(seed=seeds, deeper=layers, count=st.integers(0, 6), lift=st.floats(-3.0, 1.0))
def test_where_gains_are_not_whole_it_finds_what_is_wanted_and_hardly_more(
    seed: int, deeper: int, count: int, lift: float
) -> None:
    case = Case(seed, deeper, count, whole=False)
    wanted = case.some_wanted(lift)
    found = case.all_found(case.begin(), wanted)
    assert len(found) == len(set(found))
    assert set(found) <= set(case.sets)
    for members in case.sets:
        above = (case.margins(members) - wanted).max()
        assert members in found or above < 1e-12
        assert members not in found or above > -1e-6


@settings(max_examples=60)
@given(
    seed=seeds,
    deeper=layers,
    count=st.integers(0, 6),
    budget=st.sampled_from([1, 3, 10**6]),
    raises=st.lists(st.integers(0, 3), min_size=1, max_size=6),
)
def test_what_is_wanted_may_rise_on_the_way(
    seed: int, deeper: int, count: int, budget: int, raises: list[int]
) -> None:
    case = Case(seed, deeper, count)
    wanted, least = case.some_wanted(-12.0), []
    descent, found, pauses = case.begin(), [], 0
    while not is_over(descent):
        if case.descend(descent, wanted, budget):
            found.append(tuple(np.flatnonzero(descent.flipped).tolist()))
            least.append(wanted.copy())
        wanted[pauses % 2] += raises[pauses % len(raises)]
        pauses += 1
    assert len(found) == len(set(found))
    for members, margins in zip(found, least, strict=True):
        assert (case.margins(members) >= margins).any()
    for members in case.sets:
        assert members in found or (case.margins(members) < wanted).all()


@settings(max_examples=40)
@given(seed=seeds, deeper=layers, count=st.integers(1, 6), steps=st.integers(0, 20))
def test_a_copy_goes_on_by_itself(seed: int, deeper: int, count: int, steps: int) -> None:
    case = Case(seed, deeper, count)
    wanted = case.some_wanted(-6.0)
    descent = case.begin()
    case.descend(descent, wanted, steps)
    other = copied(descent)
    assert not any(np.shares_memory(a, b) for a, b in zip(descent, other, strict=True))
    assert np.shares_memory(other.decided, other.eights)
    assert case.all_found(descent, wanted) == case.all_found(other, wanted)
    assert descent.nodes[0] == other.nodes[0]


@settings(max_examples=40)
@given(seed=seeds, deeper=layers, count=st.integers(1, 6))
def test_ranges_of_a_node_are_those_of_its_sets_layer_by_layer(
    seed: int, deeper: int, count: int
) -> None:
    """At the root and at every set that is found, where nothing is left open."""
    case = Case(seed, deeper, count)
    descent, targets = case.begin(), case.targets
    low, high = descent.low[0], descent.high[0]
    made = tuple(np.flatnonzero(case.made).tolist())
    for members in subsets(case.order.tolist()):
        y = surpluses(targets, (*made, *members))
        assert (low <= y).all() and (y <= high).all()
    never = np.full(len(case.terms), -np.inf)
    while case.descend(descent, never):
        y = surpluses(targets, tuple(np.flatnonzero(descent.flipped).tolist()))
        for row in (descent.low[count], descent.high[count]):
            assert row.tolist() == y.tolist()


def surpluses(terms: TargetTerms, members: Members) -> np.ndarray:
    """Of all layers, padding and all, where these flips are made."""
    found = [terms.surplus + terms.change[list(members)].sum(axis=0)]
    for layer in range(1, len(terms.block)):
        matrix = terms.weight[terms.block[layer - 1] : terms.block[layer]]
        on = (found[-1] >= 0).astype(np.float32)
        first, end = terms.start[layer : layer + 2]
        found.append(on @ matrix.reshape(len(on), -1) - terms.needed[first:end])
    return np.concatenate(found)


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("off", [0.0, 1e-9])
def test_of_no_flip_or_one_a_set_that_just_reaches_what_is_sought_is_found(
    count: int, off: float
) -> None:
    for seed in range(20):
        case = Case(seed, 1, count, targets=1)
        margins = [float(case.margins(members)[0]) for members in case.sets]
        found = case.all_found(case.begin(), np.array([max(margins) + off]), 1)
        assert found == [
            members
            for members, margin in zip(case.sets, margins, strict=True)
            if off == 0.0 and margin == max(margins)
        ]


def test_branches_end_where_no_target_can_have_what_is_wanted() -> None:
    nodes = {True: 0, False: 0}
    for seed in range(20):
        case = Case(seed, 1, 6, targets=1)
        for wanted, is_all in ((case.some_wanted(1.0), False), (np.array([-np.inf]), True)):
            descent = case.begin()
            case.all_found(descent, wanted)
            nodes[is_all] += int(descent.nodes[0])
    assert nodes[False] < 0.6 * nodes[True]

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance
from bnnopt.flips import Flips
from bnnopt.search.bound import (
    cardinality_colours,
    deeper_lines,
    margin_of,
    second_curves,
    surplus_ranges,
)
from bnnopt.search.problem import MarginTerms, Region, margin_terms, region_of, sorted_flips
from bnnopt.search.reach import OPEN, REACHED, REFUTED, settle_pattern
from bnnopt.search.tree import advance
from bnnopt.search.tree_state import new_tree
from tests.helpers import random_image, random_network

shapes = st.sampled_from([(6,), (6, 4), (7, 5, 4), (5, 5, 5, 5), (5, 4, 4, 4, 4)])
seeds = st.integers(0, 10**6)


def problem(
    seed: int, widths: tuple[int, ...] = (7, 5, 4), epsilon: float = 0.4, inputs: int = 6
) -> tuple[AttackInstance, Flips, Region, MarginTerms]:
    network = random_network(seed, inputs=inputs, widths=widths)
    instance = AttackInstance(network, random_image(network, seed), epsilon)
    flips = sorted_flips(instance)
    return instance, flips, region_of(flips), margin_terms(instance, flips, instance.targets[0])


def subsets(k: int) -> list[tuple[int, ...]]:
    return [members for size in range(k + 1) for members in combinations(range(k), size)]


def margin(terms: MarginTerms, members: tuple[int, ...]) -> float:
    return float(margin_of(terms, terms.surplus + terms.change[list(members)].sum(axis=0)))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, widths=shapes, head=st.sampled_from(["integer", "batchnorm"]))
def test_the_margin_of_a_flip_set_is_that_of_the_network(
    seed: int, widths: tuple[int, ...], head: str
) -> None:
    network = random_network(seed, inputs=6, widths=widths, head=head)
    instance = AttackInstance(network, random_image(network, seed), 0.4)
    flips = sorted_flips(instance)
    terms = margin_terms(instance, flips, instance.targets[0])
    low, high = instance.box
    rng = np.random.default_rng(seed)
    for z in rng.uniform(low, high, (8, len(low))):
        layer = network.hidden[0]
        signs = np.where(layer.weight[flips.neurons] @ z >= layer.threshold[flips.neurons], 1, -1)
        members = tuple(np.flatnonzero(signs != flips.signs).tolist())
        found = margin(terms, members) * instance.of_margins.unit
        assert found == pytest.approx(float(instance.margins(z[None])[0]))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, widths=shapes)
def test_lines_and_parabolas_lie_above_the_margin_of_every_set_wherever_they_are_low(
    seed: int, widths: tuple[int, ...]
) -> None:
    _, flips, _, terms = problem(seed, widths)
    k, r = len(flips.neurons), len(terms.surplus)
    rng = np.random.default_rng(seed)
    conflict = np.triu(rng.random((k, k)) < 0.3, 1)
    conflict |= conflict.T
    places, group = np.arange(k), np.zeros(k, dtype=np.int64)
    groups = cardinality_colours(conflict, k, group)
    low, high, least, most = np.zeros((4, max(k, len(terms.weight) + 1), r), "float32")
    surplus_ranges(terms, terms.surplus, places, group, k, groups, least, most, low, high)
    allowed = [s for s in subsets(k) if not conflict[np.ix_(s, s)].any()]
    layers = len(terms.weight) + 1
    for bends in (False, True, False, True):
        activation, gains = rng.random((layers, r)), np.zeros((layers, r))
        level, _ = deeper_lines(terms, low, high, activation, gains)
        slope, curve = np.zeros((2, r))
        drawn = [allowed[i] for i in rng.integers(len(allowed), size=4)]
        sums = np.array([terms.surplus + terms.change[list(s)].sum(axis=0) for s in drawn])
        mean, square = sums.mean(axis=0), (sums**2).mean(axis=0)
        level += second_curves(
            gains[0], mean, square, low[0], high[0], bends, activation[0], slope, curve
        )
        for members in allowed:
            y = terms.surplus + terms.change[list(members)].sum(axis=0)
            assert bends or not curve.any()
            assert margin(terms, members) <= level + slope @ y + curve @ y**2 + 1e-9
        assert activation.min() >= -1e-6
        assert activation.max() <= 1.0 + 1e-6


@settings(max_examples=40, deadline=None)
@given(seed=seeds, epsilon=st.floats(0.05, 0.6))
def test_points_and_certificates_hold_in_exact_arithmetic(seed: int, epsilon: float) -> None:
    _, flips, region, _ = problem(seed, (7, 3), epsilon)
    k, m = region.weight.shape
    rng = np.random.default_rng(seed)
    for members in [*combinations(range(k), 2), tuple(rng.permutation(k)[: k // 2].tolist())]:
        flipped = np.zeros(k, dtype=bool)
        flipped[list(members)] = True
        u, multipliers = np.zeros(m), np.zeros(k)
        verdict = settle_pattern(region, flipped, 0.5, 0.05, u, multipliers)
        assert verdict in (OPEN, REACHED, REFUTED)
        radius = [Fraction(r) for r in region.radius.tolist()]
        rows = [
            [int(w) * r * (-1 if flipped[j] else 1) for w, r in zip(row, radius, strict=True)]
            for j, row in enumerate(region.weight.tolist())
        ]
        needs = [Fraction(d) for d in np.where(flipped, flips.demand, -flips.stay_demand).tolist()]
        if verdict == REACHED:
            point = [Fraction(value) for value in u.tolist()]
            assert all(abs(value) <= 1 for value in point)
            for row, need in zip(rows, needs, strict=True):
                assert sum(a * b for a, b in zip(row, point, strict=True)) >= need
        if verdict == REFUTED:
            shares = [Fraction(value) for value in multipliers.tolist()]
            assert min(shares) >= 0
            pulls = [
                abs(sum(s * row[i] for s, row in zip(shares, rows, strict=True))) for i in range(m)
            ]
            assert sum(pulls) < sum(s * need for s, need in zip(shares, needs, strict=True))


@settings(max_examples=30, deadline=None)
@given(seed=seeds, epsilon=st.floats(0.05, 0.6))
def test_conflicts_of_a_node_are_those_of_its_sums(seed: int, epsilon: float) -> None:
    _, flips, region, terms = problem(seed, (9, 5), epsilon, inputs=9)
    tree = new_tree(region, terms)
    tree.few[:] = -1  # a tree to its leaves
    visited = 0
    while advance(region, terms, tree, -np.inf, 1) != 0 and visited < 200:
        visited += 1
        # The present node is new; its parent's candidates are bounded.
        parent = int(tree.depth[0]) - 1
        members = tree.flipped[1 : parent + 1].tolist()
        candidates = tree.order[parent, : tree.count[parent]].tolist()
        for c in candidates:
            assert not flips.are_conflicts(np.array([[*members, c]]))[0]
        for i, j in combinations(candidates, 2):
            together = np.array([[*members, i, j]])
            assert tree.conflict[parent, i, j] or not flips.are_conflicts(together)[0]
    k = len(flips.neurons)
    root = new_tree(region, terms)
    advance(region, terms, root, -np.inf, 1)
    for i, j in combinations(range(k), 2):
        assert root.conflict[0, i, j] == flips.are_conflicts(np.array([[i, j]]))[0]


@settings(max_examples=40, deadline=None)
@given(seed=seeds, widths=shapes, epsilon=st.floats(0.1, 0.6), floor=st.integers(-8, 8))
@example(seed=21786, widths=(5, 5, 5, 5), epsilon=0.453125, floor=0)  # a bound that is tight
def test_the_tree_stops_at_every_reachable_set_of_the_margin_that_is_sought(
    seed: int, widths: tuple[int, ...], epsilon: float, floor: int
) -> None:
    _, _, region, terms = problem(seed, widths, epsilon)
    k, m = region.weight.shape
    reachable = set()
    for members in subsets(k)[1:]:
        flipped = np.zeros(k, dtype=bool)
        flipped[list(members)] = True
        verdict = settle_pattern(region, flipped, 0.5, 0.05, np.zeros(m), np.zeros(k))
        if verdict == REACHED and margin(terms, members) >= floor:
            reachable.add(members)
    for few in ((-1, -1), (0, 2), (3, 3), (3, 11)):  # enumerated: nothing, some, all
        tree, found = new_tree(region, terms), list[tuple[int, ...]]()
        tree.few[:] = few
        while advance(region, terms, tree, float(floor), 10**6) != 0:
            found.append(tuple(np.flatnonzero(tree.found).tolist()))
        assert reachable <= set(found)
        assert len(found) == len(set(found))

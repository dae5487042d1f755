from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, BinarizedNetwork
from bnnopt.search.bound import (
    cardinality_colours,
    deeper_lines,
    margin_of,
    second_curves,
    surplus_ranges,
)
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.reach import OPEN, REACHED, REFUTED, decide_pattern
from bnnopt.search.space import BoxSpace, BudgetSpace, neuron_space
from bnnopt.search.terms import margin_terms
from bnnopt.search.tree import advance
from bnnopt.search.tree_state import new_tree
from bnnopt.search.workspace import new_workspace
from tests.helpers import random_image, random_network
from tests.kinds import instance_of, network_of
from tests.search.cases import tree_of

shapes = st.sampled_from([(6,), (6, 4), (7, 5, 4), (5, 5, 5, 5), (5, 4, 4, 4, 4)])
firsts = st.sampled_from(["signs", "ternary", "convolution", "whole"])
seeds = st.integers(0, 10**6)

Problem = tuple[AttackInstance, BoxSpace | BudgetSpace, Region, MarginTerms]


def problem(
    seed: int, widths: tuple[int, ...] = (7, 5, 4), epsilon: float = 0.4, inputs: int = 6
) -> Problem:
    network = random_network(seed, inputs=inputs, widths=widths)
    return stated(AttackInstance(network, random_image(network, seed), epsilon))


def stated(instance: AttackInstance) -> Problem:
    space = neuron_space(instance)
    terms = margin_terms(instance, space.origin, space.shift)
    assert terms is not None
    return instance, space, space.region, terms[instance.targets[0]]


def problem_of_kind(seed: int, first: str, deeper: tuple[str, ...], epsilon: float) -> Problem:
    """Weights of -1 and 1 in the first layer, or others."""
    if first == "signs":
        return problem(seed, (7, 3), epsilon)
    network: BinarizedNetwork = network_of(seed, first, deeper)
    return stated(instance_of(network, seed))


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
    _, space, _, terms = stated(instance)
    layer, neurons, (low, high) = network.hidden[0], space.neurons, instance.box
    rng = np.random.default_rng(seed)
    for z in rng.uniform(low, high, (8, len(low))):
        signs = np.where(layer.weight[neurons] @ z >= layer.threshold[neurons], 1, -1)
        members = tuple(np.flatnonzero(signs != space.flips.signs).tolist())
        found = margin(terms, members) * instance.of_margins.unit
        assert found == pytest.approx(float(instance.margins(z[None])[0]))


@settings(max_examples=40, deadline=None)
@given(seed=seeds, widths=shapes)
def test_lines_and_parabolas_lie_above_the_margin_of_every_set_wherever_they_are_low(
    seed: int, widths: tuple[int, ...]
) -> None:
    _, _, region, terms = problem(seed, widths)
    k = len(region.demand)
    rng, space = np.random.default_rng(seed), new_workspace(region, terms)
    conflict = np.triu(rng.random((k, k)) < 0.3, 1)
    conflict |= conflict.T
    space.kept[:k] = np.arange(k)
    groups = cardinality_colours(conflict, k, space.group)
    surplus_ranges(terms, terms.surplus, k, groups, space)
    allowed = [s for s in subsets(k) if not conflict[np.ix_(s, s)].any()]
    for bends in (False, True, False, True):
        space.activation[:] = rng.random(len(terms.needed))
        level, _ = deeper_lines(terms, space)
        drawn = [allowed[i] for i in rng.integers(len(allowed), size=4)]
        sums = np.array([terms.surplus + terms.change[list(s)].sum(axis=0) for s in drawn])
        space.mean[:], space.square[:] = sums.mean(axis=0), (sums**2).mean(axis=0)
        level += second_curves(space.push[: terms.start[1]], bends, space)
        slope, curve = space.slope, space.curve
        for members in allowed:
            y = terms.surplus + terms.change[list(members)].sum(axis=0)
            assert bends or not curve.any()
            assert margin(terms, members) <= level + slope @ y + curve @ y**2 + 1e-9
        assert space.activation.min() >= -1e-6
        assert space.activation.max() <= 1.0 + 1e-6


@settings(max_examples=60, deadline=None)
@given(seed=seeds, first=firsts, epsilon=st.floats(0.05, 0.6))
def test_points_and_certificates_hold_in_exact_arithmetic(
    seed: int, first: str, epsilon: float
) -> None:
    _, space, region, _ = problem_of_kind(seed, first, (), epsilon)
    flips = space.flips
    k, m = region.weight.shape
    rng = np.random.default_rng(seed)
    for members in [*combinations(range(k), 2), tuple(rng.permutation(k)[: k // 2].tolist())]:
        flipped = np.zeros(k, dtype=bool)
        flipped[list(members)] = True
        u, multipliers = np.zeros(m), np.zeros(k)
        verdict = decide_pattern(region, flipped, 0.5, 0.05, u, multipliers)
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


@settings(max_examples=40, deadline=None)
@given(seed=seeds, first=firsts, epsilon=st.floats(0.05, 0.6))
def test_conflicts_of_a_node_are_those_of_its_sums(seed: int, first: str, epsilon: float) -> None:
    if first == "signs":
        _, space, region, terms = problem(seed, (9, 5), epsilon, inputs=9)
    else:
        _, space, region, terms = problem_of_kind(seed, first, ("dense",), epsilon)
    flips, tree = space.flips, tree_of(region, terms, (-1, -1))  # a tree to its leaves
    work, visited = new_workspace(region, terms), 0
    while advance(region, terms, tree, work, -np.inf, 1) != 0 and visited < 200:
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
    advance(region, terms, root, work, -np.inf, 1)
    for i, j in combinations(range(k), 2):
        assert root.conflict[0, i, j] == flips.are_conflicts(np.array([[i, j]]))[0]


@settings(max_examples=40, deadline=None)
@given(seed=seeds, widths=shapes, epsilon=st.floats(0.1, 0.6), floor=st.integers(-8, 8))
@example(seed=21786, widths=(5, 5, 5, 5), epsilon=0.453125, floor=0)  # a bound that is tight
@example(seed=11, widths=(5, 5, 5, 5), epsilon=0.1642851013845998, floor=0)  # no candidates left
@example(seed=66, widths=(7, 5, 4), epsilon=0.5618669389679657, floor=-4)
def test_the_tree_stops_at_every_reachable_set_of_the_margin_that_is_sought(
    seed: int, widths: tuple[int, ...], epsilon: float, floor: int
) -> None:
    _, _, region, terms = problem(seed, widths, epsilon)
    stops_at_all_sets(region, terms, float(floor))


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    first=firsts,
    deeper=st.sampled_from([(), ("ternary",), ("pool",), ("dense", "convolution")]),
    lift=st.integers(-8, 0),
)
def test_the_tree_stops_at_every_reachable_set_in_networks_of_every_kind(
    seed: int, first: str, deeper: tuple[str, ...], lift: int
) -> None:
    _, space, region, terms = problem_of_kind(seed, first, deeper, 0.4)
    most = max(margin(terms, members) for members in subsets(len(space.neurons)))
    stops_at_all_sets(region, terms, most + lift)


def stops_at_all_sets(region: Region, terms: MarginTerms, floor: float) -> None:
    k, m = region.weight.shape
    reachable = set()
    for members in subsets(k)[1:]:
        flipped = np.zeros(k, dtype=bool)
        flipped[list(members)] = True
        verdict = decide_pattern(region, flipped, 0.5, 0.05, np.zeros(m), np.zeros(k))
        if verdict == REACHED and margin(terms, members) >= floor:
            reachable.add(members)
    work = new_workspace(region, terms)
    for few in ((-1, -1), (0, 2), (3, 3), (3, 11)):  # enumerated: nothing, some, all
        tree, found = tree_of(region, terms, few), list[tuple[int, ...]]()
        while advance(region, terms, tree, work, floor, 10**6) != 0:
            found.append(tuple(np.flatnonzero(tree.found).tolist()))
        assert reachable <= set(found)
        assert len(found) == len(set(found))

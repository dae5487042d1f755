"""Whole searches on tiny networks, of every head and unit, against enumeration."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, BinarizedNetwork, OutputLayer, Status
from bnnopt.attacks.base import Attack, Limits
from bnnopt.attacks.flips.branch_and_bound import BranchAndBound, _Run
from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.milp import MilpAttack
from bnnopt.attacks.reachability import Reach
from bnnopt.search import quadratic
from bnnopt.search.space import BoxSpace, BudgetSpace
from tests.helpers import best_continuous_margins, random_image, random_network

seeds = st.integers(0, 10**6)
shapes = st.sampled_from([(4,), (4, 3), (3, 4, 3)])
heads = st.sampled_from(["integer", "batchnorm", "tiny", "huge"])
targets = st.sampled_from(["runner-up", "untargeted"])
rules: Any = st.sampled_from(["lowest", "never", "always"])
attacks = st.sampled_from(["bab", "decomposed", "whole"])


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not compiled, as many steps as in a search would take long."""
    monkeypatch.setattr(quadratic, "LINEAR_STEPS", 4)


def attack_of(name: str) -> Attack:
    return BranchAndBound() if name == "bab" else MilpAttack(decompose=name == "decomposed")


def instance_of(
    seed: int, widths: tuple[int, ...], head: str, domain: Any, **options: Any
) -> AttackInstance:
    levels = [2, 3, 5][seed % 3]
    kind = "integer" if head == "integer" else "batchnorm"
    network = random_network(seed, inputs=3, widths=widths, levels=levels, head=kind)
    if head in ("tiny", "huge"):
        size, output = 1e-7 if head == "tiny" else 1e7, network.output
        scaled = OutputLayer(output.weight, output.scale * size, output.bias * size)
        network = BinarizedNetwork(network.hidden, scaled, levels=levels)
    epsilon: Any = "1/3" if seed % 2 else "0.4"
    return AttackInstance(network, random_image(network, seed), epsilon, domain=domain, **options)


def images(instance: AttackInstance) -> np.ndarray:
    low, high = instance.point_box
    ends = zip(np.ceil(low).astype(int), np.floor(high).astype(int), strict=True)
    ranges = [range(a, b + 1) for a, b in ends]
    return np.array(list(product(*ranges)), dtype=float)


@settings(max_examples=60)
@given(
    seed=seeds,
    widths=shapes,
    head=heads,
    target=targets,
    ties=rules,
    name=attacks,
    goal=st.sampled_from(["margin", "flip"]),
)
def test_in_pixels_margins_and_flips_are_those_of_enumeration(
    seed: int, widths: tuple[int, ...], head: str, target: str, ties: Any, name: str, goal: str
) -> None:
    instance = instance_of(seed, widths, head, "pixels", target=target, ties=ties, goal=goal)
    points = images(instance)
    best, unit = float(instance.margins(points).max()), instance.of_margins.unit
    result = attack_of(name)(instance)
    assert result.message == ""
    if goal == "margin":
        assert result.objective == pytest.approx(best, abs=1e-5 * unit)
        assert result.status is Status.OPTIMAL
        assert result.bound == pytest.approx(best, abs=2e-5 * unit)
    else:
        has_flip = bool(instance.are_flips(points).any())
        assert result.flipped == has_flip
        assert result.status is (Status.OPTIMAL if has_flip else Status.INFEASIBLE)


@settings(max_examples=60)
@given(seed=seeds, widths=shapes, head=heads, target=targets, name=attacks)
def test_in_the_continuous_domain_bounds_hold_for_all_patterns_that_have_images(
    seed: int, widths: tuple[int, ...], head: str, target: str, name: str
) -> None:
    instance = instance_of(seed, widths, head, "continuous", target=target)
    inside, closed = best_continuous_margins(instance)
    unit = instance.of_margins.unit
    result = attack_of(name)(instance)
    assert result.message == ""
    assert result.bound is not None
    assert result.bound >= inside - 1e-9 * unit
    if not result.notes and name != "whole":
        is_rounded = instance.of_margins.lattice(result.target) is not None
        assert result.bound <= closed + 2e-5 * unit or is_rounded
    assert instance.margins(images(instance)).max() <= result.bound + 1e-9 * unit
    if name != "whole":
        assert result.objective >= inside - 1e-5 * unit
    if inside == closed and name != "whole":
        assert result.status is Status.OPTIMAL


def test_a_set_is_closed_only_where_nothing_settles_it() -> None:
    """The search's own state, step by step: a set without a point, one with, one that is open."""
    network = random_network(3, inputs=4, widths=(5, 3), levels=5)
    instance = AttackInstance(network, random_image(network, 3), 0.4)
    search = FlipSearch(instance, Limits(), np.zeros((0, 4)))
    (target,) = instance.targets
    k = search.num_flips
    assert k > 1
    for settles in (True, False):
        search.best = -100.0
        search.closed[target] = -np.inf
        search._decided.clear()
        with pytest.MonkeyPatch.context() as patch:
            for name in ("_settle_by_program", "_settle_exactly", "_settle_whole"):
                patch.setattr(search, name, lambda _, answer=settles: answer)
            search.decide(target, [0])
            margin = search.margin(target, [0])
            assert search.closed[target] == (-np.inf if settles else margin)
            assert bool(search.findings.notes) != settles
            search.decide(target, [1])
            both = max(margin, search.margin(target, [1]))
            assert search.closed[target] == (-np.inf if settles else both)
            if not settles:  # also a set that has just what is sought
                lattice = search.margins.lattice(target)
                assert lattice is not None
                search.best, search.closed[target] = margin - lattice[1], -np.inf
                search._decided.clear()
                assert search.wanted(target) == margin
                search.decide(target, [0])
                assert search.closed[target] == margin
                search.closed[target] = both
            search.best = 100.0
            search.decide(target, [0, 1])  # not wanted any more
            assert search.closed[target] == (-np.inf if settles else both)
    assert _Run(search).bound() >= search.closed[target]


@settings(max_examples=60)
@given(seed=seeds, head=heads, ties=rules, goal=st.sampled_from(["margin", "flip"]))
def test_what_is_sought_is_the_next_margin_that_counts(
    seed: int, head: str, ties: Any, goal: str
) -> None:
    instance = instance_of(seed, (4, 3), head, "continuous", ties=ties, goal=goal)
    search = FlipSearch(instance, Limits(), np.zeros((0, 3)))
    (target,) = instance.targets
    margins, unit = instance.of_margins, instance.of_margins.unit
    k = search.num_flips
    sets = [s for size in range(k + 1) for s in map(list, combinations(range(k), size))]
    values = sorted({search.margin(target, s) for s in sets})
    search.has_flip = False
    for best in values:
        search.best = best
        wanted = search.wanted(target)
        for value in values:
            is_flip = value >= margins.least_flip(target)
            better = value > best and (goal == "margin" or is_flip)
            if better and value - best > 1e-4 * unit:
                assert value >= wanted
                assert value / unit >= search.wanted_units(target)
            if value < wanted - 1e-9 * unit:
                assert value <= search.ruled_out(target) + 1e-9 * unit
            if goal == "flip" and not is_flip:
                assert value < wanted
            if goal == "margin" and value <= best:
                assert value / unit < search.wanted_units(target)
            assert search.is_wanted(target, value) == (value > best or value >= wanted)
        assert search.ruled_out(target) <= wanted


@settings(max_examples=60)
@given(seed=seeds, head=heads, ties=rules, goal=st.sampled_from(["margin", "flip"]))
def test_a_target_has_no_flip_only_where_every_flip_was_wanted_and_none_stayed_open(
    seed: int, head: str, ties: Any, goal: str
) -> None:
    instance = instance_of(seed, (4, 3), head, "continuous", ties=ties, goal=goal)
    search = FlipSearch(instance, Limits(), np.zeros((0, 3)))
    (target,) = instance.targets
    search.has_flip = False
    least, unit = search.margins.least_flip(target), search.margins.unit
    step = (search.margins.lattice(target) or (0.0, 1e-5 * unit))[1]
    for off in (-step, -1e-7 * unit, 0.0, 1e-7 * unit, step):
        search.best, search.closed[target] = least + off, -np.inf
        every_flip_is_wanted = search.wanted(target) <= least + 1e-12 * unit
        if search.no_flip_to(target):
            assert every_flip_is_wanted
        else:
            assert goal == "margin"
            assert off > -step
        search.closed[target] = least
        assert not search.no_flip_to(target)


def test_a_better_point_is_kept_and_a_flip_is_better_than_none() -> None:
    network = random_network(3, inputs=4, widths=(5, 3), levels=5)
    instance = AttackInstance(network, random_image(network, 3), 0.4, goal="flip")
    told: list[float] = []
    limits = Limits(on_incumbent=lambda _, margin: told.append(margin))
    search = FlipSearch(instance, limits, np.zeros((0, 4)))
    points = images(instance)
    order = np.argsort(instance.margins(points), kind="stable")
    for z in points[order]:
        before = (search.has_flip, search.best)
        now = (bool(instance.are_flips(z[None])[0]), float(instance.margins(z[None])[0]))
        assert search.offer(z[None]) == (now > before)
        assert (search.has_flip, search.best) == max(before, now)
        assert search.is_over == search.has_flip
    assert told == sorted(told)
    assert told[-1] == search.best == instance.margins(search.findings.points)[0]


@settings(max_examples=60)
@given(seed=seeds, widths=shapes, target=targets)
def test_the_bound_covers_best_closed_and_open_sets(
    seed: int, widths: tuple[int, ...], target: str
) -> None:
    instance = instance_of(seed, widths, "integer", "continuous", target=target)
    search = FlipSearch(instance, Limits(), np.zeros((0, 3)))
    run = _Run(search)
    k = search.num_flips
    sets = [list(s) for size in range(k + 1) for s in combinations(range(k), size)]
    every = max(search.margin(c, s) for c in instance.targets for s in sets)
    assert k == 0 or run.bound() >= every
    run.prove()
    bound = run.bound()
    assert bound >= search.best
    for c, before in list(search.closed.items()):
        search.closed[c] = bound + 4.0
        assert run.bound() >= bound + 4.0
        search.closed[c] = before
    assert run.bound() == bound


@settings(max_examples=25)
@given(seed=seeds, widths=shapes, threads=st.integers(1, 3), effort=st.sampled_from([None, 1, 5]))
def test_parts_and_limits_do_not_change_what_is_true(
    seed: int, widths: tuple[int, ...], threads: int, effort: int | None
) -> None:
    instance = instance_of(seed, widths, "integer", "pixels", target="untargeted")
    best = float(instance.margins(images(instance)).max())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bnnopt.attacks.flips.target_trees.PAIRS", 1)  # a node at a time
        result = BranchAndBound()(instance, Limits(threads=threads, effort=effort))
    assert result.bound is not None
    assert result.objective <= best <= result.bound
    if effort is None:
        assert result.objective == best
        assert result.status is Status.OPTIMAL


def test_what_no_program_has_said_is_not_settled() -> None:
    network = random_network(3, inputs=4, widths=(5, 3), levels=5)
    for domain in ("continuous", "pixels"):
        instance = AttackInstance(network, random_image(network, 3), "2/5", domain=domain)  # type: ignore[arg-type]
        search = FlipSearch(instance, Limits(), np.zeros((0, 4)))
        k = search.num_flips
        signs = search.space.signs(np.ones(k, dtype=bool))
        claim = Reach(-1.0, instance.levels, np.zeros(k))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(search, "_reach", lambda *_, answer=claim, **__: answer)
            assert not search._settle_by_program(signs)  # its multipliers prove nothing
        for reached, settled in (
            (Reach(None, None, np.zeros(k), None), False),
            (Reach(None, None, np.zeros(k), -0.4), False),
            (Reach(None, None, np.zeros(k), -0.9), True),
            (Reach(None, None, np.zeros(k), -1.0), True),
        ):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(search, "_reach", lambda *_, answer=reached, **__: answer)
                assert not search._settle_by_program(signs)
                assert search._settle_whole(signs) == (settled and domain == "pixels")


def test_a_set_that_was_found_and_not_settled_is_in_the_bound() -> None:
    """As where Ctrl-C comes between the two."""
    pending = 0
    for seed in range(12):
        instance = instance_of(seed, (4, 3), "integer", "continuous")
        search = FlipSearch(instance, Limits(), np.zeros((0, 3)))
        run, (target,) = _Run(search), instance.targets
        (tree,) = run._trees[target].trees
        tree.entering[0] = False  # and it has no child at work: nothing else is open
        k = search.num_flips
        for size in range(1, k + 1):
            for members in combinations(range(k), size):
                tree.found[:] = False
                tree.found[list(members)] = True
                tree.pending[0] = True
                assert run.bound() >= search.margin(target, members)
                tree.pending[0] = False
                pending += run.bound() < search.margin(target, members)
    assert pending > 0


def test_distances_from_thresholds_are_those_of_the_sums() -> None:
    network = random_network(3, inputs=4, widths=(5, 3), levels=5)
    for max_l1 in (None, 0.5):
        instance = AttackInstance(network, random_image(network, 3), 0.4, max_l1=max_l1)
        search = FlipSearch(instance, Limits(), np.zeros((0, 4)))
        space = search.space
        layer, neurons = network.hidden[0], space.neurons
        assert isinstance(space, BoxSpace | BudgetSpace)
        for u in np.random.default_rng(0).uniform(-1.0, 1.0, (5, len(search.region.radius))):
            z = space.point(u)
            sums = layer.weight[neurons] @ z - layer.threshold[neurons]
            assert space.distance(u) == pytest.approx(np.abs(sums))
            flipped = layer(z[None])[0][neurons] != space.flips.signs
            rows = [*flipped.tolist(), *[True] * search.region.always]
            assert space.pattern(u).tolist() == rows

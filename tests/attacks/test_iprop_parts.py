from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import solvers
from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer
from bnnopt.attacks.base import Limits
from bnnopt.attacks.iprop.enumeration import EnumeratedProblem
from bnnopt.attacks.iprop.layer import LayerProblem
from bnnopt.attacks.iprop.patterns import Patterns
from bnnopt.attacks.iprop.state import state_at
from bnnopt.attacks.iprop.steps import StepSize, easy_first, uniform
from bnnopt.attacks.iprop.subsolver import Subsolver
from bnnopt.bounds import interval_bounds
from bnnopt.flips import Flips, first_layer_flips, pair_conflicts
from tests.helpers import deepest_slack, random_image, random_network
from tests.kinds import instance_of, networks

NO_ONE = np.zeros(0, dtype=np.int64)


def test_an_adaptive_step_starts_at_5_percent_and_is_halved_after_5_failures() -> None:
    steps, sizes = StepSize("adaptive", 500), []
    for _ in range(27):
        sizes.append(steps.size)
        steps.report(NO_ONE, improved=False)
    assert sizes == [25] * 5 + [12] * 5 + [6] * 5 + [3] * 5 + [1] * 7


def test_an_improvement_restarts_the_count_of_failures_but_not_the_step() -> None:
    steps, sizes = StepSize("adaptive", 100), []
    for improved in [False] * 4 + [True] + [False] * 5 + [True] + [False] * 5:
        sizes.append(steps.size)
        steps.report(NO_ONE, improved)
    assert sizes == [5] * 10 + [2] * 6
    assert steps.size == 1


@pytest.mark.parametrize(("width", "first"), [(3, 1), (20, 1), (39, 1), (40, 2), (100, 5)])
def test_the_first_step_is_at_least_one_neuron(width: int, first: int) -> None:
    assert StepSize("adaptive", width).size == first


def test_a_constant_step_stays_and_ends_when_every_neuron_was_tried() -> None:
    steps, unmet = StepSize(3, 100), np.arange(5)
    steps.report(np.array([0, 1, 2]), improved=False)
    assert (steps.size, steps.at_local_optimum(unmet)) == (3, False)
    steps.report(np.array([2, 3, 4]), improved=False)
    assert (steps.size, steps.at_local_optimum(unmet)) == (3, True)
    steps.report(NO_ONE, improved=True)
    assert not steps.at_local_optimum(unmet)


def test_single_neurons_are_not_tried_twice() -> None:
    steps = StepSize(1, 100)
    steps.report(np.array([7]), improved=False)
    assert steps.candidates(np.array([3, 7, 9])).tolist() == [3, 9]
    assert StepSize(2, 100).candidates(np.array([3, 7])).tolist() == [3, 7]


def test_g_is_uniform_over_the_subsets() -> None:
    instance = AttackInstance(random_network(0), random_image(random_network(0), 0), 0.3)
    state, rng = state_at(instance, instance.levels), np.random.default_rng(0)
    draws = 6000
    candidates = np.array([2, 3, 5, 8])
    counts = Counter(
        tuple(sorted(uniform(rng, state, candidates, 2).tolist())) for _ in range(draws)
    )
    assert len(counts) == 6
    # 6 standard deviations around a sixth of the draws.
    assert max(abs(count - draws / 6) for count in counts.values()) < 6 * (draws * 5 / 36) ** 0.5


def test_easy_neurons_are_drawn_more_often() -> None:
    network = random_network(0, widths=(9, 12))
    instance = AttackInstance(network, random_image(network, 0), 0.3)
    state, rng = state_at(instance, instance.levels), np.random.default_rng(0)
    order = np.argsort(np.abs(state.slacks[-1]), kind="stable")
    easiest, hardest = int(order[0]), int(order[-1])
    assert abs(state.slacks[-1][easiest]) < abs(state.slacks[-1][hardest])
    drawn = [easy_first(rng, state, np.array([easiest, hardest]), 1)[0] for _ in range(500)]
    assert drawn.count(easiest) > drawn.count(hardest) > 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), epsilon=st.floats(0.05, 0.4), moving=st.integers(0, 6))
def test_problem_9_loaded_or_enumerated_has_the_optimum(
    seed: int, epsilon: float, moving: int
) -> None:
    network = random_network(seed, inputs=6, widths=(6, 5))
    instance = AttackInstance(network, random_image(network, seed), epsilon)
    before, after = interval_bounds(instance)
    flips = first_layer_flips(instance)
    rng = np.random.default_rng(seed)
    movable = rng.permutation(before.unstable)[:moving]
    state = state_at(instance, instance.levels)
    present, layer = state.activations[0], network.hidden[1]
    points = np.array([p for p in product((-1, 1), repeat=6) if _admissible(p, before.sign, flips)])
    points = points[((points == present) | np.isin(np.arange(6), movable)).all(axis=1)]
    sides = np.array([(j, s) for j in after.unstable for s in (1, -1)], dtype=int).reshape(-1, 2)
    subsolver = Subsolver(solvers.get("highs"), Limits(), 10.0)
    enumerated = EnumeratedProblem(layer, sides, flips)
    with LayerProblem(layer, 1, before, sides, subsolver, flips) as loaded:
        for _ in range(3):
            target = rng.integers(-1, 2, 5).astype(np.int8)
            asked = np.where(after.sign == 0, target, 0)
            best = max(_score(layer, p, present, asked) for p in points)
            for problem in (loaded, enumerated):
                found = problem.solve(target, present, movable)
                assert found is not None
                assert _score(layer, found, present, asked) == best
                assert any(np.array_equal(found, p) for p in points)


@settings(max_examples=80)
@given(network=networks, seed=st.integers(0, 10**6))
def test_9_of_every_kind_of_layer_is_solved_as_enumeration_does(
    network: BinarizedNetwork, seed: int
) -> None:
    instance, rng = instance_of(network, seed), np.random.default_rng(seed)
    number = int(rng.integers(1, max(network.depth, 2)))
    assume(network.depth > 1 and network.widths[number - 1] <= 8)
    layers, layer = interval_bounds(instance), network.hidden[number]
    before, after = layers[number - 1], layers[number]
    movable, width = rng.permutation(before.unstable)[:6], network.widths[number - 1]
    present = np.where(before.sign == 0, rng.choice([-1, 1], width), before.sign).astype(np.int8)
    points = np.array(list(product((-1, 1), repeat=width)))
    points = points[((points == present) | np.isin(np.arange(width), movable)).all(axis=1)]
    sides = np.array([(j, s) for j in after.unstable for s in (1, -1)], dtype=int).reshape(-1, 2)
    subsolver = Subsolver(solvers.get("highs"), Limits(), 10.0)
    enumerated = EnumeratedProblem(layer, sides)
    with LayerProblem(layer, number, before, sides, subsolver) as loaded:
        for _ in range(2):
            target = rng.integers(-1, 2, network.widths[number]).astype(np.int8)
            asked = np.where(after.sign == 0, target, 0)
            best = max(_score(layer, p, present, asked) for p in points)
            for problem in (loaded, enumerated):
                found = problem.solve(target, present, movable)
                assert found is not None
                assert _score(layer, found, present, asked) == best


def _admissible(point: tuple[int, ...], stable: np.ndarray, flips: Flips) -> bool:
    if any(s not in (0, p) for s, p in zip(stable, point, strict=True)):
        return False
    flipped = np.array(point)[flips.neurons] != flips.signs
    return not (pair_conflicts(flips) & flipped[:, None] & flipped).any()


def _score(layer: HiddenLayer, point: np.ndarray, present: np.ndarray, asked: np.ndarray) -> tuple:
    signs = layer(np.asarray(point, dtype=float)[None])[0]
    return int(((signs == asked) & (asked != 0)).sum()), -int((point != present).sum())


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    epsilon=st.floats(0.05, 0.5),
    widths=st.sampled_from([(5, 4), (5, 4, 3)]),
    kernel=st.booleans(),
)
def test_better_patterns_have_points_and_the_best_one_is_found(
    seed: int, epsilon: float, widths: tuple[int, ...], kernel: bool
) -> None:
    network = random_network(seed, inputs=6, widths=widths)
    instance = AttackInstance(network, random_image(network, seed), epsilon)
    state = state_at(instance, instance.levels)
    subsolver = Subsolver(solvers.get("highs"), Limits(), 10.0)
    rng = np.random.default_rng(0)
    with Patterns(instance, subsolver, 10, kernel) as patterns:
        # What is tested once is not tested again, so that a few calls exhaust the 32 patterns.
        points = np.vstack([patterns.better(state, rng) for _ in range(32)])
    margins = [state_at(instance, instance.snap(z)).margin for z in points]
    assert all(margin > state.margin for margin in margins)
    unstable = interval_bounds(instance)[0].unstable
    for signs in product((-1, 1), repeat=len(unstable)):
        pattern = state.activations[0].copy()
        pattern[unstable] = signs
        if deepest_slack(instance, pattern) > 1e-3:
            values = pattern[None].astype(float)
            for layer in network.hidden[1:]:
                values = layer(values)
            logits = network.output(values)[0]
            margin = logits[instance.targets[0]] - logits[instance.source]
            assert margin <= max([state.margin, *margins])

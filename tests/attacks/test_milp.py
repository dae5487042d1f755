from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnopt
import solvers
from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer, Status
from bnnopt.attacks.base import Attack, Findings, Limits
from bnnopt.attacks.milp import MilpAttack
from bnnopt.formulations.names import FORMULATIONS
from bnnopt.result import AttackResult
from tests.helpers import (
    best_continuous_margins,
    best_pixel_margin,
    random_image,
    random_network,
)

INSTALLED = [info.name for info in solvers.available() if info.available]
shapes = st.sampled_from([(4,), (4, 3), (3, 4, 3), (3, 3, 3, 3)])


def instance_of(
    seed: int, widths: tuple[int, ...], head: str, target: str, domain: Any, epsilon: float = 0.3
) -> AttackInstance:
    network = random_network(seed, inputs=4, widths=widths, head=head)
    return AttackInstance(network, random_image(network, seed), epsilon, target, domain)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("solver", INSTALLED)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    widths=shapes,
    head=st.sampled_from(["integer", "batchnorm"]),
    target=st.sampled_from(["runner-up", "untargeted"]),
)
def test_in_the_pixel_domain_the_optimum_is_that_of_enumeration(
    solver: str, formulation: str, seed: int, widths: tuple[int, ...], head: str, target: str
) -> None:
    instance = instance_of(seed, widths, head, target, "pixels")
    result = MilpAttack(solver, formulation)(instance)
    assert result.status is Status.OPTIMAL
    assert result.objective == pytest.approx(best_pixel_margin(instance), abs=1e-9)
    assert result.verified
    assert result.bound == pytest.approx(result.objective, abs=1e-5)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("solver", INSTALLED)
@settings(max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    widths=shapes,
    head=st.sampled_from(["integer", "batchnorm"]),
    target=st.sampled_from(["runner-up", "untargeted"]),
    epsilon=st.floats(0.03, 0.5),
)
def test_in_the_continuous_domain_the_bound_holds_for_every_pattern_of_the_closed_box(
    solver: str,
    formulation: str,
    seed: int,
    widths: tuple[int, ...],
    head: str,
    target: str,
    epsilon: float,
) -> None:
    instance = instance_of(seed, widths, head, target, "continuous", epsilon)
    inside, closed = best_continuous_margins(instance)
    result = MilpAttack(solver, formulation)(instance)
    assert result.status is not Status.ERROR, result.message
    assert result.bound is not None
    assert result.bound >= closed - 1e-6
    assert result.verified
    assert result.objective <= closed + 1e-9
    if inside == closed:
        assert result.status is Status.OPTIMAL
        assert result.objective == pytest.approx(inside, abs=1e-9)


def threshold_network() -> BinarizedNetwork:
    """One pixel; its neuron is on from level 4, and off is worth more."""
    hidden = (HiddenLayer([[1]], [4]),)
    return BinarizedNetwork(hidden, OutputLayer([[-1], [1]], [1, 1], [0, 0]), levels=8)


def test_a_point_on_a_threshold_is_repaired_or_dropped_and_never_claimed() -> None:
    network = threshold_network()
    # At 0.5 the neuron is exactly at its threshold, hence on; only strictly below is it off.
    # The box reaches down to the threshold and not beyond: off is in the closed model only.
    instance = AttackInstance(network, [0.625], epsilon=0.125)
    result = MilpAttack(formulation="paper")(instance)
    assert result.objective == result.start_objective == -2
    assert result.bound == 2  # the closure of "off" meets the box
    assert result.status is Status.FEASIBLE
    tight = MilpAttack()(instance)  # a neuron that is on everywhere is a constant there
    assert tight.status is Status.OPTIMAL
    assert tight.objective == -2
    below = MilpAttack()(AttackInstance(network, [0.625], epsilon=0.126))
    assert below.status is Status.OPTIMAL
    assert below.objective == 2
    assert below.adversarial[0] < 0.5


@pytest.mark.parametrize("domain", ["continuous", "pixels"])
def test_epsilon_zero_and_one_are_solved(domain: Any) -> None:
    network = random_network(4)
    image = random_image(network, 4)
    still = MilpAttack()(AttackInstance(network, image, 0.0, domain=domain))
    assert still.status is Status.OPTIMAL
    assert still.objective == still.start_objective
    assert np.array_equal(still.adversarial, image)
    whole = AttackInstance(network, image, 1.0, domain="pixels")
    assert MilpAttack()(whole).objective == best_pixel_margin(whole)


def test_a_real_network_is_attacked_and_the_result_is_a_true_record() -> None:
    image = bnnopt.datasets.embedded().x(1)
    result = bnnopt.attack(
        "fashion-mnist-2x100", image, epsilon=0.004, time_limit=60, index=1, label=2
    )
    network = bnnopt.zoo.load("fashion-mnist-2x100")
    assert result.status is Status.OPTIMAL
    assert result.objective == result.bound
    assert result.objective > result.start_objective
    assert result.objective == network.margin(result.adversarial, result.target, result.source)
    assert np.max(np.abs(result.adversarial - image)) <= 0.004 + 1e-12
    record = result.as_dict()
    assert list(record) == [
        "version",
        "network",
        "image",
        "label",
        "source",
        "target",
        "epsilon",
        "domain",
        "method",
        "solver",
        "formulation",
        "seed",
        "time_limit",
        "status",
        "objective",
        "bound",
        "start_objective",
        "flipped",
        "verified",
        "wall_time",
        "iterations",
        "trace",
        "versions",
        "goal",
        "goal_values",
        "goal_bounds",
        "distances",
        "model",
        "ran",
        "ties",
        "prediction",
        "bounds",
        "steps",
        "effort",
        "ruled_out",
        "notes",
        "interrupted",
        "message",
        "proof",
    ]
    assert (record["image"], record["label"], record["status"]) == (1, 2, "optimal")
    assert record["trace"][-1][1] == result.objective
    assert record["bounds"][-1][1] == result.bound
    values = [value for _, value in record["trace"]]
    assert values == sorted(values)
    assert {"bnnopt", "pyomo", "highspy", "python"} <= set(record["versions"])


def test_a_time_limit_leaves_a_checked_point_and_a_sound_bound() -> None:
    image = bnnopt.datasets.embedded().x(0)
    result = bnnopt.attack("fashion-mnist-2x100", image, epsilon=0.02, time_limit=3)
    assert result.status is Status.FEASIBLE
    assert result.verified
    assert result.bound is not None
    assert result.bound >= result.objective >= result.start_objective


class Liar(Attack):
    """An attack that reports whatever it is told to."""

    method = "liar"

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def run(self, instance: AttackInstance, limits: Limits, starts: Any) -> Findings:
        return self._findings


def lie(**claims: Any) -> AttackResult:
    network = random_network(7)
    instance = AttackInstance(network, random_image(network, 7), 0.4)
    return Liar(Findings(**({"points": np.zeros((0, 4))} | claims)))(instance)


def test_a_false_bound_is_an_error() -> None:
    result = lie(bound=-100.0)
    assert result.status is Status.ERROR
    assert "excludes" in result.message
    assert result.bound is None


def test_a_claimed_point_outside_the_box_is_brought_inside() -> None:
    result = lie(points=np.full((1, 4), 1e6))
    assert result.verified
    assert result.status is Status.FEASIBLE


def test_claims_in_the_trace_end_at_what_the_replay_gives() -> None:
    result = lie(trace=[(0.0, -50.0), (0.1, 999.0)])
    assert result.trace[0] == (0.0, -50.0)
    assert result.trace[-1][1] == result.objective < 999


def two_stages(margin_bound: float, l1_bound: float) -> AttackResult:
    network = random_network(7)
    instance = AttackInstance(network, random_image(network, 7), 0.4, goal="margin,l1")
    return Liar(Findings(np.zeros((0, 4)), goal_bounds=[margin_bound, l1_bound]))(instance)


def test_a_second_stage_counts_only_where_the_first_is_proved() -> None:
    # The image itself: its L1 distance, 0, is below a bound on points with a larger margin.
    margin = two_stages(1e6, 0.0).objective
    assert two_stages(margin + 4, 2.0).status is Status.FEASIBLE
    assert two_stages(margin, 0.0).status is Status.OPTIMAL
    assert two_stages(margin, 2.0).status is Status.ERROR

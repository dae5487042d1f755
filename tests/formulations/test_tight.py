from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnopt
from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer, Status
from bnnopt.attacks.milp import MilpAttack
from bnnopt.errors import UnknownNameError
from bnnopt.formulations.attack import attack_model, model_size
from bnnopt.formulations.names import STRENGTHENINGS
from tests.helpers import (
    best_continuous_margins,
    best_pixel_margin,
    random_image,
    random_network,
)

shapes = st.sampled_from([(5,), (6, 4), (5, 4, 3), (4, 4, 3, 3)])
strengthenings = st.sampled_from([(), *((name,) for name in STRENGTHENINGS), STRENGTHENINGS])


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    widths=shapes,
    strengthen=strengthenings,
    decompose=st.booleans(),
    head=st.sampled_from(["integer", "batchnorm"]),
    target=st.sampled_from(["runner-up", "untargeted"]),
)
def test_each_strengthening_alone_and_all_together_keep_the_optimum_in_pixels(
    seed: int,
    widths: tuple[int, ...],
    strengthen: tuple[str, ...],
    decompose: bool,
    head: str,
    target: str,
) -> None:
    network = random_network(seed, inputs=4, widths=widths, head=head)
    instance = AttackInstance(network, random_image(network, seed), 0.3, target, "pixels")
    result = MilpAttack(strengthen=strengthen, decompose=decompose)(instance)
    assert result.status is Status.OPTIMAL, result.message
    assert result.objective == pytest.approx(best_pixel_margin(instance), abs=1e-9)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    widths=shapes,
    strengthen=strengthenings,
    decompose=st.booleans(),
    epsilon=st.floats(0.03, 0.5),
)
def test_each_strengthening_alone_and_all_together_bound_the_closed_box(
    seed: int, widths: tuple[int, ...], strengthen: tuple[str, ...], decompose: bool, epsilon: float
) -> None:
    network = random_network(seed, inputs=6, widths=widths)
    instance = AttackInstance(network, random_image(network, seed), epsilon)
    inside, closed = best_continuous_margins(instance)
    result = MilpAttack(strengthen=strengthen, decompose=decompose)(instance)
    assert result.bound is not None
    assert result.bound >= closed - 1e-6
    assert result.objective <= closed + 1e-9
    if decompose:
        assert result.objective >= inside - 1e-9


@pytest.mark.parametrize("domain", ["continuous", "pixels"])
def test_with_epsilon_zero_everything_is_stable_and_the_image_is_the_optimum(domain: Any) -> None:
    network = random_network(4)
    instance = AttackInstance(network, random_image(network, 4), 0.0, domain=domain)
    assert model_size(attack_model(instance))["binaries"] == 0
    for decompose in (True, False):
        result = MilpAttack(decompose=decompose)(instance)
        assert result.status is Status.OPTIMAL
        assert result.objective == result.start_objective


def test_neurons_with_equal_output_weights_have_no_variable() -> None:
    hidden = (HiddenLayer([[1, 1], [1, -1]], [5, 0]),)
    network = BinarizedNetwork(
        (*hidden, HiddenLayer([[1, 1], [1, -1], [-1, 1]], [0, 0, 0])),
        OutputLayer([[1, 1, -1], [1, -1, 1]], [1, 1], [0, 0]),
        levels=5,
    )
    instance = AttackInstance(network, [0.4, 0.6], 1.0)
    last = {j for l, j in attack_model(instance).h if l == 2}
    assert 0 not in last
    assert MilpAttack()(instance).status is Status.OPTIMAL


def test_a_class_that_cannot_win_is_proved_so() -> None:
    hidden = random_network(2).hidden
    output = OutputLayer(np.ones((2, 3)), [1, 1], [0, -10])
    network = BinarizedNetwork(hidden, output, levels=7)
    instance = AttackInstance(network, random_image(network, 2), 1.0, goal="flip")
    result = MilpAttack()(instance)
    assert (result.status, result.objective, result.bound) == (Status.INFEASIBLE, -10, -10)


def test_on_a_real_network_every_formulation_proves_the_same_optimum() -> None:
    network = bnnopt.zoo.load("fashion-mnist-2x100")
    for image in (1, 6):
        instance = AttackInstance(network, bnnopt.datasets.embedded().x(image), 0.003)
        attacks = [MilpAttack(), MilpAttack(decompose=False), MilpAttack(formulation="paper")]
        results = [attack(instance) for attack in attacks]
        assert {result.status for result in results} == {Status.OPTIMAL}
        assert len({result.objective for result in results}) == 1
        sizes = [result.model for result in results]
        assert sizes[0]["rows"] < sizes[1]["rows"] < sizes[2]["rows"]
        assert sizes[0]["stable"][0] == sizes[2]["stable"][0] > 50


def test_an_unknown_strengthening_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'conflicts'"):
        MilpAttack(strengthen=["conflict"])

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnopt
import solvers
from bnnopt import AttackInstance, BinarizedNetwork, IProp, OutputLayer
from bnnopt.attacks.base import Limits
from bnnopt.errors import InputError
from bnnopt.result import AttackResult
from tests.helpers import best_continuous_margins, random_image, random_network

INSTALLED = [info.name for info in solvers.available() if info.available]
PRESETS = {"default": IProp, "paper": IProp.paper}
SHAPES = [(5,), (5, 4), (4, 4, 3), (4, 4, 3, 3), (4, 3, 3, 3, 3)]


def instance_of(
    seed: int, widths: tuple[int, ...] = (5, 4), epsilon: float = 0.3, **options: Any
) -> AttackInstance:
    network = random_network(seed, inputs=5, widths=widths)
    return AttackInstance(network, random_image(network, seed), epsilon, **options)


def check(result: AttackResult) -> None:
    """What holds of every result."""
    assert result.verified
    assert result.objective >= result.start_objective
    values = [value for _, value in result.trace]
    assert values == sorted(set(values))
    assert values[-1] == result.objective
    assert result.iterations == len(result.steps)
    seconds = [step["seconds"] for step in result.steps]
    assert seconds == sorted(seconds)
    for step in result.steps:
        assert step["step"] >= 1
        if step["objective"] is not None:
            assert 0 <= step["met"] <= step["asked"]
            assert step["objective"] <= result.objective


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("widths", SHAPES)
@pytest.mark.parametrize("target", ["runner-up", "untargeted"])
@pytest.mark.parametrize("domain", ["continuous", "pixels"])
def test_at_every_depth_incumbents_only_get_better_and_are_real(
    preset: str, widths: tuple[int, ...], target: str, domain: Any
) -> None:
    for seed in range(2):
        check(PRESETS[preset]()(instance_of(seed, widths, target=target, domain=domain)))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), widths=st.sampled_from(SHAPES))
def test_the_default_finds_the_optimum_where_it_can_enumerate(
    seed: int, widths: tuple[int, ...]
) -> None:
    instance = instance_of(seed, widths)
    inside, closed = best_continuous_margins(instance)
    objective = IProp()(instance).objective
    assert inside <= objective <= closed


@pytest.mark.parametrize("solver", INSTALLED)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_solver_works(solver: str, preset: str) -> None:
    result = PRESETS[preset](solver)(instance_of(3, epsilon=0.2), Limits(seed=1))
    check(result)
    assert result.solver == solver
    assert "pyomo" in result.versions


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_gives_the_same_search(preset: str) -> None:
    instance = instance_of(5, (8, 8))
    runs = []
    for _ in range(2):
        result = PRESETS[preset]()(instance, Limits(seed=4))
        steps = [{**step, "seconds": 0.0} for step in result.steps]
        runs.append((steps, [value for _, value in result.trace], result.adversarial.tolist()))
    assert runs[0] == runs[1]
    assert len(runs[0][0]) > 1


@pytest.mark.parametrize("seed", range(6))
def test_the_papers_preset_ends_when_each_neuron_was_asked_for_by_itself(seed: int) -> None:
    instance = instance_of(seed, (6, 6))
    result = IProp.paper()(instance)
    last = instance.network.activations(result.adversarial)[-1]
    output = instance.network.output
    ideal = np.sign(output.weight[instance.targets[0]] - output.weight[instance.source])
    unmet = np.count_nonzero((ideal != 0) & (last != ideal))
    better = [
        at
        for at, s in enumerate(result.steps)
        if s["objective"] is not None
        and s["asked"] > 0
        and s["objective"] > max([result.start_objective, *_before(result, at)])
    ]
    since = result.steps[better[-1] + 1 :] if better else result.steps
    assert len(since) == unmet
    assert all(step["step"] == 1 for step in since)


def _before(result: AttackResult, at: int) -> list[float]:
    return [s["objective"] for s in result.steps[:at] if s["objective"] is not None]


def test_nothing_is_asked_for_where_every_neuron_is_ideal() -> None:
    hidden = random_network(1, inputs=5, widths=(5, 4)).hidden
    image = np.full(5, 3 / 7)
    plain = BinarizedNetwork(hidden, OutputLayer(np.ones((2, 4)), [1, 1], [0, 0]), levels=7)
    activations = plain.activations(image)[-1]
    output = OutputLayer([-activations, activations], [1, 1], [20, 0])
    network = BinarizedNetwork(hidden, output, levels=7)
    for preset in PRESETS.values():
        result = preset()(AttackInstance(network, image, 0.3))
        assert (result.iterations, result.objective) == (0, result.start_objective)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("domain", ["continuous", "pixels"])
def test_with_epsilon_zero_the_image_stays(preset: str, domain: Any) -> None:
    result = PRESETS[preset]()(instance_of(2, epsilon=0.0, domain=domain))
    check(result)
    assert np.array_equal(result.adversarial, result.original)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_image_on_the_border_of_the_unit_box(preset: str, value: float) -> None:
    network = random_network(6, inputs=5, widths=(5, 4))
    check(PRESETS[preset]()(AttackInstance(network, np.full(5, value), 0.4)))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "budget",
    [{"max_pixels": 2}, {"max_l1": 0.3}, {"mask": [1, 1, 0, 0, 1]}, {"direction": "lighten"}],
)
def test_budgets_beside_the_box_hold(preset: str, budget: dict[str, Any]) -> None:
    for seed in range(2):
        check(PRESETS[preset]()(instance_of(seed, epsilon=0.4, **budget)))


@pytest.mark.parametrize("preset", PRESETS)
def test_it_goes_on_from_the_best_start(preset: str) -> None:
    for seed in range(4):
        instance = instance_of(seed, (6, 5))
        low, high = instance.point_box
        starts = np.random.default_rng(seed).uniform(low, high, (30, len(low)))
        starts = np.array([instance.snap(z) for z in starts])
        result = PRESETS[preset]()(instance, starts=starts)
        check(result)
        assert result.trace[0][1] == max(*instance.margins(starts), result.start_objective)


def test_a_flip_is_enough_where_one_is_sought() -> None:
    flips = 0
    for seed in range(8):
        instance = instance_of(seed, (6, 6), 0.5, goal="flip")
        result = IProp()(instance)
        check(result)
        flips += result.flipped
        assert sum(value > 0 for _, value in result.trace) <= 1
    assert flips


@pytest.mark.parametrize("preset", PRESETS)
def test_an_interrupt_keeps_the_incumbent(preset: str) -> None:
    found: list[float] = []

    def stop(seconds: float, objective: float) -> None:
        found.append(objective)
        if len(found) == 2:
            raise KeyboardInterrupt

    instance = next(i for i in map(instance_of, range(20)) if len(IProp()(i).trace) > 1)
    result = PRESETS[preset]()(instance, Limits(on_incumbent=stop))
    assert result.interrupted
    assert result.objective == found[-1] > result.start_objective
    assert result.verified


def test_on_a_real_network_a_second_is_enough_to_get_better() -> None:
    image = bnnopt.datasets.embedded().x(0)
    result = bnnopt.attack("fashion-mnist-3x100", image, 0.01, method="iprop", time_limit=3)
    check(result)
    assert result.objective > result.start_objective
    assert result.wall_time < 6


@pytest.mark.parametrize("step", [0, -1, 2.5, "adaptiv"])
def test_a_wrong_step_is_named(step: Any) -> None:
    with pytest.raises(InputError, match="step must be 'adaptive' or a positive whole number"):
        IProp(step=step)


def test_importing_bnnopt_does_not_import_pyomo() -> None:
    code = "import sys, bnnopt; assert 'pyomo' not in sys.modules; assert bnnopt.IProp.paper"
    subprocess.run([sys.executable, "-c", code], check=True)

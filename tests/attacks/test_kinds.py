"""Attacks on networks of every kind of layer and head, against enumeration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
from bnnopt import AttackInstance, BinarizedNetwork, Status
from bnnopt.attacks import attack_class
from bnnopt.attacks.auto import AutoAttack
from bnnopt.attacks.base import Limits
from bnnopt.attacks.iprop import IProp
from bnnopt.attacks.milp import MilpAttack
from bnnopt.errors import InputError
from bnnopt.formulations import size
from bnnopt.formulations.paper import paper_model
from bnnopt.formulations.size import model_terms
from bnnopt.formulations.tight import tight_model
from tests.helpers import best_continuous_margins
from tests.kinds import FIRST, admissible, instance_of, network_of, networks, padded

seeds = st.integers(0, 10**6)
targets = st.sampled_from(["runner-up", "untargeted"])
rules: Any = st.sampled_from(["lowest", "never", "always"])
BUDGETS: list[dict[str, Any]] = [{}, {}, {"max_l1": "4/7"}, {"max_pixels": 2}]
OTHERS = [info.name for info in solvers.available() if info.available and info.name != "highs"]
FORMULATIONS = [("tight", True), ("tight", False), ("paper", False)]


@settings(max_examples=60)
@given(
    network=networks,
    seed=seeds,
    how=st.sampled_from(FORMULATIONS),
    budget=st.sampled_from(BUDGETS),
    target=targets,
)
def test_a_milp_finds_the_largest_margin_of_all_whole_images(
    network: BinarizedNetwork, seed: int, how: Any, budget: dict[str, Any], target: str
) -> None:
    instance = instance_of(network, seed, domain="pixels", target=target, **budget)
    result = MilpAttack(formulation=how[0], decompose=how[1])(instance)
    best = float(instance.margins(admissible(instance)).max())
    assert (result.message, result.status) == ("", Status.OPTIMAL)
    assert result.verified
    assert result.objective == best
    assert result.bound == pytest.approx(best, abs=1e-5 * instance.of_margins.unit)


@settings(max_examples=60)
@given(
    network=networks,
    seed=seeds,
    how=st.sampled_from(FORMULATIONS),
    goal=st.sampled_from(["flip", "flip", "l1", "l0", "linf", "l0,linf", "margin+0.5*l1"]),
    ties=rules,
)
def test_a_milp_finds_the_best_image_for_every_goal(
    network: BinarizedNetwork, seed: int, how: Any, goal: str, ties: Any
) -> None:
    instance = instance_of(
        network, seed, domain="pixels", target="untargeted", goal=goal, ties=ties
    )
    result = MilpAttack(formulation=how[0], decompose=how[1])(instance)
    points = admissible(instance)
    assert result.message == ""
    if instance.sought.needs_flip and not instance.are_flips(points).any():
        assert (result.status, result.flipped) == (Status.INFEASIBLE, False)
        return
    assert result.status is Status.OPTIMAL
    found = instance.rank(result.adversarial.ravel() * network.levels)
    best = max(instance.rank(z) for z in points)
    stages = len(instance.sought.stages)
    assert result.flipped or not instance.sought.needs_flip
    assert found[:stages] == pytest.approx(best[:stages], abs=1e-5)


@settings(max_examples=24)
@given(
    network=networks,
    seed=seeds,
    solver=st.sampled_from(OTHERS),
    formulation=st.sampled_from(["tight", "paper"]),
)
def test_every_solver_finds_it(
    network: BinarizedNetwork, seed: int, solver: str, formulation: str
) -> None:
    instance = instance_of(network, seed, domain="pixels", target="untargeted")
    result = MilpAttack(solver, formulation)(instance)
    assert (result.message, result.status) == ("", Status.OPTIMAL)
    assert result.objective == float(instance.margins(admissible(instance)).max())


@settings(max_examples=30)
@given(network=networks, seed=seeds, how=st.sampled_from(FORMULATIONS), target=targets)
def test_a_milp_finds_the_largest_margin_of_real_pixels(
    network: BinarizedNetwork, seed: int, how: Any, target: str
) -> None:
    instance = instance_of(network, seed, target=target)
    if network.widths[0] > 6:
        return
    result = MilpAttack(formulation=how[0], decompose=how[1])(instance)
    inside, closed = best_continuous_margins(instance)
    assert result.message == ""
    assert result.verified
    assert inside - 1e-9 <= result.objective <= closed + 1e-9
    assert result.bound is not None and result.bound >= inside - 1e-9


@settings(max_examples=20)
@given(network=networks, seed=seeds)
def test_inputs_and_neurons_that_nothing_reads_change_no_optimum(
    network: BinarizedNetwork, seed: int
) -> None:
    instance = instance_of(network, seed, domain="pixels")
    wider = padded(network)
    image = np.concatenate([[1.0], np.ravel(instance.image)])
    same = AttackInstance(wider, image, instance.epsilon, domain="pixels", target=instance.target)
    for formulation in ("tight", "paper"):
        attack = MilpAttack(formulation=formulation)
        assert attack(same).objective == attack(instance).objective


@settings(max_examples=36)
@given(
    network=networks,
    seed=seeds,
    preset=st.sampled_from(["aware", "paper"]),
    budget=st.sampled_from(BUDGETS),
    domain=st.sampled_from(["continuous", "pixels"]),
)
def test_what_iprop_finds_is_replayed_and_no_better_than_the_best(
    network: BinarizedNetwork, seed: int, preset: str, budget: dict[str, Any], domain: Any
) -> None:
    instance = instance_of(network, seed, domain=domain, target="untargeted", **budget)
    result = IProp(preset=preset)(instance, Limits(effort=40))
    assert result.message == ""
    assert result.verified
    assert result.objective >= float(instance.margins(instance.levels[None])[0])
    if domain == "pixels":
        assert result.objective <= float(instance.margins(admissible(instance)).max())


@settings(max_examples=40)
@given(
    network=networks,
    seed=seeds,
    name=st.sampled_from(["pgd", "fgsm", "ifgsm"]),
    budget=st.sampled_from(BUDGETS),
    domain=st.sampled_from(["continuous", "pixels"]),
)
def test_what_a_gradient_finds_is_replayed_and_no_better_than_the_best(
    network: BinarizedNetwork, seed: int, name: str, budget: dict[str, Any], domain: Any
) -> None:
    pytest.importorskip("torch")
    instance = instance_of(network, seed, domain=domain, target="untargeted", **budget)
    result = attack_class(name)(device="cpu")(instance, Limits(effort=20))
    assert result.message == ""
    assert result.verified
    assert result.objective >= float(instance.margins(instance.levels[None])[0])
    if domain == "pixels":
        assert result.objective <= float(instance.margins(admissible(instance)).max())


@pytest.mark.parametrize(
    ("attack", "options", "said"),
    [
        (MilpAttack(formulation="paper"), {}, r"the paper model .* terms.*'auto' or formulation"),
        (MilpAttack(), {}, "the tight model .* take method 'auto' or a smaller epsilon"),
        (IProp.paper(), {}, "the largest subproblem .* or preset 'aware'"),
        (IProp(), {"max_pixels": 2}, "the largest subproblem .* or method 'pgd'"),
    ],
)
def test_models_that_would_not_fit_are_refused_before_any_work(
    attack: Any, options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size, "MAX_TERMS", 5)
    network = network_of(1, "dense", ("ternary", "dense"))
    instance = AttackInstance(network, np.full(network.num_inputs, 0.5), 1.0, **options)
    with pytest.raises(InputError, match=said):
        attack.prepare(instance)
    IProp().prepare(replace(instance, max_pixels=None))  # which needs no model of that size
    found = AutoAttack()(replace(instance, goal="l0"), Limits(effort=50))
    assert found.verified
    assert found.ran != "milp"


def test_the_size_of_a_model_is_foreseen() -> None:
    for seed, first in enumerate(FIRST):
        for deeper in ((), ("ternary",), ("convolution", "dense")):
            instance = instance_of(network_of(seed, first, deeper), seed)
            paper, tight = paper_model(instance), tight_model(instance, ())
            stated = list(paper.sums.values())[: sum(instance.network.widths)]
            # Of each row, all but the neuron's own variable.
            assert model_terms(instance, "paper") == sum(
                len(row.body.linear_vars) - 1 for row in stated
            )
            sides = [*tight.on.values(), *tight.off.values()]
            assert model_terms(instance, "tight") >= sum(
                len(row.body.linear_vars) - 1 for row in sides
            )

"""Models of networks of every kind: what is a point of them, and their rows' units."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_array

import solvers
from bnnopt import AttackInstance, BinarizedNetwork
from bnnopt.attacks.reachability import Reachability
from bnnopt.formulations.names import STRENGTHENINGS
from bnnopt.formulations.paper import paper_model
from bnnopt.formulations.pattern import SLACK
from bnnopt.formulations.perturbation import perturbation_model
from bnnopt.formulations.rows import divided, reach, row_factors, vector, weighted_sum
from bnnopt.formulations.target import target_model
from bnnopt.formulations.tight import tight_model
from bnnopt.row_units import layer_units, row_units
from tests.formulations.points import checker, choose_target, place
from tests.helpers import whole_rows
from tests.kinds import admissible, instance_of, networks

seeds = st.integers(0, 10**6)
domains = st.sampled_from(["continuous", "pixels"])
targets = st.sampled_from(["runner-up", "untargeted"])


def some_points(instance: AttackInstance, seed: int) -> np.ndarray:
    """Of whole levels, and where those need not be whole, others."""
    rng = np.random.default_rng(seed)
    points = rng.permutation(admissible(instance))[:12]
    if instance.domain == "pixels":
        return points
    low, high = instance.point_box
    return np.vstack([points, np.round(rng.uniform(low, high, (12, len(low))) * 2**20) / 2**20])


@settings(max_examples=80)
@given(
    network=networks,
    seed=seeds,
    domain=domains,
    target=targets,
    budget=st.sampled_from([{}, {"max_l1": "4/7"}]),
    strengthen=st.sampled_from([(), STRENGTHENINGS]),
)
def test_each_image_is_a_point_of_the_tight_model_with_its_margin(
    network: BinarizedNetwork,
    seed: int,
    domain: Any,
    target: str,
    budget: dict[str, Any],
    strengthen: Any,
) -> None:
    instance = instance_of(network, seed, domain=domain, target=target, **budget)
    model = tight_model(instance, strengthen)
    violated = checker(model)
    for z in some_points(instance, seed):
        if np.abs(z - instance.levels).sum() <= instance.l1_levels:
            place(model, instance, z)
            choose_target(model, instance, z)
            assert violated(1e-6) == []
            margin = float(instance.margins(z[None])[0]) / instance.of_margins.unit
            assert pyo.value(model.margin) == pytest.approx(margin)


@settings(max_examples=80)
@given(network=networks, seed=seeds, domain=domains, target=targets)
def test_each_image_is_a_point_of_the_papers_model_with_its_margin(
    network: BinarizedNetwork, seed: int, domain: Any, target: str
) -> None:
    instance = instance_of(network, seed, domain=domain, target=target)
    model = paper_model(instance)
    violated = checker(model)
    for z in some_points(instance, seed):
        place(model, instance, z)
        for row in model.sums.values():  # each states one pre-activation, its last term
            solve_for_last(row)
        choose_target(model, instance, z)
        assert violated(1e-6) == []
        margin = float(instance.margins(z[None])[0]) / instance.of_margins.unit
        assert pyo.value(model.margin) == pytest.approx(margin)


def solve_for_last(row: Any) -> None:
    variable = row.body.args[-1].args[1]
    variable.set_value(0.0, skip_validation=True)
    variable.set_value(pyo.value(row.body), skip_validation=True)


@settings(max_examples=80)
@given(network=networks, seed=seeds)
def test_targets_of_every_layer_are_met_as_well_as_any_inputs_do(
    network: BinarizedNetwork, seed: int
) -> None:
    assume(network.depth > 1 and network.widths[-2] <= 8)
    rng, layer = np.random.default_rng(seed), network.hidden[-1]
    outputs, width = layer.shape
    target = rng.integers(-1, 2, outputs).astype(np.int8)
    incumbent = rng.choice([-1, 1], width).astype(np.int8)
    points = np.array(list(product((-1.0, 1.0), repeat=width)))
    met = ((layer(points) == target) & (target != 0)).sum(axis=1)
    distance = (points != incumbent).sum(axis=1)
    best = max(zip(met.tolist(), (-distance).tolist(), strict=True))
    result = solvers.solve(target_model(layer, target, incumbent), "highs")
    assert result.objective == pytest.approx((width + 1) * best[0] + best[1])


@settings(max_examples=80)
@given(
    network=networks, seed=seeds, budget=st.sampled_from([{}, {"max_l1": "4/7"}, {"max_pixels": 2}])
)
def test_targets_of_the_first_layer_are_met_as_well_as_any_image_does(
    network: BinarizedNetwork, seed: int, budget: dict[str, Any]
) -> None:
    instance = instance_of(network, seed, domain="pixels", **budget)
    target = np.random.default_rng(seed).integers(-1, 2, network.widths[0]).astype(np.int8)
    signs = network.hidden[0](admissible(instance))
    best = ((signs == target) & (target != 0)).sum(axis=1).max()
    result = solvers.solve(perturbation_model(instance, target), "highs")
    assert result.objective == pytest.approx(best)


@settings(max_examples=60)
@given(network=networks, seed=seeds)
def test_real_levels_that_meet_targets_keep_off_their_thresholds(
    network: BinarizedNetwork, seed: int
) -> None:
    instance = instance_of(network, seed)
    target = np.random.default_rng(seed).integers(-1, 2, network.widths[0]).astype(np.int8)
    model = perturbation_model(instance, target)
    result = solvers.solve(model, "highs")
    signs = network.hidden[0](admissible(instance))
    met = (signs == target) & (target != 0)
    assert result.objective is not None
    assert result.objective >= met.sum(axis=1).max() - 1e-6  # whole levels are real ones
    z = instance.snap(instance.levels + np.array([p.value for p in model.p.values()]))
    sums = (network.hidden[0].pre_activation(z[None]) - network.hidden[0].threshold)[0]
    for j, hit in model.met.items():
        if hit.value > 0.5 and target[j] < 0:
            assert sums[j] < 0.0
        elif hit.value > 0.5:
            assert sums[j] >= -1e-5 * layer_units(network.hidden[0])[j]


@settings(max_examples=60)
@given(network=networks, seed=seeds, domain=domains)
def test_the_slack_of_a_pattern_is_in_levels_and_its_multipliers_are_those_of_whole_rows(
    network: BinarizedNetwork, seed: int, domain: Any
) -> None:
    instance = instance_of(network, seed, domain=domain)
    layer, (low, high) = network.hidden[0], instance.point_box
    neurons, unit = np.arange(len(layer.threshold)), layer_units(layer)
    signs = np.random.default_rng(seed).choice([-1, 1], len(neurons)).astype(np.int8)
    step = 1.0 if domain == "pixels" else 0.0
    rows = signs[:, None] * whole_rows(layer)
    needed = np.where(signs > 0, 0.0, step) + signs * layer.threshold
    solved = linprog(
        np.r_[np.zeros(len(low)), -1.0],
        A_ub=np.hstack([-rows / unit[:, None], np.ones((len(rows), 1))]),
        b_ub=-needed / unit,
        bounds=[*zip(low, high, strict=True), (None, SLACK * (len(neurons) if step else 1.0))],
    )
    with Reachability(instance, neurons) as reachability:
        found = reachability.test(signs)
    assert found.slack == pytest.approx(-solved.fun, abs=1e-6)
    assert found.point is not None
    assert ((rows @ found.point - needed) / unit).min() >= found.slack - 1e-6
    if found.slack < -1e-3:
        centre, radius = (low + high) / 2, (high - low) / 2
        pull = found.multipliers @ rows
        assert pull @ centre + np.abs(pull) @ radius < found.multipliers @ needed


def test_rows_have_units_of_about_their_weights_that_are_powers_of_two() -> None:
    rows = csr_array([[1, -1, 0], [0, 0, 0], [3, 0, 0], [300, -200, 100], [2, 2, 2], [-4, 1, 1]])
    rows.eliminate_zeros()
    assert row_units(rows).tolist() == [1, 1, 2, 128, 2, 2]
    assert row_units(csr_array((0, 3))).tolist() == []


def test_whole_rows_are_divided_by_what_their_weights_have_in_common() -> None:
    rows = csr_array([[6.0, -9.0, 0], [0, 0, 0], [1, -1, 1], [0, 0, -4], [0, 0, 0]])
    rows.eliminate_zeros()
    factors = row_factors(rows, is_whole=True)
    assert factors.tolist() == [3, 1, 1, 4, 1]
    assert divided(rows, factors).toarray().tolist() == [
        [2, -3, 0],
        [0, 0, 0],
        [1, -1, 1],
        [0, 0, -1],
        [0, 0, 0],
    ]
    assert row_factors(rows, is_whole=False).tolist() == [4, 1, 1, 4, 1]
    assert [side.tolist() for side in reach(rows)] == [[-9, 0, -1, -4, 0], [6, 0, 2, 0, 0]]


def test_sums_have_no_terms_that_count_nothing() -> None:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(3), initialize={0: 1.0, 1: 10.0, 2: 100.0})
    rows = csr_array([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    rows.eliminate_zeros()
    variables = vector(model.x.values())
    first = weighted_sum(rows, 0, variables, [(model.x[1], 0.0), (model.x[1], 3.0)], 0.5)
    assert [v.name for v in first.linear_vars] == ["x[0]", "x[2]", "x[1]"]
    assert pyo.value(first) == 0.5 + 2.0 - 100.0 + 30.0
    assert not weighted_sum(rows, 1, variables, [(model.x[0], 0.0)]).linear_vars

"""A network in a model of one's own: its logits are those of the network, at every point."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import solvers
from bnnopt.errors import InputError
from bnnopt.formulations import embed
from bnnopt.network import BinarizedNetwork
from tests.helpers import random_network


def solved(model: Any) -> Any:
    assert solvers.solve(model).termination is solvers.Termination.OPTIMAL
    return model


def grid_model(network: BinarizedNetwork, steps: int) -> Any:
    """Pixels on a grid, each k/steps, away from the network's thresholds in most networks."""
    model = pyo.ConcreteModel()
    model.k = pyo.Var(range(network.num_inputs), domain=pyo.Integers, bounds=(0, steps))
    model.logit = pyo.Var(range(network.num_classes))
    logits = embed(model, network, [model.k[i] / steps for i in model.k])
    model.same = pyo.Constraint(
        range(network.num_classes), rule=lambda m, c: m.logit[c] == logits[c]
    )
    return model


@settings(max_examples=12)
@given(seed=st.integers(0, 10**6), depth=st.integers(1, 3))
def test_the_largest_weighted_logit_is_that_of_enumeration(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, 3, (4,) * depth, 2)
    steps = 4
    points = np.array(list(product(range(steps + 1), repeat=3))) / steps
    sums = network.hidden[0].pre_activation(network.levels_of(points))
    if (sums == network.hidden[0].threshold).any():
        return  # a model allows both signs there
    prices = rng.normal(size=2)
    model = grid_model(network, steps)
    model.objective = pyo.Objective(
        expr=sum(float(p) * model.logit[c] for c, p in enumerate(prices)), sense=pyo.maximize
    )
    found = pyo.value(solved(model).objective)
    assert found == pytest.approx((network.logits(points) @ prices).max(), abs=1e-6)


def test_a_model_that_is_no_attack() -> None:
    """The darkest image of a class: a sum over pixels, with a network among its constraints."""
    network = random_network(np.random.default_rng(5), 6, (5,), 2)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(6), bounds=(0, 1))
    logits = embed(model, network, model.x.values())
    model.wins = pyo.Constraint(expr=logits[1] >= logits[0] + 1)
    model.darkest = pyo.Objective(expr=sum(model.x.values()))
    points = np.random.default_rng(0).random((20000, 6))
    margins = network.margin(points, 1, 0)
    if margins.max() < 1:
        pytest.fail("no image of class 1 here: take another seed")
    solved(model)
    assert pyo.value(model.darkest) <= points[margins >= 1].sum(axis=1).min() + 1e-6


def test_two_networks_share_the_inputs_of_one_model() -> None:
    networks = [random_network(np.random.default_rng(seed), 4, (4,), 2) for seed in (1, 2)]
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(4), bounds=(0, 1))
    first, second = (embed(model, network, model.x.values()) for network in networks)
    model.apart = pyo.Objective(expr=first[0] - second[0], sense=pyo.maximize)
    points = np.random.default_rng(0).random((5000, 4))
    sampled = (networks[0].logits(points)[:, 0] - networks[1].logits(points)[:, 0]).max()
    assert pyo.value(solved(model).apart) >= sampled - 1e-6


def test_wrong_inputs_are_named() -> None:
    network = random_network(np.random.default_rng(0), 3, (2,), 2)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(3))
    with pytest.raises(InputError, match="2 inputs for a network of 3"):
        embed(model, network, [0.5, 0.5])
    with pytest.raises(InputError, match="input 0 is within"):
        embed(model, network, model.x.values())

"""Budgets, flips and stages in a model, at points of which all distances are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance
from bnnopt.formulations.goals import add_budgets, demand_flip, hold_stage, set_stage
from bnnopt.goal import Stage
from tests.formulations.points import violated
from tests.helpers import random_image, random_network

seeds = st.integers(0, 10**6)
stages = st.sampled_from(
    [
        Stage(1.0, {}),
        Stage(2.0, {}),
        Stage(1.0, {"l1": 0.5}),
        Stage(0.0, {"linf": 1.0}),
        Stage(0.0, {"l1": 1.0}),
        Stage(0.0, {"l0": 1.0, "l1": 3.0}),
        Stage(0.5, {"l0": 0.25, "linf": 2.0}),
    ]
)


def setting(seed: int, **options: Any) -> tuple[AttackInstance, Any, np.ndarray]:
    """A model of pixels and a margin that is free, and a change of whole levels."""
    rng = np.random.default_rng(seed)
    network = random_network(seed, inputs=4, widths=(3,), levels=7)
    image = np.full(4, 3.0 / 7.0)
    instance = AttackInstance(network, image, 3 / 7, domain="pixels", **options)
    model = pyo.ConcreteModel()
    one_sided = seed % 3 == 0  # as where pixels may only rise
    ends = [(0 if one_sided else -3, 3 if i else 1) for i in range(4)]
    model.p = pyo.Var(range(4), domain=pyo.Integers, bounds=lambda _, i: ends[i])
    model.margin = pyo.Var(bounds=(-20, 20))
    change = np.clip(rng.integers(-3, 4, 4) * (rng.random(4) < 0.6), *np.transpose(ends))
    return instance, model, change.astype(float)


def put(model: Any, change: np.ndarray, margin: float) -> None:
    """The change, and the least that the sizes of it can be."""
    moved = np.abs(change)
    model.margin.set_value(margin)
    values: dict[str, Any] = {"p": change, "moved": moved, "changed": moved > 0}
    for name, row in values.items():
        if model.component(name) is not None:
            for i, value in enumerate(row):
                model.component(name)[i].set_value(float(value))
    if model.component("largest") is not None:
        model.largest.set_value(moved.max())


@settings(max_examples=40)
@given(seed=seeds, stage=stages, margin=st.floats(-9.0, 9.0))
def test_a_stage_is_worth_at_each_point_what_its_distances_say(
    seed: int, stage: Stage, margin: float
) -> None:
    instance, model, change = setting(seed)
    model.objective = pyo.Objective(expr=0.0)
    set_stage(model, instance, stage)
    put(model, change, margin)
    expected = stage.value(margin, instance.distances(instance.levels + change))
    assert violated(model) == []
    assert pyo.value(model.objective) == pytest.approx(expected)
    assert model.objective.sense == (pyo.maximize if stage.is_maximised else pyo.minimize)
    # The sizes of a change can be no less.
    for name, least in (("largest", np.abs(change).max()), ("moved", None), ("changed", None)):
        component = model.component(name)
        for i, variable in component.items() if component is not None else ():
            size = least if least is not None else abs(change[i])
            if size > 0:
                before = variable.value
                step = 1.0 if name == "changed" else 0.1
                variable.set_value(before - step, skip_validation=True)
                assert violated(model) != []
                variable.set_value(before)
    assert violated(model) == []


@settings(max_examples=40)
@given(seed=seeds, pixels=st.integers(0, 4), levels=st.integers(0, 9))
def test_budgets_hold_exactly_within_their_limits(seed: int, pixels: int, levels: int) -> None:
    for options in ({"max_pixels": pixels}, {"max_l1": levels / 7}):
        instance, model, change = setting(seed, **options)
        add_budgets(model, instance)
        put(model, change, 0.0)
        moved = np.abs(change)
        fits = (moved > 0).sum() <= pixels if "max_pixels" in options else moved.sum() <= levels
        assert (violated(model) == []) == fits


@settings(max_examples=40)
@given(seed=seeds, stage=stages, value=st.floats(-50.0, 50.0))
def test_a_stage_is_held_up_to_rounding(seed: int, stage: Stage, value: float) -> None:
    instance, model, change = setting(seed)
    set_stage(model, instance, stage)
    put(model, change, 1.0)
    now = float(pyo.value(model.objective))
    slack = 1e-6 * max(1.0, abs(value))
    hold_stage(model, stage, value)
    sense = 1.0 if stage.is_maximised else -1.0
    assert (violated(model, 0.0) == []) == (sense * now >= sense * value - slack)
    for off, expected in ((0.0, True), (0.5e-6, True), (-5e-6, False)):
        model.del_component("held")
        worse = now - sense * off * max(1.0, abs(now))
        hold_stage(model, stage, worse if off >= 0 else now + sense * 5e-6 * max(1.0, abs(now)))
        assert (violated(model, 0.0) == []) == expected


def test_a_flip_is_a_margin_of_the_least_positive_value() -> None:
    for seed in range(20):
        instance, model, change = setting(seed)
        (target,) = model.reaching_targets = list(instance.targets)
        demand_flip(model, instance)
        least = instance.of_margins.least_flip(target) / instance.of_margins.unit
        for margin, expected in ((least, True), (least + 3.0, True), (least - 0.1, False)):
            put(model, change, margin)
            assert (violated(model) == []) == expected


def test_without_a_stage_all_points_are_worth_the_same() -> None:
    instance, model, change = setting(1)
    set_stage(model, instance, None)
    put(model, change, 3.0)
    assert pyo.value(model.objective) == 0.0
    assert random_image(instance.network, 0).shape == (4,)

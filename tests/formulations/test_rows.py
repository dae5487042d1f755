"""Every point of the box is a point of each model, with its margin; and nothing else is."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance
from bnnopt.flips import first_layer_flips
from bnnopt.formulations.names import STRENGTHENINGS
from bnnopt.formulations.paper import paper_model
from bnnopt.formulations.tight import (
    forbid_pattern,
    limit_flips,
    minimise_demand,
    tight_model,
)
from tests.formulations.points import checker, choose_target, place
from tests.helpers import random_image, random_network

seeds = st.integers(0, 10**6)
domains = st.sampled_from(["continuous", "pixels"])
targets = st.sampled_from(["runner-up", "untargeted"])
shapes = st.sampled_from([(4,), (4, 3), (4, 3, 3)])
some_strengthenings = st.sampled_from([(), *((name,) for name in STRENGTHENINGS), STRENGTHENINGS])


def instance_of(
    seed: int, widths: tuple[int, ...], domain: Any, target: str = "runner-up"
) -> AttackInstance:
    head = "batchnorm" if seed % 3 == 0 else "integer"
    levels = [3, 5, 255][seed % 4 % 3]
    network = random_network(seed, inputs=3, widths=widths, levels=levels, head=head)
    return AttackInstance(network, random_image(network, seed), 0.4, target, domain)


def points(instance: AttackInstance) -> np.ndarray:
    """Vertices, others, and points that are right on thresholds."""
    rng = np.random.default_rng(0)
    low, high = instance.point_box
    corners = np.array(list(product(*zip(low, high, strict=True))))
    inner = np.floor(rng.uniform(low, high + 1.0, (6, len(low))))
    inner = np.clip(inner, np.ceil(low), np.floor(high))
    layer, on_threshold = instance.network.hidden[0], []
    for j in range(len(layer.threshold)):
        z = inner[j % len(inner)].copy()
        z[0] += layer.weight[j, 0] * (layer.threshold[j] - layer.weight[j] @ z)
        if low[0] <= z[0] <= high[0]:
            on_threshold.append(z)
    found = np.vstack([instance.levels[None], corners, inner, *(z[None] for z in on_threshold)])
    return np.unique(found, axis=0)


def margin_at(instance: AttackInstance, z: np.ndarray) -> float:
    """In units."""
    return float(instance.margins(z[None])[0]) / instance.of_margins.unit


def put_sums(model: Any, instance: AttackInstance, z: np.ndarray) -> None:
    """The paper's pre-activations, by the distances that its model states."""
    values = z[None]
    for l, layer in enumerate(instance.network.hidden, 1):
        shift = 1.0 if l > 1 else 0.5 if instance.domain == "pixels" else 0.0
        for j, a in enumerate((layer.pre_activation(values) - layer.threshold)[0]):
            model.a[l, j].set_value(float(a) + shift, skip_validation=True)
        values = layer(values)
    logits = instance.network.output(values)[0]
    for c in (instance.source, *instance.targets):
        logit = float(logits[c]) / instance.of_margins.unit
        model.a[instance.network.depth + 1, c].set_value(logit, skip_validation=True)


@settings(max_examples=20)
@given(seed=seeds, widths=shapes, domain=domains, target=targets)
def test_the_papers_model_has_each_point_with_its_signs_and_no_others(
    seed: int, widths: tuple[int, ...], domain: Any, target: str
) -> None:
    instance = instance_of(seed, widths, domain, target)
    model = paper_model(instance)
    violated = checker(model)
    for z in points(instance):
        on = place(model, instance, z)
        put_sums(model, instance, z)
        choose_target(model, instance, z)
        assert violated() == []
        assert pyo.value(model.margin) == pytest.approx(margin_at(instance, z))
        assert model.largest_margin >= pyo.value(model.margin) - 1e-9
        for (l, j), h in model.h.items():
            h.set_value(1 - on[l, j])
            # Only on a threshold, in the continuous domain, may a neuron be off too.
            tied = l == 1 and domain == "continuous" and model.a[l, j].value == 0.0
            own = {model.on[l, j].name, model.off[l, j].name}
            assert own.isdisjoint(violated()) == (tied and on[l, j] == 1)
            h.set_value(on[l, j])
        if model.component("t") is not None:
            choose_target(model, instance, z, above=0.1)
            assert violated() != []
        model.a[1, 0].set_value(model.a[1, 0].value + 0.5, skip_validation=True)
        assert violated() != []


def test_the_papers_bounds_are_those_of_intervals_and_of_the_weights() -> None:
    instance = instance_of(5, (4, 3), "pixels", "untargeted")
    model, output, unit = paper_model(instance), instance.network.output, instance.of_margins.unit
    for c in (instance.source, *instance.targets):
        reach = abs(float(output.scale[c])) * output.weight.shape[1]
        assert model.a[3, c].lb * unit == pytest.approx(output.bias[c] - reach)
        assert model.a[3, c].ub * unit == pytest.approx(output.bias[c] + reach)
    tops = [model.a[3, c].ub - model.a[3, instance.source].lb for c in instance.targets]
    assert model.largest_margin == pytest.approx(max(tops))
    assert model.m.ub == pytest.approx(max(tops))
    for p, low, high in zip(model.p.values(), *instance.box, strict=True):
        assert p.is_integer()
        assert (p.lb, p.ub) == (low - instance.levels[p.index()], high - instance.levels[p.index()])


@settings(max_examples=24)
@given(seed=seeds, widths=shapes, domain=domains, target=targets, strengthen=some_strengthenings)
def test_the_tight_model_has_each_point_and_no_more_than_its_margin(
    seed: int, widths: tuple[int, ...], domain: Any, target: str, strengthen: tuple[str, ...]
) -> None:
    instance = instance_of(seed, widths, domain, target)
    model = tight_model(instance, strengthen)
    (low, high), image = instance.box, instance.levels
    for i, p in model.p.items():
        assert (p.lb, p.ub) == (low[i] - image[i], high[i] - image[i])
        assert p.is_integer() == (domain == "pixels")
    assert list(model.p) == np.flatnonzero(high > low).tolist()
    closed = tight_model(instance, strengthen, with_pixels=False)
    violated, violated_without = checker(model), checker(closed)
    for z in points(instance):
        on = place(model, instance, z)
        choose_target(model, instance, z)
        margin = margin_at(instance, z)
        assert violated() == []
        assert pyo.value(model.margin) == pytest.approx(margin)
        assert model.largest_margin >= margin - 1e-9
        place(closed, instance, z)
        choose_target(closed, instance, z)
        assert violated_without() == []
        assert pyo.value(closed.margin) == pytest.approx(margin)
        if target == "runner-up" and domain == "pixels":
            assert best_of_others(model, violated) <= margin + 1e-6
        for (l, j), h in model.h.items():
            h.set_value(1 - on[l, j])
            layer = instance.network.hidden[0]
            tied = l == 1 and layer.weight[j] @ z == layer.threshold[j]
            if l == 1 and strengthen == ():
                assert (violated() == []) <= (tied and domain == "continuous")
            h.set_value(on[l, j])
        for layer, bounds in zip(range(1, len(widths) + 1), model.layers, strict=True):
            stable = np.flatnonzero(bounds.sign)
            assert all((bounds.sign[j] > 0) == on[layer, int(j)] for j in stable)


def best_of_others(model: Any, violated: Any) -> float:
    """The largest margin of any activations that the model allows with its levels as they are."""
    keys, best = list(model.h), -np.inf
    before = [h.value for h in model.h.values()]
    for values in product((0, 1), repeat=len(keys)):
        for key, value in zip(keys, values, strict=True):
            model.h[key].set_value(value)
        if pyo.value(model.margin) > best and not violated():
            best = float(pyo.value(model.margin))
    for key, value in zip(keys, before, strict=True):
        model.h[key].set_value(value)
    return best


@settings(max_examples=24)
@given(seed=seeds, widths=shapes, target=targets)
def test_without_strengthenings_each_activation_of_a_point_is_the_only_one(
    seed: int, widths: tuple[int, ...], target: str
) -> None:
    instance = instance_of(seed, widths, "pixels", target)
    model = tight_model(instance, ())
    violated = checker(model)
    for z in points(instance):
        on = place(model, instance, z)
        choose_target(model, instance, z)
        assert violated() == []
        for key, h in model.h.items():
            h.set_value(1 - on[key])
            last = key[0] == len(widths)
            assert violated() != [] or last  # a neuron that nothing rewards has no rows
            h.set_value(on[key])


@settings(max_examples=24)
@given(seed=seeds, domain=domains)
def test_rows_over_flips_hold_for_the_patterns_that_they_speak_of(seed: int, domain: Any) -> None:
    instance = instance_of(seed, (5, 3), domain)
    flips, rng = first_layer_flips(instance), np.random.default_rng(seed)
    k = len(flips.neurons)
    if k < 2:
        return
    members = sorted(rng.permutation(k)[: rng.integers(1, k + 1)].tolist())
    most, wanted = int(rng.integers(0, len(members) + 1)), rng.random(k) < 0.5
    model = tight_model(instance, (), with_pixels=False)
    model.on.deactivate()
    model.off.deactivate()
    limit_flips(model, flips, members, most)
    limited = len(model.conflicts)
    forbid_pattern(model, flips, members, wanted)
    minimise_demand(model, instance, flips)
    for h in model.h.values():
        h.set_value(0)
    for flipped in map(np.array, product((False, True), repeat=k)):
        for at, j in enumerate(flips.neurons.tolist()):
            model.h[1, j].set_value(int((flips.signs[at] > 0) != flipped[at]))
        first, second = (model.conflicts[row] for row in (limited, limited + 1))
        assert first.slack() >= -1e-9 or flipped[members].sum() > most
        assert first.slack() < -1e-9 or flipped[members].sum() <= most
        is_that = bool((flipped[members] == wanted[members]).all())
        assert (second.slack() < -1e-9) == is_that
        expected = flips.demand[flipped].sum() / flips.radius.sum()
        assert pyo.value(model.objective) == pytest.approx(expected)
    assert model.objective.sense == pyo.minimize


def test_the_largest_margin_is_that_of_free_activations() -> None:
    for seed in range(12):
        instance = instance_of(seed, (4, 3), "pixels")
        model = tight_model(instance, ())
        last = [h for (l, _), h in model.h.items() if l == 2]
        assert model.reaching_targets == list(instance.targets)
        values = []
        for on in product((0, 1), repeat=len(last)):
            for h, value in zip(last, on, strict=True):
                h.set_value(value)
            values.append(pyo.value(model.margin))
        assert model.largest_margin == pytest.approx(max(values))

"""From a flip to the nearest one of its pattern."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import solvers
from bnnopt import AttackInstance
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips.nearest import nearest_of_pattern
from bnnopt.formulations.nearest import DEPTH, nearest_model, nearest_point
from tests.helpers import random_image, random_network

seeds = st.integers(0, 10**6)
distances = st.sampled_from(["linf", "l1"])
directions = st.sampled_from(["both", "lighten", "darken"])


def instance_of(seed: int, name: str, **options: Any) -> AttackInstance:
    network = random_network(seed, inputs=4, widths=(5, 3), levels=7)
    return AttackInstance(network, random_image(network, seed), 0.7, goal=name, **options)


def least_distance(instance: AttackInstance, name: str, neurons: Any, signs: Any) -> float:
    """By the program in levels and sizes of changes: infinite where no point is deep enough."""
    layer, (low, high), x = instance.network.hidden[0], instance.point_box, instance.levels
    n = len(x)
    weight = signs[:, None] * layer.weight[neurons]
    needs = signs * layer.threshold[neurons] + DEPTH
    size = np.ones((n, 1)) if name == "linf" else np.eye(n)
    columns = size.shape[1]
    rows = np.vstack(
        [
            np.hstack([-weight, np.zeros((len(weight), columns))]),
            np.hstack([np.eye(n), -size]),
            np.hstack([-np.eye(n), -size]),
        ]
    )
    solved = linprog(
        np.r_[np.zeros(n), np.ones(columns)],
        A_ub=rows,
        b_ub=np.r_[-needs, x, -x],
        bounds=[*zip(low, high, strict=True), *[(0, None)] * columns],
    )
    return float(solved.fun) / 7.0 if solved.status == 0 else np.inf


@settings(max_examples=80)
@given(seed=seeds, name=distances, direction=directions)
def test_the_program_has_the_least_distance_of_a_pattern(
    seed: int, name: str, direction: Any
) -> None:
    instance = instance_of(seed, name, direction=direction)
    rng = np.random.default_rng(seed)
    low, high = instance.point_box
    z = rng.uniform(low, high)
    signs = instance.network.hidden[0](z[None])[0]
    at_image = instance.network.hidden[0](instance.levels[None])[0]
    neurons = np.flatnonzero(signs != at_image)
    if not len(neurons):
        return
    least = least_distance(instance, name, neurons, signs[neurons])
    model = nearest_model(instance, name, neurons, signs[neurons])
    with solvers.get("highs").session(model) as session:
        solved = session.solve(solvers.SolveOptions())
    if least == np.inf:
        assert solved.values is None
        return
    assert solved.values is not None
    point = nearest_point(instance, name, solved.values.array)
    assert instance.distances(point)[name] == pytest.approx(least, abs=1e-6)
    assert np.all((low - 1e-5 <= point) & (point <= high + 1e-5))
    reached = instance.network.hidden[0](point[None])[0]
    assert np.array_equal(reached[neurons], signs[neurons])


@settings(max_examples=80)
@given(
    seed=seeds,
    name=distances,
    direction=directions,
    domain=st.sampled_from(["continuous", "pixels"]),
    max_l1=st.sampled_from([None, 1.1]),
)
def test_what_is_nearest_is_an_admissible_flip_and_no_farther(
    seed: int, name: str, direction: Any, domain: Any, max_l1: float | None
) -> None:
    instance = instance_of(seed, name, direction=direction, domain=domain, max_l1=max_l1)
    low, high = instance.point_box
    steps = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    points = np.array([z for z in product(*steps) if instance.admits(np.array(z) / 7.0)], float)
    flips = points[instance.are_flips(points)]
    for z in flips[:: max(len(flips) // 4, 1)]:
        nearest = nearest_of_pattern(instance, name, z, Limits())
        assert instance.are_flips(nearest[None])[0]
        assert instance.admits(nearest / 7.0)
        distance = instance.distances(nearest)[name]
        assert distance <= instance.distances(z)[name]
        if domain == "pixels" or (name == "linf" and max_l1 is not None):
            continue
        signs = instance.network.hidden[0](z[None])[0]
        least = least_distance(instance, name, np.arange(5), signs)
        assert distance <= max(least, 0.0) + 1e-5

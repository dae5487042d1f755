from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import solvers
from bnnopt.formulations.target import target_model
from tests.helpers import random_network


@given(seed=st.integers(0, 10**6), width=st.integers(1, 6))
def test_the_optimum_meets_the_most_targets_at_the_least_distance(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    layer = random_network(seed, inputs=3, widths=(width, 5)).hidden[1]
    target = rng.integers(-1, 2, 5).astype(np.int8)
    incumbent = rng.choice([-1, 1], width).astype(np.int8)
    points = np.array(list(product((-1, 1), repeat=width)))
    signs = np.where(points @ layer.weight.T >= layer.threshold, 1, -1)
    met = ((signs == target) & (target != 0)).sum(axis=1)
    distance = (points != incumbent).sum(axis=1)
    best = max(zip(met.tolist(), (-distance).tolist(), strict=True))

    model = target_model(layer, target, incumbent)
    result = solvers.solve(model, "highs")
    assert result.objective == pytest.approx((width + 1) * best[0] + best[1])
    h = np.array([2 * round(model.h[1, i].value) - 1 for i in range(width)])
    found = np.where(layer.weight @ h >= layer.threshold, 1, -1)
    assert int(((found == target) & (target != 0)).sum()) == best[0]
    assert int((h != incumbent).sum()) == -best[1]

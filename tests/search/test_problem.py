"""What the kernel's arrays have in common: roundings, multipliers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt.search.problem import (
    BINARY,
    LARGE,
    TERNARY,
    budget_multiplier,
    certain_by,
    layer_weight,
)
from tests.search.cases import layers_of, one_region, random_terms


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_each_layer_has_its_matrix(seed: int) -> None:
    terms = random_terms(np.random.default_rng(seed), 5, 4, 3)
    for layer, (weight, _) in enumerate(layers_of(terms), 1):
        assert layer_weight(terms, layer).tolist() == weight.tolist()


def test_a_sum_must_fail_by_what_its_rows_can_be_off() -> None:
    region = one_region()
    assert certain_by(region, 1e6) == 1e-6
    assert certain_by(region._replace(rounding=1e-6), 0.5) == 1e-6
    assert certain_by(region._replace(rounding=1e-6), 3.0) == 3.0 * 1e-6


@pytest.mark.parametrize("size", [0, 1, 2, 4, 9, 10])
def test_the_multiplier_of_a_budget_is_the_next_whole_number(size: int) -> None:
    for rate in (0.0, 0.3, 1.0, 1.5):
        region = one_region(always=1, rate=rate)
        exact = rate * np.sqrt(size)
        assert exact <= budget_multiplier(region, size) < exact + 1.0
        assert budget_multiplier(region, size) % 1.0 == 0.0


def test_kinds_of_weights_are_told_apart() -> None:
    assert len({BINARY, TERNARY, LARGE}) == 3

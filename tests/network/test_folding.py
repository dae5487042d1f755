from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt.errors import NetworkFormatError

pytest.importorskip("torch")

from bnnopt.network.folding import fold

finite = st.floats(-1e3, 1e3, allow_nan=False, width=32)
scales = st.one_of(finite, st.just(0.0), st.sampled_from([-1.0, 1.0, 0.5, -0.25]))
sigmas = st.floats(2.0**-10, 1e3, width=32)


def rule(gamma: float, beta: float, mu: float, sigma: float, a: Fraction) -> int:
    """The float rule gamma * (a - mu) / sigma + beta >= 0, in exact arithmetic."""
    g, b, m, s = (Fraction(value) for value in (gamma, beta, mu, sigma))
    return 1 if g * (a - m) / s + b >= 0 else -1


@given(gamma=scales, beta=finite, mu=finite, sigma=sigmas, fan_in=st.integers(1, 6))
def test_a_deeper_neuron_decides_every_sum_as_the_float_rule_does(
    gamma: float, beta: float, mu: float, sigma: float, fan_in: int
) -> None:
    layer = fold(np.ones((1, fan_in)), [gamma], [beta], [mu], [sigma])
    flip = int(layer.weight[0, 0])
    for a in range(-fan_in, fan_in + 1, 2):
        folded = 1 if flip * a >= layer.threshold[0] else -1
        assert folded == rule(gamma, beta, mu, sigma, Fraction(a))


@given(
    gamma=scales,
    beta=finite,
    mu=st.floats(-8, 8, width=32),
    sigma=sigmas,
    levels=st.sampled_from([1, 7, 255]),
    data=st.data(),
)
def test_a_first_layer_neuron_decides_every_image_of_whole_levels_as_the_float_rule_does(
    gamma: float, beta: float, mu: float, sigma: float, levels: int, data: st.DataObject
) -> None:
    fan_in = 5
    layer = fold(np.ones((1, fan_in)), [gamma], [beta], [mu], [sigma], levels=levels)
    flip, threshold = int(layer.weight[0, 0]), int(layer.threshold[0])
    near = [abs(threshold) + step for step in (-1, 0, 1)]
    total = data.draw(st.one_of(st.integers(0, fan_in * levels), st.sampled_from(near)))
    if 0 <= total <= fan_in * levels:
        folded = 1 if flip * total >= threshold else -1
        assert folded == rule(gamma, beta, mu, sigma, Fraction(total, levels))


@pytest.mark.parametrize(("gamma", "expected"), [(1.0, 1), (-1.0, 1), (0.0, 1)])
def test_an_exact_tie_is_plus_one(gamma: float, expected: int) -> None:
    layer = fold(np.ones((1, 4)), [gamma], [0.0], [2.0], [1.0])
    sums = layer.weight.astype(float) @ np.array([1.0, 1.0, 1.0, -1.0])
    assert (1 if sums[0] >= layer.threshold[0] else -1) == expected


@pytest.mark.parametrize(("beta", "sign"), [(0.0, 1), (1e-30, 1), (-1e-30, -1)])
def test_a_zero_scale_makes_a_constant_neuron(beta: float, sign: int) -> None:
    for levels, sums in ((None, (-4, 4)), (255, (0, 4 * 255))):
        layer = fold(np.ones((1, 4)), [0.0], [beta], [3.0], [2.0], levels=levels)
        for total in sums:
            assert (1 if total >= layer.threshold[0] else -1) == sign


@pytest.mark.parametrize(
    "parameters",
    [
        ([np.nan], [0.0], [0.0], [1.0]),
        ([1.0], [np.inf], [0.0], [1.0]),
        ([1.0], [0.0], [0.0], [0.0]),
        ([1.0], [0.0], [0.0], [-1.0]),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters: tuple[list[float], ...]) -> None:
    with pytest.raises(NetworkFormatError):
        fold(np.ones((1, 4)), *parameters)

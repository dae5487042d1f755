from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from bnnopt import HiddenLayer, OutputLayer
from bnnopt.errors import NetworkFormatError
from bnnopt.network import Convolution
from bnnopt.network.folding import fold, whole_factors
from tests.network.cases import dense, random_convolution, seeds, signs

torch = pytest.importorskip("torch")

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


def normed(layer: HiddenLayer, norms: list[np.ndarray], sums: np.ndarray) -> np.ndarray:
    """Signs of torch's own batch norm of the sums, (batch, out), one norm a channel."""
    gamma, beta, mu, sigma = (torch.tensor(part) for part in norms)
    shaped = torch.tensor(sums).reshape(len(sums), len(gamma), -1)
    variance = sigma * sigma
    found = torch.nn.functional.batch_norm(shaped, mu, variance, gamma, beta, eps=0.0)
    assert found.abs().min() > 1e-9  # nowhere so near 0 that rounding decides
    return np.where(found.numpy() >= 0, 1, -1).reshape(len(sums), -1)


def norms_of(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    gamma = rng.normal(size=count) * rng.choice([1, 1, 1, 0], count)
    return [gamma, rng.normal(size=count), rng.normal(size=count), rng.random(count) + 0.1]


@given(seed=seeds, kind=st.sampled_from(["ternary", "whole", "csr", "convolution"]))
def test_every_kind_of_deeper_layer_is_torch_s_batch_norm(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    weight: np.ndarray | csr_array | Convolution = rng.integers(-1, 2, (5, 7))
    if kind == "whole":
        weight = rng.integers(-300, 301, (5, 7))
    if kind == "csr":
        weight = csr_array(weight)
    if kind == "convolution":
        weight = random_convolution(rng, 2)
    plain = HiddenLayer(weight, np.zeros(weight.shape[0]))
    norms = norms_of(rng, len(weight.kernel) if isinstance(weight, Convolution) else 5)
    x = signs(rng, 20, plain.shape[1])
    folded = fold(weight, *norms)
    assert np.array_equal(folded(x), normed(plain, norms, plain.pre_activation(x)))
    assert (folded.convolution is None) == (kind != "convolution")
    assert np.array_equal(folded.threshold, folded.canonical().threshold)


@given(seed=seeds, several=st.booleans())
def test_a_normalized_image_is_folded_and_borders_get_their_share(seed: int, several: bool) -> None:
    rng = np.random.default_rng(seed)
    convolution = random_convolution(rng)
    channels = convolution.input_shape[0]
    mean = rng.random(channels)
    std = rng.choice([0.25, 0.5, 0.125], channels) if several else np.array(0.3)
    norms = norms_of(rng, len(convolution.kernel))
    levels = rng.integers(0, 256, (20, *convolution.input_shape))
    by_channel = (-1, 1, 1)
    normal = (levels / 255 - mean.reshape(by_channel)) / std.reshape((-1, 1, 1) if several else ())
    plain = HiddenLayer(convolution, np.zeros(convolution.shape[0]))
    expected = normed(plain, norms, plain.pre_activation(normal.reshape(20, -1)))
    folded = fold(convolution, *norms, levels=255, mean=mean, std=std)
    assert np.array_equal(folded(levels.reshape(20, -1).astype(float)), expected)
    # Rows of the same convolution, each input with its own mean and deviation.
    each = np.repeat(mean, plain.shape[1] // channels)
    stds = np.repeat(np.broadcast_to(std, channels), plain.shape[1] // channels)
    repeated = [np.repeat(part, plain.shape[0] // len(norms[0])) for part in norms]
    rows = fold(plain.weight, *repeated, levels=255, mean=each, std=stds)
    assert np.array_equal(rows.threshold, folded.threshold)
    assert np.array_equal(dense(rows), dense(folded))


@given(seed=seeds)
def test_activations_of_0_and_1_are_signs_of_mean_minus_1_and_deviation_2(seed: int) -> None:
    rng = np.random.default_rng(seed)
    convolution = random_convolution(rng)
    plain = HiddenLayer(convolution, np.zeros(convolution.shape[0]))
    norms = norms_of(rng, len(convolution.kernel))
    s = signs(rng, 20, plain.shape[1])
    folded = fold(convolution, *norms, mean=-1, std=2)
    assert np.array_equal(folded(s), normed(plain, norms, plain.pre_activation((s + 1) / 2)))


def test_a_head_of_0_and_1_has_half_the_scale() -> None:
    rng = np.random.default_rng(0)
    weight, scale, bias = signs(rng, 3, 6), rng.random(3), rng.random(3)
    s = signs(rng, 5, 6)
    head = OutputLayer(weight, scale / 2, bias + scale * weight.sum(axis=1) / 2)
    assert head(s) == pytest.approx(scale * ((s + 1) / 2 @ weight.T) + bias)


@given(
    ratios=st.lists(st.integers(1, 50), min_size=1, max_size=4),
    scale=st.floats(0.01, 10),
)
def test_deviations_in_a_whole_ratio_have_exact_factors(ratios: list[int], scale: float) -> None:
    factors, unit, error = whole_factors([scale / ratio for ratio in ratios], 32767)
    assert error < 1e-14
    inverse = np.array(ratios) / scale
    assert factors * float(unit) == pytest.approx(inverse, rel=1e-12)


@given(std=st.lists(st.floats(0.1, 1.0), min_size=2, max_size=4), largest=st.integers(10, 500))
def test_factors_are_as_large_as_allowed_and_as_near_as_said(
    std: list[float], largest: int
) -> None:
    factors, unit, error = whole_factors(std, largest)
    assert 1 <= factors.min() <= factors.max() <= largest
    assert np.abs(factors * float(unit) * np.array(std) - 1).max() == pytest.approx(
        error, abs=1e-12
    )
    coarser = whole_factors(std, max(largest // 2, 10))[2]
    assert error <= coarser


def test_deviations_of_photographs_have_nearly_exact_factors() -> None:
    std = np.array([0.229, 0.224, 0.225])
    factors, unit, error = whole_factors(std, 32767)
    assert factors.max() <= 32767
    assert np.abs(factors * float(unit) * std - 1).max() == pytest.approx(error, rel=1e-6)
    assert error < 1e-6
    coarse = whole_factors(std, 100)
    assert coarse[0].max() <= 100 and coarse[2] < 0.01


def test_factors_keep_sums_exact() -> None:
    weight = np.ones((1, 3072))
    std = np.repeat([0.247, 0.2435, 0.2616], 1024)
    layer = fold(weight, [1.0], [0.0], [0.0], [1.0], 255, mean=0.45, std=std)
    assert 2**32 < int(layer.magnitude[0]) * 255 < 2**33
    deeper = fold(weight, [1.0], [0.0], [0.0], [1.0], mean=0.45, std=std)
    assert 2**23 < int(deeper.magnitude[0]) < 2**24


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": [1.0, 2.0, 3.0]}, r"gamma has shape \(3,\); it must be \(2,\)"),
        ({"beta": "a"}, "beta"),
        ({"mu": [0.0, np.inf]}, "mu must hold finite"),
        ({"sigma": [1.0, 0.0]}, "sigma must be positive, not 0.0"),
        ({"std": -1}, "std must be positive"),
        ({"std": [1.0] * 5}, "std has shape"),
        ({"mean": [0.0] * 3}, "mean has shape"),
        ({"mean": np.nan}, "mean must hold finite"),
        ({"weight": [[0.5] * 4] * 2}, "whole numbers"),
    ],
)
def test_what_cannot_be_folded_is_refused(changes: dict[str, Any], message: str) -> None:
    parts: dict[str, Any] = {"weight": np.ones((2, 4)), "gamma": 1, "beta": 0, "mu": 0, "sigma": 1}
    fold(**parts)
    with pytest.raises(NetworkFormatError, match=message):
        fold(**(parts | changes))

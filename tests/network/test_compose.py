"""Layers made of others, beside torch's own forward pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt import HiddenLayer, OutputLayer
from bnnopt.errors import NetworkFormatError
from bnnopt.network.compose import after_sums, stack, zero_signs
from bnnopt.network.unroll import conv2d, sum_pool2d
from tests.network.cases import dense, seeds, signs

torch = pytest.importorskip("torch")


def following(kind: str, rng: np.random.Generator, width: int) -> HiddenLayer | OutputLayer:
    if kind == "hidden":
        return HiddenLayer(rng.integers(-2, 3, (4, width)), rng.integers(-3, 4, 4))
    weight = signs(rng, 4, width) if kind == "binary head" else rng.normal(size=(4, width))
    return OutputLayer(weight, rng.choice([0.5, 1.0, 3.0], 4), rng.integers(-3, 4, 4))


def applied(layer: HiddenLayer | OutputLayer, x: np.ndarray) -> np.ndarray:
    """Of inputs that need not be ±1."""
    sums = x @ (dense(layer) if isinstance(layer, HiddenLayer) else layer.weight).T
    if isinstance(layer, OutputLayer):
        return layer.scale * sums + layer.bias
    return np.where(sums >= layer.threshold, 1.0, -1.0)


kinds = st.sampled_from(["hidden", "binary head", "real head"])


@given(seed=seeds, kind=kinds, largest=st.integers(1, 3))
def test_deeper_signs_that_may_be_0_are_torch_s(seed: int, kind: str, largest: int) -> None:
    rng = np.random.default_rng(seed)
    layer = HiddenLayer(rng.integers(-largest, largest + 1, (5, 6)), rng.integers(-4, 5, 5))
    behind = following(kind, rng, 5)
    x = signs(rng, 20, 6)
    exact = torch.sign(torch.tensor(layer.pre_activation(x) - layer.threshold)).numpy()
    doubled, final = zero_signs(layer, behind)
    assert applied(final, doubled(x)) == pytest.approx(applied(behind, exact), abs=1e-12)
    can_be_zero = (layer.magnitude - layer.threshold) % 2 == 0
    can_be_zero &= np.abs(layer.threshold) <= layer.magnitude
    assert doubled.shape == (5 + can_be_zero.sum(), 6)
    assert np.array_equal(doubled(x)[:, :5], layer(x))
    if not can_be_zero.any():
        assert doubled is layer and final is behind
    if kind == "binary head" and can_be_zero.all():
        assert isinstance(final, OutputLayer) and final.is_binary


@given(seed=seeds, kind=kinds)
def test_a_threshold_that_was_rounded_up_is_no_zero(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-1, 2, (5, 6))
    real = rng.integers(-8, 9, 5) / 2
    layer = HiddenLayer(weight, np.ceil(real))
    behind = following(kind, rng, 5)
    x = signs(rng, 20, 6)
    zeros = np.sign(layer.pre_activation(x) - real)
    doubled, final = zero_signs(layer, behind, exact=real == np.ceil(real))
    assert applied(final, doubled(x)) == pytest.approx(applied(behind, zeros), abs=1e-12)


@given(seed=seeds, kind=kinds)
def test_a_first_layer_s_signs_are_0_on_the_threshold_alone(seed: int, kind: str) -> None:
    """In steps of the grid next to the threshold."""
    rng = np.random.default_rng(seed)
    layer = HiddenLayer(rng.choice([-2, -1, 1, 2], (4, 3)), rng.integers(-12, 13, 4))
    behind = following(kind, rng, 4)
    steps = rng.integers(0, 7 * 2**20 + 1, (16, 3))
    steps[:8] -= steps[:8] % 2**20
    steps[:4, 0] = np.clip(steps[:4, 0] + rng.integers(-1, 2, 4), 0, 7 * 2**20)
    sums = [
        [sum(w * int(z) for w, z in zip(row, x, strict=True)) for row in dense(layer).tolist()]
        for x in steps
    ]
    exact = np.sign(
        [
            [int(a) - t * 2**20 for a, t in zip(row, layer.threshold.tolist(), strict=True)]
            for row in sums
        ]
    )
    doubled, final = zero_signs(layer, behind, levels=7)
    assert applied(final, doubled(steps / 2.0**20)) == pytest.approx(applied(behind, exact))


def test_a_first_layer_s_neuron_out_of_reach_stays_one() -> None:
    head = OutputLayer([[1, 1, 1, 1]], [1], [0])
    layer = HiddenLayer([[1, -2]] * 4, [-15, -14, 7, 8])
    doubled, _ = zero_signs(layer, head, levels=7)
    assert doubled.threshold.tolist() == [-15, -14, 7, 8, 14, -7]
    assert dense(doubled)[4:].tolist() == [[-1, 2], [-1, 2]]


@given(seed=seeds, kind=kinds)
def test_average_pooling_before_a_linear_layer_is_one_layer(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    x, stride = signs(rng, 6, 2, 6, 6), int(rng.integers(1, 4))
    pool = sum_pool2d((2, 6, 6), 3, 0, stride=stride)
    behind = following(kind, rng, pool.shape[0])
    sums = torch.nn.functional.avg_pool2d(torch.tensor(x), 3, stride, divisor_override=1)
    sums = sums.numpy().reshape(6, -1)
    flat = x.reshape(6, -1)
    for merged in (after_sums(pool, behind), behind.behind(pool.weight)):
        assert applied(merged, flat) == pytest.approx(applied(behind, sums), abs=1e-9)
    merged = after_sums(pool, behind, 9)
    expected = applied(behind, sums / 9)
    if isinstance(behind, HiddenLayer):
        whole = sums.astype(int) @ dense(behind).T >= 9 * behind.threshold
        expected = np.where(whole, 1.0, -1.0)
    assert applied(merged, flat) == pytest.approx(expected, abs=1e-9)


def test_sums_must_fit_the_layer_behind() -> None:
    pool = sum_pool2d((2, 6, 6), 3, 0)
    for behind in (HiddenLayer([[1, 1]], [0]), OutputLayer([[1, 1]], [1], [0])):
        with pytest.raises(NetworkFormatError, match="2 inputs does not fit behind 8 outputs"):
            after_sums(pool, behind)


def test_layers_side_by_side_answer_one_after_the_other() -> None:
    rng = np.random.default_rng(2)
    x = signs(rng, 5, 18)
    layers = [
        conv2d(rng.integers(-1, 2, (3, 2, 2, 2)), 1, (2, 3, 3)),
        sum_pool2d((2, 3, 3), 1, 0),
        HiddenLayer(signs(rng, 4, 18), [0, 1, 2, 3]),
    ]
    assert np.array_equal(stack(*layers)(x), np.hstack([layer(x) for layer in layers]))
    with pytest.raises(NetworkFormatError, match="same inputs"):
        stack(layers[0], HiddenLayer([[1]], [0]))
    with pytest.raises(NetworkFormatError, match="same inputs"):
        stack()

"""Builders of layers, each beside torch's own forward pass."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.errors import BnnoptError, InputError, NetworkFormatError
from bnnopt.network.unroll import (
    conv2d,
    max_pool2d,
    min_pool2d,
    pixel_cuts,
    pool_before_norm,
    sum_pool2d,
)
from tests.network.cases import dense, random_convolution, seeds, signs

torch = pytest.importorskip("torch")


def torch_pad(x: Any, padding: Any, value: float = 0.0) -> Any:
    (above, below), (left, right) = padding
    return torch.nn.functional.pad(x, (left, right, above, below), value=value)


@given(seed=seeds, largest=st.sampled_from([1, 2, 300]))
def test_a_convolution_is_torch_s(seed: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    ours = random_convolution(rng, largest)
    x = signs(rng, 3, *ours.input_shape)
    sums = torch.nn.functional.conv2d(
        torch_pad(torch.tensor(x), ours.padding),
        torch.tensor(ours.kernel.astype(np.float64)),
        stride=ours.stride,
        dilation=ours.dilation,
        groups=ours.groups,
    ).numpy()
    # Sums of the first image are thresholds, so that it lies on all of them.
    threshold = sums[0]
    layer = conv2d(
        ours.kernel,
        threshold,
        ours.input_shape,
        stride=ours.stride,
        padding=ours.padding,
        dilation=ours.dilation,
        groups=ours.groups,
    )
    flat = x.reshape(3, -1)
    assert layer.output_shape == sums.shape[1:]
    assert np.array_equal(layer.pre_activation(flat), sums.reshape(3, -1))
    assert np.array_equal(flat @ dense(layer).T, sums.reshape(3, -1))
    expected = np.where(sums >= threshold, 1, -1).reshape(3, -1)
    assert np.array_equal(layer(flat), expected)
    assert np.array_equal(layer.signs(flat.astype(np.float32)), expected)
    assert (layer(flat)[0] == 1).all()


@given(seed=seeds)
def test_a_batch_is_convolved_some_images_at_a_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = HiddenLayer(convolution := random_convolution(rng, 3), np.zeros(convolution.shape[0]))
    x = signs(rng, 9, layer.shape[1])
    one_by_one = np.vstack([layer.pre_activation(image[None]) for image in x])
    with pytest.MonkeyPatch.context() as patch:
        seen = layer.shape[1] * convolution.kernel[0].size
        patch.setattr("bnnopt.network.convolution.BLOCK", int(rng.integers(0, 4 * seen)))
        assert np.array_equal(layer.pre_activation(x), one_by_one)
    assert layer.pre_activation(x[:0]).shape == (0, layer.shape[0])


@given(seed=seeds)
def test_an_unrolled_convolution_answers_as_its_rows_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    convolution = random_convolution(rng, 3)
    layer = HiddenLayer(convolution, rng.integers(-5, 6, convolution.shape[0]))
    rows = HiddenLayer(layer.weight, layer.threshold)
    radius = rng.random(layer.shape[1])
    assert layer.is_dense == rows.is_dense
    assert np.array_equal(layer.magnitude, rows.magnitude)
    assert np.array_equal(layer.magnitude, np.abs(dense(layer)).sum(axis=1))
    assert layer.spread(radius) == pytest.approx(np.abs(dense(layer)) @ radius)
    assert rows.spread(radius) == pytest.approx(np.abs(dense(layer)) @ radius)
    several = rng.random((3, layer.shape[1]))
    for kept in (layer, rows):
        assert kept.spread(several) == pytest.approx(several @ np.abs(dense(layer)).T)
        assert kept.spread(several[:0]).shape == kept(several[:0]).shape == (0, layer.shape[0])
    chosen = rng.integers(0, layer.shape[0], 4)
    inputs = rng.integers(0, layer.shape[1], 4)
    for kept in (layer, rows):
        assert np.array_equal(kept.rows(chosen).toarray(), dense(layer)[chosen])
        assert np.array_equal(kept.columns(inputs).toarray(), dense(layer)[:, inputs])
        assert np.array_equal(kept.canonical().threshold, layer.canonical().threshold)
    mask = np.zeros(layer.shape[0], dtype=bool)
    mask[chosen] = True
    assert np.array_equal(layer.rows(mask).toarray(), dense(layer)[mask])


@given(seed=seeds, largest=st.booleans())
def test_pooling_of_signs_is_torch_s(seed: int, largest: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 8, 3).tolist())
    size, stride = tuple(rng.integers(1, 4, 2).tolist()), tuple(rng.integers(1, 4, 2).tolist())
    padding = tuple(map(tuple, rng.integers(0, 2, (2, 2)).tolist()))
    x, sign = signs(rng, 3, *shape), 1.0 if largest else -1.0
    pool = max_pool2d if largest else min_pool2d
    layer = pool(shape, size, stride=stride, padding=padding)
    padded = torch_pad(torch.tensor(sign * x), padding, -1.0)
    expected = sign * torch.nn.functional.max_pool2d(padded, size, stride).numpy()
    assert layer.output_shape == expected.shape[1:]
    assert np.array_equal(layer(x.reshape(3, -1)), expected.reshape(3, -1))


@given(seed=seeds)
def test_a_sum_of_a_window_is_torch_s_mean_times_its_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, size = tuple(rng.integers(3, 8, 3).tolist()), tuple(rng.integers(1, 4, 2).tolist())
    threshold = rng.integers(-3, 4, shape[0])
    layer = sum_pool2d(shape, size, threshold)
    x = signs(rng, 3, *shape)
    sums = torch.nn.functional.avg_pool2d(torch.tensor(x), size, divisor_override=1).numpy()
    expected = np.where(sums >= threshold[:, None, None], 1.0, -1.0)
    assert np.array_equal(layer(x.reshape(3, -1)), expected.reshape(3, -1))


def test_windows_lie_side_by_side_without_padding_where_nothing_is_said() -> None:
    ones = np.ones((1, 32))
    for build, sign in ((max_pool2d, 1), (min_pool2d, 1), (max_pool2d, -1), (min_pool2d, -1)):
        layer = build((2, 4, 4), 2)
        assert layer.output_shape == (2, 2, 2)
        assert (layer(sign * ones) == sign).all()
    assert min_pool2d((2, 4, 4), 2).threshold.tolist() == [4] * 8
    assert max_pool2d((2, 4, 4), 2).threshold.tolist() == [-2] * 8
    assert sum_pool2d((2, 4, 4), 2, 0).magnitude.tolist() == [4] * 8


def test_windows_of_one_place_copy_their_input() -> None:
    x = signs(np.random.default_rng(0), 4, 18)
    assert np.array_equal(sum_pool2d((2, 3, 3), 1, 0)(x), x)


@given(seed=seeds)
def test_pooling_before_a_norm_is_pooling_of_the_norms_signs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gamma = rng.choice([-2.0, -0.5, 0.0, 0.5, 1.0], 4)
    sums = rng.integers(-9, 10, (5, 4, 6, 6)).astype(float)
    tau = rng.integers(-5, 6, (4, 1, 1))

    def norm(a: Any) -> Any:
        return np.where(gamma[:, None, None] * (a - tau) >= 0, 1.0, -1.0)

    largest = torch.nn.functional.max_pool2d(torch.tensor(sums), 2).numpy()
    pooled = pool_before_norm((4, 6, 6), 2, gamma)(norm(sums).reshape(5, -1))
    assert np.array_equal(pooled, norm(largest).reshape(5, -1))


@given(
    seed=seeds,
    levels=st.sampled_from([1, 7, 255]),
    cuts=st.lists(st.fractions(0, 1, max_denominator=100), min_size=1, max_size=3),
)
def test_a_cut_is_an_exact_fraction_of_the_range(
    seed: int, levels: int, cuts: list[Fraction]
) -> None:
    rng = np.random.default_rng(seed)
    layer = pixel_cuts((4,), cuts, levels=levels)
    steps = rng.integers(0, levels * 2**20 + 1, (6, 4))
    near = [round(cut * levels * 2**20) + off for cut in cuts for off in (-1, 0, 1)]
    steps[:, 0] = np.clip(rng.choice(near, 6), 0, levels * 2**20)
    exact = [
        [1 if Fraction(int(step), levels * 2**20) >= cut else -1 for cut in cuts for step in row]
        for row in steps
    ]
    assert layer(steps / 2.0**20).tolist() == exact


def test_half_the_range_lies_between_two_levels() -> None:
    layer = pixel_cuts((28, 28), 0.5)
    assert layer.weight.data.tolist() == [2] * 784
    assert set(layer.threshold) == {255}
    assert layer.output_shape == (1, 28, 28)
    network = BinarizedNetwork(layer, OutputLayer(np.ones((2, 784)), [1, 1], [0, 0]))
    assert network.input_shape == (1, 28, 28)
    ones = network.activations(np.full(784, 127.5 / 255))[0]
    assert (ones == 1).all() and (network.activations(np.full(784, 127.4 / 255))[0] == -1).all()


def test_a_cut_that_is_too_fine_is_refused_with_one_that_is_not() -> None:
    assert pixel_cuts((1,), "1/32767", levels=1).weight.data.tolist() == [32767]
    with pytest.raises(InputError, match="such as to ") as caught:
        pixel_cuts((1,), 0.123456789, levels=100)
    near = str(caught.value).rpartition(" ")[2]
    assert abs(Fraction(near) - Fraction("0.123456789")) < Fraction(1, 100 * 2**15)
    assert pixel_cuts((1,), near, levels=100).weight.data[0] <= 32767
    with pytest.raises(InputError, match="at most 32767"):
        pixel_cuts((1,), "1/32768", levels=1)
    assert pixel_cuts((1,), "1/65534", levels=2).weight.data.tolist() == [32767]


def test_the_cuts_of_a_channel_are_side_by_side() -> None:
    layer = pixel_cuts((2, 1, 2), [[0.2, 0.4], [0.6]], levels=10)
    assert layer.output_shape == (3, 1, 2)
    assert layer.threshold.tolist() == [2, 2, 4, 4, 6, 6]
    assert dense(layer).tolist() == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
    ]
    same = pixel_cuts((2, 1, 2), [0.2, "4/10"], levels=10)
    assert same.threshold.tolist() == [2, 2, 4, 4] * 2


def test_channels_rows_and_columns_count_in_this_order() -> None:
    kernel = [[[[1]], [[0]]], [[[0]], [[1]]]]
    layer = conv2d(kernel, [5, 7], (2, 2, 3))
    assert layer.pre_activation(np.arange(12.0)[None]).tolist() == [list(range(12))]
    assert layer.threshold.tolist() == [5] * 6 + [7] * 6


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: conv2d(np.ones((1, 1, 3)), 0, (1, 4, 4)), "shape"),
        (lambda: conv2d(np.ones((1, 2, 3, 3)), 0, (1, 4, 4)), "channels"),
        (lambda: conv2d(np.ones((3, 1, 3, 3)), 0, (2, 4, 4), groups=2), "groups"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0, (1, 4, 4), groups=0), "groups"),
        (lambda: conv2d(np.ones((1, 1, 5, 3)), 0, (1, 4, 4)), "larger than its input"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0, (1, 4, 4), dilation=2), "larger than"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0, (4, 4)), "input_shape"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0, (1, 4, 0)), "input_shape"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), [0, 0], (1, 4, 4)), "one a channel"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0.5, (1, 4, 4)), "whole"),
        (lambda: conv2d(np.full((1, 1, 3, 3), 0.5), 0, (1, 4, 4)), "whole"),
        (lambda: conv2d(np.full((1, 1, 3, 3), np.nan), 0, (1, 4, 4)), "whole"),
        (lambda: conv2d(np.full((1, 1, 3, 3), 2**15), 0, (1, 4, 4)), "32767"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0, (1, 4, 4), stride=0), "stride"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0, (1, 4, 4), stride=(1, 2, 3)), "stride"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0, (1, 4, 4), stride="ab"), "stride"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0, (1, 4, 4), padding=-1), "padding"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0, (1, 4, 4), padding=(1, 2, 3)), "padding"),
        (lambda: conv2d(np.ones((1, 1, 3, 3)), 0, (1, 4, 4), padding=((1, 2), 3, 4)), "padding"),
        (lambda: conv2d(np.ones((1, 1, 1, 1)), 0, (1, 4, 4), padding=10**4), "at most"),
        (
            lambda: conv2d(np.ones((1, 1, 1, 1)), 0, (1, 4, 4), padding=10**4, stride=10**3),
            "padding",
        ),
        (lambda: conv2d(np.ones((1, 1, 1, 1)), 0, (1, 4, 4), padding=700), "at most"),
        (lambda: conv2d(np.ones((2**21, 1, 1, 1)), 0, (1, 1, 1)), "at most"),
        (lambda: conv2d(np.ones((64, 64, 9, 9)), 0, (64, 64, 64)), "at most"),
        (
            lambda: conv2d(np.eye(2**18, 1).reshape(1, 1, 512, 512), 0, (1, 1023, 1023)),
            "sparse matrix",
        ),
        (lambda: max_pool2d((1, 4, 4), 5), "larger than its input"),
        (lambda: max_pool2d((1, 4, 4), 0), "shape"),
        (lambda: pool_before_norm((2, 4, 4), 2, [1.0]), "one number a channel"),
        (lambda: pixel_cuts((4,), []), "shape"),
        (lambda: pixel_cuts((4,), [1.5]), "from 0 to 1"),
        (lambda: pixel_cuts((4,), [-0.1]), "from 0 to 1"),
        (lambda: pixel_cuts((4,), ["a"]), "a cut"),
        (lambda: pixel_cuts((4,), [None]), "a cut"),
        (lambda: pixel_cuts((4,), None), "a cut"),
        (lambda: pixel_cuts((4,), [0.123456789]), "round it, such as to"),
        (lambda: pixel_cuts((3, 4, 4), [[0.5], [0.5]]), "one a channel"),
        (lambda: pixel_cuts((1, 3, 4, 4), [0.5]), "input_shape"),
        (lambda: pixel_cuts((4,), [0.5], levels=0), "levels"),
    ],
)
def test_parts_that_do_not_fit_are_refused(build: Any, message: str) -> None:
    with pytest.raises(BnnoptError, match=message) as caught:
        build()
    assert isinstance(caught.value, InputError | NetworkFormatError)
    assert "\n" not in str(caught.value)

"""What a layer takes, what it refuses, and that its sums are exact."""

from __future__ import annotations

import copy
import pickle
from contextlib import suppress
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse import csr_array

from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.errors import NetworkFormatError
from bnnopt.network import Convolution, weights
from bnnopt.network.unroll import conv2d
from tests.network.cases import dense, mixed_network, seeds, signs


def parts(layer: HiddenLayer) -> list[Any]:
    weight: Any = layer.weight
    return [weight] if layer.is_dense else [weight.data, weight.indices, weight.indptr]


def with_duplicates(matrix: np.ndarray, rng: np.random.Generator) -> csr_array:
    """The same matrix with entries in any order, some split in two, and explicit zeros."""
    rows, columns = np.nonzero(np.ones_like(matrix))
    values = matrix[rows, columns]
    extra = rng.integers(-3, 4, len(values))
    order = rng.permutation(2 * len(values))
    data = np.concatenate([values - extra, extra])[order]
    where = np.tile(rows, 2)[order], np.tile(columns, 2)[order]
    by_row = np.argsort(where[0], kind="stable")
    starts = np.arange(len(matrix) + 1) * 2 * matrix.shape[1]
    return csr_array((data[by_row], where[1][by_row], starts), shape=matrix.shape)


@given(seed=seeds, largest=st.sampled_from([0, 1, 2, 127, 128, 32767]))
def test_a_matrix_is_kept_in_one_way_however_it_is_given(seed: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-largest, largest + 1, (4, 5))
    if largest == 0:
        matrix = rng.choice([-1, 1], (4, 5))
    threshold = rng.integers(-9, 9, 4)
    given_as = [
        matrix,
        matrix.tolist(),
        matrix.astype(np.float32),
        csr_array(matrix),
        sparse.csc_matrix(matrix),
        sparse.coo_array(matrix.astype(np.int16)),
        sparse.lil_array(matrix),
        with_duplicates(matrix, rng),
        Convolution(matrix[:, :, None, None], (5, 1, 1)),
    ]
    layers = [HiddenLayer(weight, threshold) for weight in given_as]
    for layer in layers:
        assert np.array_equal(dense(layer), matrix)
        assert layer.is_dense == np.all(np.abs(matrix) == 1)
        for ours, first in zip(parts(layer), parts(layers[0]), strict=True):
            assert np.array_equal(ours, first) and ours.dtype == first.dtype
        if not layer.is_dense:
            weight: Any = layer.weight
            assert weight.dtype == (np.int8 if np.abs(matrix).max() < 128 else np.int16)
            assert weight.indices.dtype == np.int32
            assert weight.has_sorted_indices and np.all(weight.data != 0)


def test_duplicates_that_small_types_cannot_add_up_are_added_up() -> None:
    ones = np.full(100, 100, dtype=np.int8)
    zeros = np.zeros(100, dtype=int)
    for given_as in (
        csr_array((ones, zeros, [0, 100]), shape=(1, 2)),
        sparse.coo_array((ones, (zeros, zeros)), shape=(1, 2)),
    ):
        assert dense(HiddenLayer(given_as, [0])).tolist() == [[10000, 0]]


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
def test_a_layer_is_immutable() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.integers(-1, 2, (2, 1, 2, 2))
    matrix = rng.integers(-1, 2, (3, 4))
    layers = [
        HiddenLayer(signs(rng, 3, 4), [0] * 3),
        HiddenLayer(matrix, [0] * 3),
        conv2d(kernel, 0, (1, 3, 3)),
    ]
    for layer in layers:
        before = dense(layer).copy()
        for name in ("weight", "threshold", "shape", "other"):
            with pytest.raises(AttributeError):
                setattr(layer, name, 0)
        for array in [*parts(layer), layer.threshold, layer.magnitude]:
            with pytest.raises(ValueError, match="read-only"):
                array.ravel()[:1] = 5
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 5
        layer.rows([0]).data[:] = 7
        layer.columns([0]).data[:] = 7
        kernel[:], matrix[:] = 1, 1
        assert np.array_equal(dense(layer), before)
    weight: Any = layers[1].weight
    with suppress(ValueError):  # scipy notices when it has inserted, into its own array alone
        weight[0, np.flatnonzero(dense(layers[1])[0] == 0)] = 5
    assert np.abs(dense(layers[1])).max() == 1
    assert layers[2].convolution is not None
    with pytest.raises(ValueError, match="read-only"):
        layers[2].convolution.kernel[0] = 1
    head = OutputLayer(np.ones((2, 2)), [1, 1], [0, 0])
    for name in ("weight", "scale", "bias", "other"):
        with pytest.raises(AttributeError):
            setattr(head, name, 0)


@pytest.mark.parametrize("kind", ["dense", "sparse", "convolution"])
def test_a_pickle_holds_what_was_given_only(kind: str) -> None:
    rng = np.random.default_rng(1)
    weight: Any = {
        "dense": signs(rng, 8, 30),
        "sparse": rng.integers(-1, 2, (8, 30)),
        "convolution": Convolution(rng.integers(-1, 2, (2, 1, 2, 2)), (1, 5, 6)),
    }[kind]
    layer = HiddenLayer(weight, np.zeros(40 if kind == "convolution" else 8))
    before = pickle.dumps(layer)
    layer(signs(rng, 3, 30))
    layer.signs(signs(rng, 3, 30).astype(np.float32))
    assert layer.magnitude.max() > 0 and layer.weight is not None
    assert pickle.dumps(layer) == before
    for again in (pickle.loads(before), copy.deepcopy(layer)):
        assert np.array_equal(dense(again), dense(layer))
        assert (again.convolution is None) == (layer.convolution is None)
        for array in [*parts(again), again.threshold]:
            assert not array.flags.writeable


def broken(**changes: Any) -> csr_array:
    """A matrix of C code's trust, changed behind scipy's back."""
    matrix = csr_array(np.array([[1, 0, 2], [0, -1, 0]], dtype=np.int8))
    for name, values in changes.items():
        setattr(matrix, name, np.array(values, dtype=getattr(matrix, name).dtype))
    return matrix


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([[1, 0.5]], "whole numbers, not 0.5"),
        ([[1, np.nan]], "whole numbers, not nan"),
        ([[1, np.inf]], "at most 32767 in size, not inf"),
        ([[1, -(2**15)]], "at most 32767 in size, not 32768"),
        ([[1, 2**63]], "at most 32767"),
        ([[True, False]], "not bool"),
        ([["1", "-1"]], "text"),
        ([[1, 1j]], "complex"),
        ([[1, 2], [3]], "equal length"),
        (None, "numbers"),
        ([1, -1], "matrix"),
        (np.ones((0, 3)), "matrix"),
        (np.ones((1, 2**20 + 1)), "1048576"),
        (csr_array((2**20 + 1, 1)), "1048576"),
        (csr_array([[0.5, 0.0]]), "whole numbers, not 0.5"),
        (csr_array([[np.nan, 0.0]]), "whole numbers, not nan"),
        (csr_array([[2**15, 0]]), "at most 32767"),
        (csr_array(([2**14] * 2, [0, 0], [0, 2]), shape=(1, 1)), "not 32768"),
        (csr_array([[True, False]]), "not bool"),
        (broken(indices=[0, 3, 1]), "broken"),
        (broken(indices=[0, -1, 1]), "broken"),
        (broken(indptr=[0, 4, 3]), "broken"),
        (broken(indptr=[0, 2, 9]), "broken"),
        (broken(indptr=[1, 2, 3]), "broken"),
        (broken(indptr=[0, 3]), "broken"),
        (broken(data=[1]), "broken"),
        (broken(data=[]), "broken"),
    ],
)
def test_a_weight_that_is_none_is_refused_and_named(weight: Any, message: str) -> None:
    with pytest.raises(NetworkFormatError, match=message) as caught:
        HiddenLayer(weight, [0])
    assert "hidden layer" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ([0.5], "whole numbers, not 0.5"),
        ([np.nan], "whole numbers, not nan"),
        ([-np.inf], "at most 1099511627776 in size"),
        ([2**40 + 1], "at most 1099511627776 in size, not 1099511627777"),
        ([2**64 - 1], "at most"),
        ([[0]], r"shape \(1, 1\); it must be \(1,\)"),
        (0, r"it must be \(1,\)"),
        ([0, 1], r"it must be \(1,\)"),
        (["a"], "text"),
        ([None], "numbers"),
    ],
)
def test_a_threshold_that_is_none_is_refused(threshold: Any, message: str) -> None:
    with pytest.raises(NetworkFormatError, match=message):
        HiddenLayer([[1, 0]], threshold)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": [[1, np.nan]]}, "weight must hold finite numbers"),
        ({"weight": [[1, np.inf]]}, "weight must hold finite numbers"),
        ({"weight": [[1, 2.0**41]]}, "2199023255552"),
        ({"weight": [1, 2]}, "matrix"),
        ({"weight": csr_array((2**14, 2**14))}, "at most"),
        ({"scale": [np.nan]}, "scale must hold finite numbers"),
        ({"scale": [1, 1]}, r"it must be \(1,\)"),
        ({"bias": ["a"]}, "bias"),
        ({"bias": [-(2.0**41)]}, "bias must hold finite numbers"),
    ],
)
def test_a_head_that_is_none_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkFormatError, match=message):
        OutputLayer(**({"weight": [[1, 0.5]], "scale": [1], "bias": [0]} | changes))


def test_a_head_may_be_real_whole_or_sparse() -> None:
    rng = np.random.default_rng(3)
    h = signs(rng, 4, 6)
    for weight in (rng.normal(size=(3, 6)), rng.integers(-2, 3, (3, 6))):
        bias = rng.normal(size=3)
        head = OutputLayer(weight, [2, 0.5, -1], bias)
        assert head.weight.dtype == np.float64 and not head.is_binary
        assert head(h) == pytest.approx(np.array([2, 0.5, -1]) * (h @ weight.T) + bias)
        assert np.array_equal(OutputLayer(csr_array(weight), head.scale, bias)(h), head(h))
        gain, constant = head.gain(0, 2)
        assert h @ gain + constant == pytest.approx(head(h)[:, 0] - head(h)[:, 2])
    assert OutputLayer([[1, 2], [0, -1]], [1, 1], [3, 0]).is_integer
    assert not OutputLayer([[1, 2.5], [0, -1]], [1, 1], [3, 0]).is_integer


def test_the_grid_of_a_head_is_that_of_its_exact_sums() -> None:
    lifted = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        weight = rng.random((2, 5))
        weight *= (1 - rng.integers(0, 5) * 2.0**-53) / weight.sum(axis=1, keepdims=True)
        head = OutputLayer(weight, [1, 1], [0, 0])
        power = 1 if max(sum(map(Fraction, row)) for row in weight.tolist()) >= 1 else 0
        rounded = [[round(Fraction(w) * 2 ** (50 - power)) for w in row] for row in weight.tolist()]
        if power == 0 and max(map(sum, rounded)) >= 2**50:  # rounding reached the power of two
            rounded, lifted = [[round(Fraction(w, 2)) for w in row] for row in rounded], lifted + 1
            power = 1
        step = Fraction(2) ** (power - 50)
        assert head.on_grid().weight.tolist() == [[float(w * step) for w in r] for r in rounded]
    assert lifted > 20


@given(seed=seeds, exponent=st.integers(-20, 20))
def test_a_real_head_on_its_grid_is_exact_in_any_order(seed: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    head = OutputLayer(rng.normal(size=(3, 9)) * 2.0**exponent, rng.random(3), rng.normal(size=3))
    grid = head.on_grid()
    again = grid.on_grid()
    assert np.array_equal(again.weight, grid.weight) and np.array_equal(again.bias, grid.bias)
    largest = (np.abs(grid.weight).sum(axis=1) + np.abs(grid.bias)).max()
    step = 2.0 ** (np.frexp(largest)[1] - 50)
    # Half a step, and half of one half as large where a first rounding reached a power of two.
    assert np.abs(grid.weight - head.scale[:, None] * head.weight).max() <= 0.75 * step
    assert np.abs(grid.bias - head.bias).max() <= 0.75 * step
    h = signs(rng, 4, 9)
    exact = [
        [
            Fraction(float(bias))
            + sum(Fraction(float(w)) * int(a) for w, a in zip(row, signs_of, strict=True))
            for row, bias in zip(grid.weight, grid.bias, strict=True)
        ]
        for signs_of in h
    ]
    assert grid(h).tolist() == grid(h.astype(np.float32)).tolist() == exact
    order = rng.permutation(9)
    shuffled = OutputLayer(grid.weight[:, order], grid.scale, grid.bias)
    assert np.array_equal(shuffled(h[:, order]), grid(h))


@pytest.mark.parametrize("total", [2**24 - 2, 2**24 - 1])
def test_single_precision_decides_the_largest_sums_that_are_allowed(total: int) -> None:
    """Sums next to the bound, and thresholds next to the sums."""
    weight = [32767] * (total // 32767) + [total % 32767]
    inputs = np.ones((2, len(weight)))
    inputs[1, np.argmin(np.abs(np.array(weight) - 1))] = -1.0
    for threshold in (total - 1, total, total + 1, 2**24, 2**24 + 1, 2**40, -total, -(2**40)):
        layer = HiddenLayer([weight], [threshold])
        exact = [
            1 if sum(w * int(a) for w, a in zip(weight, x, strict=True)) >= threshold else -1
            for x in inputs
        ]
        assert layer.signs(inputs.astype(np.float32)).ravel().tolist() == exact
        assert layer(inputs).ravel().tolist() == exact


@pytest.mark.parametrize(
    "weight",
    [
        [[2**24, 1, 1], [1, 0, 1]],
        [[1, 0, 1], [-(2**24), -1, -1]],
        [[0.1, 1, 1], [1, 1, 1]],
        [[1, 1, 1], [0.1, 0.2, 0.3]],
        [[1, -1, 1], [1, 1, -1]],
        [[2**23, 2**22, 1], [-1, 2, 0]],
    ],
)
def test_a_head_is_exact_for_activations_in_single_precision(weight: list[list[float]]) -> None:
    head = OutputLayer(weight, [1.0, 0.1], [0.5, 2**30])
    for signs_of in product([-1.0, 1.0], repeat=3):
        h = np.array([signs_of])
        exact = [
            s * sum(w * a for w, a in zip(row, signs_of, strict=True)) + b
            for row, s, b in zip(weight, [1.0, 0.1], [0.5, 2**30], strict=True)
        ]
        assert head(h) == pytest.approx(np.array([exact]), rel=1e-15)
        assert np.array_equal(head(h.astype(np.float32)), head(h))


@given(seed=seeds)
def test_logits_are_those_of_exact_arithmetic_for_every_kind_of_head(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = mixed_network(seed)
    z = rng.integers(0, 256, (4, network.num_inputs)).astype(float)
    last = network.activations_of_levels(z)[-1]
    head = network.output
    exact = [
        [
            Fraction(float(bias))
            + sum(Fraction(float(w)) * int(a) for w, a in zip(row, h, strict=True))
            for row, bias in zip(head.weight, head.bias, strict=True)
        ]
        for h in last
    ]
    assert network.logits_of_levels(z).tolist() == exact


def test_sums_that_would_not_be_exact_are_refused() -> None:
    head = OutputLayer([[1]], [1], [0])
    deep = HiddenLayer([[1]] * 513, [0] * 513)
    BinarizedNetwork((deep, HiddenLayer([[32767] * 512 + [511]], [0])), head)
    with pytest.raises(NetworkFormatError, match=r"layer 2.*less than 2\*\*24"):
        BinarizedNetwork((deep, HiddenLayer([[32767] * 512 + [512]], [0])), head)
    first = [[32767] * 1028 + [1542]]  # the largest sum below 2**33 / 255
    BinarizedNetwork(HiddenLayer(first, [0]), head)
    first[0][-1] += 1
    with pytest.raises(NetworkFormatError, match=r"layer 1.*less than 2\*\*33"):
        BinarizedNetwork(HiddenLayer(first, [0]), head)
    BinarizedNetwork(HiddenLayer(first, [0]), head, levels=254)
    both = [[0] * 1029, *first], [[1] * 1029, *first]
    for rows in both:
        with pytest.raises(NetworkFormatError, match="layer 1"):
            BinarizedNetwork(HiddenLayer(rows, [0, 0]), OutputLayer([[1, 1]], [1], [0]))
    exactly = HiddenLayer([[32767] * 4 + [4]], [0])  # 2**17 times 2**16 levels
    with pytest.raises(NetworkFormatError, match="layer 1"):
        BinarizedNetwork(exactly, head, levels=2**16)
    BinarizedNetwork(exactly, head, levels=2**16 - 1)


@given(seed=seeds)
def test_every_kind_of_layer_is_exact_on_the_grid(seed: int) -> None:
    """Python's integers, in steps of 2^-20 of a level, beside the forward pass."""
    rng = np.random.default_rng(seed)
    network = mixed_network(seed)
    steps = rng.integers(0, 255 * 2**20 + 1, (3, network.num_inputs))
    steps[1] -= steps[1] % 2**20
    values = [[int(step) for step in row] for row in steps]
    unit = 2**20
    for layer, found in zip(
        network.hidden, network.activations_of_levels(steps / 2.0**20), strict=True
    ):
        weight, threshold = dense(layer).tolist(), layer.threshold.tolist()
        values = [
            [
                1 if sum(w * v for w, v in zip(line, row, strict=True)) >= t * unit else -1
                for line, t in zip(weight, threshold, strict=True)
            ]
            for row in values
        ]
        unit = 1
        assert found.tolist() == values


@given(seed=seeds)
def test_zeros_added_and_rows_permuted_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, threshold = rng.integers(-2, 3, (6, 5)), rng.integers(-4, 5, 6)
    layer, x = HiddenLayer(weight, threshold), signs(rng, 7, 5)
    order = rng.permutation(6)
    permuted = HiddenLayer(weight[order], threshold[order])
    assert np.array_equal(permuted(x), layer(x)[:, order])
    widened = HiddenLayer(np.hstack([weight, np.zeros((6, 3))]), threshold)
    assert np.array_equal(widened(np.hstack([x, signs(rng, 7, 3)])), layer(x))
    assert np.array_equal(widened.canonical().threshold, layer.canonical().threshold)


@given(seed=seeds)
def test_large_matrices_are_multiplied_block_by_block(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, threshold = signs(rng, 4, 30), rng.integers(-3, 4, 20)
    matrices = [signs(rng, 20, 30), (rng.random((20, 30)) < 0.05) * signs(rng, 20, 30)]
    whole = [HiddenLayer(matrix, threshold)(x) for matrix in matrices]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "BLOCK", int(rng.integers(1, 70)))
        patch.setattr(weights, "KEPT", 0)
        for matrix, expected in zip(matrices, whole, strict=True):
            layer = HiddenLayer(matrix, threshold)
            assert np.array_equal(layer(x), expected)
            assert np.array_equal(layer.signs(x.astype(np.float32)), expected)
            assert np.array_equal(layer.spread(np.ones(30)), np.abs(matrix).sum(axis=1))
            radius = rng.integers(0, 9, (3, 30)).astype(float)
            assert np.array_equal(layer.spread(radius), radius @ np.abs(matrix).T)
            assert np.array_equal(layer.spread(radius[0]), np.abs(matrix) @ radius[0])


def test_a_canonical_threshold_has_the_parity_of_the_row_s_weights() -> None:
    layer = HiddenLayer([[1, 0, 2], [0, 0, 0], [1, 1, 0]], [0, 1, -9]).canonical()
    assert layer.threshold.tolist() == [1, 2, -2]
    assert HiddenLayer([[0, 0, 0]], [-5]).canonical().threshold.tolist() == [0]

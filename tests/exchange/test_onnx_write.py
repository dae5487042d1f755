from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import bnnopt
from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.errors import InputError, NetworkFormatError
from bnnopt.exchange import onnx_write
from bnnopt.exchange.onnx import read_onnx
from bnnopt.exchange.onnx_write import onnx_model
from bnnopt.network.unroll import conv2d, max_pool2d, pixel_cuts, sum_pool2d
from tests.kinds import networks


def outputs(network: BinarizedNetwork, images: np.ndarray) -> list[np.ndarray]:
    """The logits and then the activations of every hidden layer, by onnxruntime."""
    model = onnx_model(network)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    hidden = [f"hidden_{number}" for number in range(1, network.depth + 1)]
    shown = {value.name: value for value in model.graph.value_info}
    model.graph.output.extend(shown[name] for name in hidden)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    found: list[np.ndarray] = session.run(["logits", *hidden], {"image": images})
    return found


def agree(network: BinarizedNetwork, images: np.ndarray) -> None:
    logits, *hidden = outputs(network, images.astype(np.float32))
    assert logits.dtype == np.float64
    assert np.array_equal(logits, network.logits(images.astype(np.float32)))
    for found, signs in zip(hidden, network.activations(images.astype(np.float32)), strict=True):
        assert found.dtype == np.float32
        assert np.array_equal(found, signs)


def images_of(network: BinarizedNetwork, seed: int) -> np.ndarray:
    """Whole levels in float32, their neighbours in that type, and others."""
    rng = np.random.default_rng(seed)
    shape = (20, *network.input_shape)
    whole = (rng.integers(0, network.levels + 1, shape) / network.levels).astype(np.float32)
    near = np.nextafter(whole, rng.choice([0, 1], shape).astype(np.float32))
    apart = np.nextafter(near, near + np.sign(near - whole))
    real = rng.random(shape, dtype=np.float32)
    mixed = np.where(rng.random(shape) < 0.5, whole, real)
    parts = [whole, near, np.clip(apart, 0.0, 1.0), real, mixed]
    return np.concatenate(parts).astype(np.float32)


@settings(max_examples=120)
@given(network=networks, seed=st.integers(0, 10**6), is_sparse=st.booleans())
def test_every_kind_gives_the_same_activations_and_logits(
    network: BinarizedNetwork, seed: int, is_sparse: bool
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        if is_sparse:
            patched.setattr(onnx_write, "SPARSE", 0)
        agree(network, images_of(network, seed))


def test_thresholds_that_levels_just_reach_are_reached() -> None:
    levels = np.arange(256)
    layer = HiddenLayer(np.ones((256, 1), dtype=int), levels)
    network = BinarizedNetwork((layer,), OutputLayer(np.eye(256)[:9], np.ones(9), np.zeros(9)))
    images = (levels[:, None] / 255).astype(np.float32)
    _, hidden = outputs(network, images)
    assert np.array_equal(hidden, np.where(levels[:, None] >= levels, 1.0, -1.0))


@pytest.mark.parametrize("levels", [1, 3, 255, 1000, 2**16])
def test_levels_are_those_that_the_network_sees(levels: int) -> None:
    rng = np.random.default_rng(levels)
    chosen = rng.integers(0, levels + 1, 4000)
    pixels = (chosen / levels).astype(np.float32)
    near = np.nextafter(pixels, np.float32(0.5))
    values = np.concatenate([pixels, near, np.nextafter(near, np.float32(0.5)), rng.random(4000)])
    images = values.astype(np.float32).reshape(-1, 4)
    layer = HiddenLayer(np.eye(4, dtype=int), np.ones(4))
    head = OutputLayer(np.ones((2, 4)), np.ones(2), np.zeros(2))
    network = BinarizedNetwork((layer,), head, levels=levels)
    model = onnx_model(network)
    kind = onnx.TensorProto.DOUBLE
    model.graph.output.append(onnx.helper.make_tensor_value_info("levels", kind, ["N", 4]))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(["levels"], {"image": images})
    assert np.array_equal(found, network.levels_of(images))


def convolutional(seed: int, groups: int = 1) -> BinarizedNetwork:
    """Cuts or a convolution first, padding that differs by side, pooling, a real head."""
    rng = np.random.default_rng(seed)
    kernel = rng.integers(-40, 41, (6, 3 // groups if groups == 3 else 3, 3, 2))
    padding = ((1, 0), (2, 1))
    first = conv2d(
        kernel, rng.integers(-900, 900, 6), (3, 9, 8), padding=padding, stride=2, groups=groups
    )
    ternary = rng.choice([-1, 0, 1], (8, 3, 2, 2))
    second = conv2d(ternary, 0, first.output_shape, padding=((0, 1), (1, 0)), groups=2, dilation=2)
    pooled = max_pool2d(second.output_shape, 2)
    size = pooled.shape[0]
    head = OutputLayer(rng.normal(size=(5, size)), rng.normal(size=5), rng.normal(size=5))
    return BinarizedNetwork((first, second, pooled), head)


@pytest.mark.parametrize("groups", [1, 3])
def test_convolutions_with_stride_padding_dilation_and_groups(groups: int) -> None:
    network = convolutional(groups, groups)
    agree(network, images_of(network, groups))


def test_cuts_of_pixels_are_windows_and_thin_rows_are_gathered() -> None:
    cuts = pixel_cuts((3, 16, 16), ["1/4", "1/2"])
    pooled = sum_pool2d(cuts.output_shape, 2, 0)
    rng = np.random.default_rng(1)
    places = np.arange(40), rng.permutation(384)[:40]  # ten rows have no weight
    lone = csr_array((rng.choice([-1, 1], 40), places), shape=(50, 384))
    last = HiddenLayer(lone, np.zeros(50))
    head = OutputLayer(rng.choice([-1, 1], (4, 50)), np.ones(4), np.zeros(4))
    network = BinarizedNetwork((cuts, pooled, last), head)
    agree(network, images_of(network, 0))
    operators = [node.op_type for node in onnx_model(network).graph.node]
    counts = [operators.count(each) for each in ("Gather", "ReduceSum", "Conv", "MatMul")]
    assert counts == [2, 1, 1, 2]  # the cuts are windows of one pixel


@pytest.mark.parametrize("name", ["fashion-mnist-2x100", "mnist-4x100"])
def test_zoo_networks_agree_and_take_a_byte_a_weight(name: str) -> None:
    network = bnnopt.zoo.load(name)
    agree(network, images_of(network, 0))
    sizes = [layer.shape[0] * layer.shape[1] for layer in (*network.hidden, network.output)]
    assert onnx_model(network).ByteSize() <= sum(sizes) + 20_000


def test_sums_that_single_precision_would_round_are_exact() -> None:
    weight = np.array([[32767] * 500 + [1], [32767] * 500 + [-1]])
    threshold = np.array([32767 * 255 * 500 + 1, 32767 * 255 * 500])
    layer = HiddenLayer(weight, threshold)
    head = OutputLayer([[1.0, 1.0], [1.0, -1.0]], [1.0, 1.0], [0.0, 2.0**-30])
    network = BinarizedNetwork((layer,), head)
    images = np.ones((2, 501), dtype=np.float32)
    images[:, -1] = 1 / 255, 0.0
    agree(network, images)
    assert network.activations(images)[0].tolist() == [[1, -1], [-1, 1]]


def test_a_network_whose_file_would_be_too_large_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network = bnnopt.zoo.load("mnist-2x100")
    path = tmp_path / "network.onnx"
    monkeypatch.setattr(onnx_write, "LARGEST", 50_000)
    with pytest.raises(InputError, match=r"would have at least \d+ bytes, more than 50000"):
        bnnopt.to_onnx(network, path)
    assert not path.exists()
    wide = np.zeros((3000, 3000), dtype=int)
    wide[0], wide[1:, 0] = 1, 1
    layer = HiddenLayer(csr_array(wide), np.zeros(3000))
    head = OutputLayer(np.ones((2, 3000)), np.ones(2), np.zeros(2))
    with pytest.raises(InputError, match="at least 9000000 bytes"):
        bnnopt.to_onnx(BinarizedNetwork((layer,), head), path)


def test_the_command_writes_the_network(bnnopt_cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "a network.onnx"
    code, out, _ = bnnopt_cli("export", "fashion-mnist-2x100", "--onnx", str(path))
    assert code == 0
    assert f"{path}: image (N, 28, 28) of float32 in [0, 1], logits (N, 10)" in out
    network, data = bnnopt.zoo.load("fashion-mnist-2x100"), bnnopt.datasets.embedded()
    images = np.array([data.x(k) for k in range(50)], dtype=np.float32)
    (logits,) = onnxruntime.InferenceSession(path).run(None, {"image": images})
    assert np.array_equal(logits, network.logits(images))
    for arguments in ((), ("--out", "model.lp", "--onnx", str(path))):
        code, _, err = bnnopt_cli("export", "fashion-mnist-2x100", *arguments)
        assert code == 2 and "give --out FILE for an attack, or --onnx" in err
    code, _, err = bnnopt_cli("export", "fashion-mnist-2x100", "--onnx", "/nowhere/n.onnx")
    assert code == 2 and "does not exist" in err


@settings(max_examples=60)
@given(network=networks, seed=st.integers(0, 10**6), is_sparse=st.booleans())
def test_what_was_written_is_read_again_as_the_same_network(
    network: BinarizedNetwork, seed: int, is_sparse: bool
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        if is_sparse:
            patched.setattr(onnx_write, "SPARSE", 0)
        content = onnx_model(network).SerializeToString()
    again = read_onnx(content).network
    assert again.levels == network.levels
    images = images_of(network, seed)
    assert np.array_equal(again.logits(images), network.logits(images))


def test_a_file_of_ours_takes_pixels_from_0_to_1_only() -> None:
    network = bnnopt.load_network("fashion-mnist-2x100")
    content = onnx_model(network).SerializeToString()
    again = read_onnx(content).network
    assert all(a.is_dense for a in again.hidden)
    assert [w.tolist() for w in (a.threshold for a in again.hidden)] == [
        a.threshold.tolist() for a in network.hidden
    ]
    with pytest.raises(NetworkFormatError, match=r"takes pixels in \[0, 1\]"):
        read_onnx(content, input_range=(0, 255))

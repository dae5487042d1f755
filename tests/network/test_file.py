from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer, npz, zoo
from bnnopt.errors import NetworkFormatError
from bnnopt.network.unroll import conv2d, max_pool2d
from tests.helpers import random_image, random_network
from tests.network.cases import dense, mixed_network, seeds


def saved(tmp_path: Path) -> Path:
    network = random_network(5, inputs=6, widths=(7, 5, 3))
    described = BinarizedNetwork(
        network.hidden,
        network.output,
        network.levels,
        name="näme",
        dataset="mnist",
        input_shape=(2, 3),
        class_names=("a", "b", "ç"),
        accuracy=0.5,
        recipe={"seed": 3, "rate": 0.1},
    )
    path = tmp_path / "new folder" / "network ü.npz"
    described.save(path)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, changes: dict[str, bytes | None]) -> Path:
    kept = members(path) | changes
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in kept.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def metadata(path: Path, **changes: Any) -> bytes:
    text = np.load(io.BytesIO(members(path)["metadata.npy"]))
    content = json.loads(text.tobytes()) | changes
    return npy(np.frombuffer(json.dumps(content).encode(), dtype=np.uint8))


def test_a_saved_network_comes_back_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path)
    network, original = BinarizedNetwork.load(path), random_network(5, 6, (7, 5, 3))
    for ours, theirs in zip(network.hidden, original.hidden, strict=True):
        assert np.array_equal(ours.weight, theirs.weight)
        assert np.array_equal(ours.threshold, theirs.threshold)
    image = random_image(original, 1)
    assert np.array_equal(network.logits(image), original.logits(image))
    assert (network.name, network.dataset, network.input_shape) == ("näme", "mnist", (2, 3))
    assert (network.class_names, network.accuracy) == (("a", "b", "ç"), 0.5)
    assert network.recipe == {"seed": 3, "rate": 0.1}
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no temporary left


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(NetworkFormatError):
            BinarizedNetwork.load(path)


def test_a_flipped_byte_never_gives_another_network(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole, original = path.read_bytes(), BinarizedNetwork.load(path)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(bytes(damaged))
        try:
            network = BinarizedNetwork.load(path)
        except NetworkFormatError:
            continue
        for ours, theirs in zip(network.hidden, original.hidden, strict=True):
            assert np.array_equal(ours.weight, theirs.weight)
            assert np.array_equal(ours.threshold, theirs.threshold)


@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "n.npz"
    path.write_bytes(content)
    with pytest.raises(NetworkFormatError):
        BinarizedNetwork.load(path)


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was loaded",))


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path)
    rewrite(path, {"weight_1.npy": npy(np.array([Bomb()], dtype=object), allow_pickle=True)})
    with pytest.raises(NetworkFormatError):
        BinarizedNetwork.load(path)


def test_an_array_that_claims_a_huge_shape_is_refused_without_allocating(tmp_path: Path) -> None:
    path = saved(tmp_path)
    honest = npy(np.zeros(5, dtype=np.int64))
    lying = honest.replace(b"(5,)", b"(5000000000000,)").replace(b" " * 12 + b"\n", b"\n")
    assert len(lying) == len(honest)
    with pytest.raises(NetworkFormatError, match="declares"):
        BinarizedNetwork.load(rewrite(path, {"threshold_1.npy": lying}))


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnnopt.npz.MAX_FILE_BYTES", 10**5)
    path = rewrite(saved(tmp_path), {"extra.npy": npy(np.zeros(10**6, dtype=np.uint8))})
    assert path.stat().st_size < 10**5
    with pytest.raises(NetworkFormatError, match="more than"):
        BinarizedNetwork.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 3},
        {"format": "2"},
        {"format": 1},
        {"layers": []},
        {"layers": None},
        {"layers": [{"kind": "dense", "shape": [7, 6]}] * 3},
        {"layers": [{"kind": "dense", "shape": [10**9, 10**9]}] * 3},
        {"layers": [{"kind": "dense", "shape": [2**20, 2**20]}] * 3},
        {"layers": [{"kind": "dense", "shape": [7]}] * 3},
        {"layers": [{"kind": "dense"}] * 3},
        {"layers": [{"kind": "round", "shape": [7, 6]}] * 3},
        {"layers": [{"kind": "sparse", "shape": [7, 6]}] * 3},
        {"layers": "753"},
        {"output": None},
        {"output": {"kind": "dense", "shape": [4, 3]}},
        {"output": {"kind": "dense", "shape": [2.5, 3]}},
        {"output": {"kind": "real", "shape": [3, 3]}},
        {"levels": 0},
        {"levels": "255"},
        {"name": 3},
        {"class_names": [1, 2, 3]},
        {"class_names": "ab"},
        {"input_shape": [2, 2]},
        {"input_shape": None},
        {"accuracy": "high"},
        {"accuracy": 7},
        {"recipe": [1]},
    ],
)
def test_metadata_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = saved(tmp_path)
    with pytest.raises(NetworkFormatError):
        BinarizedNetwork.load(rewrite(path, {"metadata.npy": metadata(path, **changes)}))


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata.npy": None},
        {"metadata.npy": npy(np.frombuffer(b"{", dtype=np.uint8))},
        {"metadata.npy": npy(np.frombuffer(b"[]", dtype=np.uint8))},
        {"metadata.npy": npy(np.frombuffer(b"[" * 10**5, dtype=np.uint8))},
        {"weight_2.npy": None},
        {"weight_2.npy": npy(np.zeros(5, dtype=np.int64))},
        {"weight_2.npy": npy(np.zeros(4, dtype=np.uint8))},
        {"threshold_1.npy": npy(np.full(7, np.nan))},
        {"threshold_1.npy": npy(np.zeros((7, 1)))},
        {"threshold_1.npy": b"not an array"},
        {"output_scale.npy": npy(np.full(3, np.inf))},
        {"output_bias.npy": npy(np.array(["a", "b", "c"]))},
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, bytes | None]
) -> None:
    with pytest.raises(NetworkFormatError):
        BinarizedNetwork.load(rewrite(saved(tmp_path), changes))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(NetworkFormatError):
            BinarizedNetwork.load(path)


def rewritten(network: BinarizedNetwork, path: Path, **changes: bytes | None) -> Path:
    network.save(path)
    return rewrite(path, {f"{name}.npy": content for name, content in changes.items()})


@given(seed=seeds)
def test_every_kind_of_layer_comes_back_as_it_was_given(seed: int) -> None:
    network = mixed_network(seed)
    again = BinarizedNetwork.from_bytes(network.to_bytes())
    for ours, theirs in zip(again.hidden, network.hidden, strict=True):
        assert np.array_equal(dense(ours), dense(theirs))
        assert np.array_equal(ours.threshold, theirs.threshold)
        assert ours.output_shape == theirs.output_shape
        assert (ours.convolution is None) == (theirs.convolution is None)
        if ours.convolution and theirs.convolution:
            assert ours.convolution.kernel.dtype == theirs.convolution.kernel.dtype
            for name in ("input_shape", "stride", "padding", "dilation", "groups"):
                assert getattr(ours.convolution, name) == getattr(theirs.convolution, name)
    for name in ("weight", "scale", "bias"):
        assert np.array_equal(getattr(again.output, name), getattr(network.output, name))
        given_as = getattr(network.given[1], name)
        assert np.array_equal(getattr(again.given[1], name), given_as)
    assert again.to_bytes() == network.to_bytes()
    assert (again.input_shape, again.levels) == ((2, 5, 5), 255)


def test_a_file_holds_kernels_rather_than_rows() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.integers(-1, 2, (16, 8, 5, 5))
    layers = conv2d(kernel, 0, (8, 28, 28)), max_pool2d((16, 24, 24), 2)
    head = OutputLayer(rng.integers(-1, 2, (2, 16 * 144)), [1, 1], [0, 0])
    network = BinarizedNetwork(layers, head)
    nonzeros = sum(layer.magnitude.sum() for layer in layers)
    assert len(network.to_bytes()) < 200_000 < nonzeros


def test_a_layer_without_any_weight_comes_back() -> None:
    network = BinarizedNetwork(
        HiddenLayer(np.zeros((2, 3)), [0, 1]), OutputLayer([[1, -1]], [1], [0])
    )
    again = BinarizedNetwork.from_bytes(network.to_bytes())
    assert not dense(again.hidden[0]).any()
    assert again.logits([0.1, 0.2, 0.3]).tolist() == [2]


def test_a_file_of_the_first_edition_is_read() -> None:
    for name in ("mnist-3x100", "fashion-mnist-2x100"):
        content = zoo.file(name).read_bytes()
        assert npz.decode(content, name)[1]["format"] == 1
        network = BinarizedNetwork.from_bytes(content)
        again = BinarizedNetwork.from_bytes(network.to_bytes())
        assert npz.decode(network.to_bytes(), name)[1]["format"] == 2
        for ours, theirs in zip(again.given[0], network.given[0], strict=True):
            assert ours.is_dense and np.array_equal(dense(ours), dense(theirs))
            assert np.array_equal(ours.threshold, theirs.threshold)
        assert (again.name, again.accuracy) == (network.name, network.accuracy)
        assert (again.class_names, again.recipe) == (network.class_names, network.recipe)


SPARSE = 4
"""The sparse layer of `mixed_network`, of 6 neurons and 16 inputs."""


@pytest.mark.parametrize(
    "changes",
    [
        {"indices_4": lambda a: a + 16},
        {"indices_4": lambda a: a - 16},
        {"indices_4": lambda a: a[:-1]},
        {"indices_4": lambda a: a.astype(float) + 0.5},
        {"indices_4": lambda a: a.astype(np.int64) + 2**32},
        {"indices_4": lambda a: a[:, None]},
        {"indices_4": None},
        {"data_4": lambda a: a[:-1]},
        {"data_4": lambda a: a * np.nan},
        {"data_4": lambda a: a + 0.5},
        {"data_4": lambda a: np.full(a.shape, 2**15)},
        {"indptr_4": lambda a: a[:-1]},
        {"indptr_4": lambda a: a[::-1]},
        {"indptr_4": lambda a: a + 1},
        {"indptr_4": lambda a: a * 2},
        {"indptr_4": lambda a: a.astype(np.int64) * 2**40},
        {"indptr_4": lambda a: np.r_[a[:2], a[-1] + 5, a[3:]]},
        {"indptr_4": lambda a: np.r_[0, a]},
        {"threshold_4": lambda a: a[:-1]},
        {"kernel_2": lambda a: a[:-1]},
        {"kernel_2": lambda a: a[:, :1]},
        {"kernel_2": lambda a: a.ravel()},
        {"kernel_2": lambda a: a + 0.5},
        {"kernel_2": lambda a: np.tile(a, (1, 1, 3, 3))},
        {"kernel_2": None},
        {"threshold_2": lambda a: a[:-1]},
        {"output_weight": lambda a: a.T},
        {"output_weight": lambda a: a * np.inf},
        {"output_weight": lambda a: np.packbits(a > 0)},
        {"kernel_4": lambda _: np.ones((1, 1, 1, 1))},
        {"weight_2": lambda _: np.ones(1)},
    ],
)
def test_arrays_of_sparse_and_convolved_layers_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    network = mixed_network(1)
    arrays, _ = npz.decode(network.to_bytes(), "it")
    content = {
        name: None if change is None else npy(change(arrays.get(name, np.zeros(1))))
        for name, change in changes.items()
    }
    with pytest.raises(NetworkFormatError):
        BinarizedNetwork.load(rewritten(network, tmp_path / "n.npz", **content))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": None},
        {"kind": "dense"},
        {"input_shape": [2, 5]},
        {"input_shape": [2, 10**9, 10**9]},
        {"input_shape": [2, -5, -5]},
        {"input_shape": [4, 5, 0]},
        {"input_shape": "245"},
        {"stride": [0, 1]},
        {"stride": [1]},
        {"stride": 1},
        {"stride": [1.5, 1]},
        {"stride": [10**30, 1]},
        {"dilation": [10**9, 1]},
        {"dilation": [0, 0]},
        {"padding": [[10**9, 0], [0, 10**9]]},
        {"padding": [[10**5, 10**5], [10**5, 10**5]], "stride": [10**5, 10**5]},
        {"padding": [[-1, 1], [1, 1]]},
        {"padding": [1, 1]},
        {"padding": None},
        {"groups": 0},
        {"groups": 3},
        {"groups": 10**9},
        {"groups": "2"},
        {"groups": None},
    ],
)
def test_a_geometry_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    network = mixed_network(1)
    _, about = npz.decode(network.to_bytes(), "it")
    about["layers"][1] |= changes
    path = rewritten(network, tmp_path / "n.npz")
    with pytest.raises(NetworkFormatError):
        BinarizedNetwork.load(rewrite(path, {"metadata.npy": metadata(path, **about)}))


def test_a_small_kernel_that_stands_for_a_huge_matrix_is_refused_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = BinarizedNetwork(
        conv2d(np.ones((4, 4, 9, 9)), 0, (4, 9, 9)), OutputLayer(np.ones((1, 4)), [1], [0])
    )
    path = tmp_path / "n.npz"
    network.save(path)
    about = npz.decode(path.read_bytes(), "it")[1]["layers"]
    about[0]["input_shape"] = [4, 500, 500]  # 4 * 484^2 neurons of 324 inputs
    monkeypatch.setattr("bnnopt.network.convolution.Convolution.sums", pytest.fail)
    with pytest.raises(NetworkFormatError, match="at most"):
        BinarizedNetwork.load(rewrite(path, {"metadata.npy": metadata(path, layers=about)}))


def test_a_flipped_byte_of_any_kind_of_layer_never_gives_another_network(tmp_path: Path) -> None:
    network = mixed_network(2)
    network.save(tmp_path / "n.npz")
    whole = (tmp_path / "n.npz").read_bytes()
    for position in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 0x55
        try:
            again = BinarizedNetwork.from_bytes(bytes(damaged))
        except NetworkFormatError:
            continue
        for ours, theirs in zip(again.hidden, network.hidden, strict=True):
            assert np.array_equal(dense(ours), dense(theirs))
            assert np.array_equal(ours.threshold, theirs.threshold)


def test_a_network_that_no_file_would_hold_is_refused_when_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bnnopt.npz.MAX_FILE_BYTES", 1000)
    with pytest.raises(NetworkFormatError, match="at most 1000"):
        mixed_network(0).to_bytes()


@pytest.mark.parametrize(
    ("largest", "kind"), [(127, "int8"), (128, "int16"), (2.0**40, "float64"), (0.5, "float64")]
)
def test_whole_heads_are_kept_in_the_smallest_type(
    tmp_path: Path, largest: float, kind: str
) -> None:
    network = random_network(5, inputs=6, widths=(7, 5, 3))
    weight = np.array(network.output.weight, dtype=float)
    weight[0, 0] = largest
    head = OutputLayer(weight, network.output.scale, network.output.bias)
    path = tmp_path / "n.npz"
    BinarizedNetwork(network.hidden, head, network.levels).save(path)
    found = np.load(io.BytesIO(members(path)["output_weight.npy"]))
    assert found.dtype == kind
    assert np.array_equal(BinarizedNetwork.load(path).output.weight, weight)

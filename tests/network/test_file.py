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

from bnnopt import BinarizedNetwork
from bnnopt.errors import NetworkFormatError
from tests.helpers import random_image, random_network


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

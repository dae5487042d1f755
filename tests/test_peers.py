"""Readers of other formats say what the formats' own arithmetic says; the page shows them."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import peer_files, peer_networks
from benchmarks.peer_binary import resized
from bnnopt.errors import DataError

PAGE = Path(__file__).resolve().parents[1] / "docs/how-to/import-other-formats.md"
SHAPE, CLASSES = (3, 4), 3
WIDTHS = (7, 5)


def sign(values: np.ndarray) -> np.ndarray:
    return np.where(values >= 0, 1.0, -1.0)


def blocks(seed: int) -> tuple[list[dict[str, np.ndarray]], np.ndarray, np.ndarray]:
    """Random layers with biases and norms, some of gamma below 0, and a head."""
    rng, found, fan_in = np.random.default_rng(seed), [], 12
    for width in WIDTHS:
        parts = {name: rng.normal(size=width) for name in ("bias", "gamma", "beta", "mean")}
        parts |= {"weight": rng.uniform(-1, 1, (width, fan_in)), "var": rng.uniform(0.1, 2, width)}
        found.append({name: values.astype(np.float32) for name, values in parts.items()})
        fan_in = width
    head = rng.uniform(-1, 1, (CLASSES, fan_in)).astype(np.float32)
    return found, head, rng.normal(size=CLASSES).astype(np.float32)


def normed(values: Any, gamma: Any, beta: Any, mean: Any, var: Any, eps: float) -> Any:
    wide = [np.asarray(part, dtype=np.float64) for part in (gamma, beta, mean, var)]
    return wide[0] * (values - wide[2]) / np.sqrt(wide[3] + eps) + wide[1]


def logits(x: np.ndarray, parts: Any, eps: float) -> np.ndarray:
    """Of inputs of ±1, as the frameworks compute them, in float64."""
    layers, head, bias = parts
    for layer in layers:
        sums = x @ np.sign(layer["weight"]).T.astype(np.float64) + layer["bias"]
        order = ("gamma", "beta", "mean", "var")
        x = sign(normed(sums, *(layer[name] for name in order), eps))
    return x @ np.sign(head).T.astype(np.float64) + bias.astype(np.float64)


def images() -> np.ndarray:
    return np.random.default_rng(9).integers(0, 256, (200, *SHAPE), dtype=np.uint8)


def pixels() -> np.ndarray:
    return images().reshape(200, -1) / 255


@pytest.mark.parametrize("seed", range(4))
def test_chainers_arrays(seed: int, tmp_path: Path) -> None:
    rng, parts = np.random.default_rng(seed), blocks(seed)
    first = {
        "gamma": rng.choice([-1.0, 1.0], 12) * rng.uniform(0.5, 2, 12),
        "beta": rng.normal(size=12) * 0.3,
        "avg_mean": rng.uniform(0, 1, 12),
        "avg_var": rng.uniform(0, 0.1, 12),
    }
    arrays = {f"input_bn/{name}": values.astype(np.float32) for name, values in first.items()}
    for number, layer in enumerate(parts[0]):
        block = f"blocks/{number}"
        arrays |= {f"{block}/lin/W": layer["weight"], f"{block}/lin/b": layer["bias"]}
        arrays |= {f"{block}/bn/{name}": layer[name] for name in ("gamma", "beta")}
        arrays |= {f"{block}/bn/avg_{name}": layer[name] for name in ("mean", "var")}
    arrays |= {"output_lin/W": parts[1], "output_lin/b": parts[2]}
    np.savez(tmp_path / "model.npz", **arrays)
    network = peer_networks.from_chainer(tmp_path / "model.npz", SHAPE)
    order = ("gamma", "beta", "avg_mean", "avg_var")
    x = sign(normed(pixels(), *(arrays[f"input_bn/{name}"] for name in order), 2e-5))
    assert len(np.unique(x, axis=0)) > 20
    assert np.allclose(network.logits(images()), logits(x, parts, 2e-5), atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_torchs_state_dict(seed: int, tmp_path: Path) -> None:
    parts, state = blocks(seed), {}
    if seed % 2:
        parts[1][:, ::2] = 0.0
    names = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
    for number, layer in enumerate(parts[0], start=1):
        state |= {f"fc{number}.{name}": layer[name] for name in ("weight", "bias")}
        state |= {f"bn{number}.{own}": layer[name] for name, own in names.items()}
    state |= {"fc5.weight": parts[1], "fc5.bias": parts[2]}
    torch.save({n: torch.tensor(values) for n, values in state.items()}, tmp_path / "model.pt")
    network = peer_networks.from_state_dict(tmp_path / "model.pt", SHAPE, "0.4")
    assert np.allclose(
        network.logits(images()), logits(sign(pixels() - 0.4), parts, 1e-5), atol=1e-6
    )


@pytest.mark.parametrize("seed", range(4))
def test_csv_files(seed: int, tmp_path: Path) -> None:
    parts = blocks(seed)
    names = {"bias": "lin_bias", "gamma": "bn_weight", "beta": "bn_bias"}
    names |= {"mean": "bn_mean", "var": "bn_var"}
    for number, layer in enumerate(parts[0], start=1):
        folder = tmp_path / f"blk{number}"
        folder.mkdir()
        np.savetxt(folder / "lin_weight.csv", np.sign(layer["weight"]), delimiter=",")
        for name, file in names.items():
            np.savetxt(folder / f"{file}.csv", layer[name][None].astype(float), delimiter=",")
    (tmp_path / "out_blk").mkdir()
    np.savetxt(tmp_path / "out_blk/lin_weight.csv", np.sign(parts[1]), delimiter=",")
    np.savetxt(tmp_path / "out_blk/lin_bias.csv", parts[2][None].astype(float), delimiter=",")
    network = peer_networks.from_csv(tmp_path, SHAPE, "0.4")
    assert np.allclose(
        network.logits(images()), logits(sign(pixels() - 0.4), parts, 1e-5), atol=1e-6
    )


def test_the_page_shows_the_readers_that_the_benchmarks_use() -> None:
    page = PAGE.read_text()
    for name in ("linear_head", *peer_networks.__all__):
        assert inspect.getsource(getattr(peer_networks, name)) in page


def test_images_are_resized_to_whole_levels_and_kept_where_they_fit() -> None:
    whole = np.full((2, 28, 28), 200, dtype=np.uint8)
    assert resized(whole, 28) is whole
    small = resized(whole, 10)
    assert (small.shape, small.dtype) == ((2, 10, 10), np.uint8)
    assert (small == 200).all()


def test_a_file_is_found_where_the_user_has_it_and_is_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"weights"
    source = {
        "repository": "nobody/nothing",
        "commit": "0",
        "folders": {"all": "there/"},
        "files": {
            name: hashlib.sha256(content).hexdigest()
            for name in ("a.pt", "net/b.csv", "net/in/c.csv")
        },
    }
    monkeypatch.setattr(peer_files, "_catalog", lambda: {"suite": source})
    monkeypatch.setenv("BNNOPT_PEERS", str(tmp_path))
    for name in source["files"]:
        path = tmp_path / "suite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        assert peer_files.locate("suite", name) == path
    assert peer_files.locate_folder("suite", "net") == tmp_path / "suite/net"
    (tmp_path / "suite/a.pt").write_bytes(b"others")
    with pytest.raises(DataError, match="not the published file"):
        peer_files.locate("suite", "a.pt")


def test_the_catalog_names_for_each_file_a_hash_and_where_it_comes_from() -> None:
    for suite, source in peer_files._catalog().items():
        assert "/" in source["repository"], suite
        assert all(len(digest) == 64 for digest in source["files"].values())
        kinds = {Path(name).suffix for name in source["files"]}
        assert "all" in source["folders"] or kinds <= set(source["folders"])

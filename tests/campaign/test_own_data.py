from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bnnopt
from bnnopt.campaign.cell import Cell
from bnnopt.campaign.check import check_store
from bnnopt.campaign.spec import load_spec, parse_spec
from bnnopt.campaign.store import Store
from bnnopt.errors import InputError
from tests.own_images import images_for, network_of_images, saved

SPEC = """
networks = ["{network}"]
data = "{data}"
images = ":"
epsilons = ["{epsilon}"]
time_limit = 60

[[methods]]
method = "verify"

[[methods]]
method = "pattern"
"""

KINDS: dict[str, tuple[int, tuple[int, int, int]]] = {
    "grey of 16 levels": (15, (1, 4, 4)),
    "colour of 256 levels": (255, (3, 4, 4)),
    "colour of 1024 levels": (1023, (3, 4, 4)),
}


def write_spec(folder: Path, epsilon: str = "1/15", data: str = "own.npz") -> Path:
    path = folder / "own.toml"
    path.write_text(SPEC.format(network="net.npz", data=data, epsilon=epsilon))
    return path


def complaints(path: Path) -> list[str]:
    with Store(path) as opened:
        return [complaint for _, found in check_store(opened) for complaint in found]


def records(path: Path, attack: str) -> list[dict[str, Any]]:
    with Store(path) as opened:
        return [json.loads(row.record or "") for row in opened.rows() if row.attack == attack]


def change(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement, values).rowcount != 0


@pytest.mark.parametrize("as_values", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_images_of_any_shape_and_levels_are_attacked_and_certified_as_in_one_call(
    kind: str, as_values: bool, tmp_path: Path, bnnopt_cli: Any
) -> None:
    levels, shape = KINDS[kind]
    network = network_of_images(levels, shape)
    _, data = saved(tmp_path, network, 4, wrong=1)
    images, labels = images_for(network, 4, wrong=1)
    if as_values:
        np.savez(data, images=(images / levels).astype(np.float32), labels=labels)
    epsilon, store = f"{max(levels // 40, 1)}/{levels}", tmp_path / "store"
    run = ("campaign", "run", str(write_spec(tmp_path, epsilon)), "--store", str(store))
    assert bnnopt_cli(*run)[0] == 0
    report = bnnopt.certify_images(network, images, epsilon, labels=labels.tolist())
    certified = records(store, "verify")
    verdicts = {"infeasible": "robust", "optimal": "vulnerable"}
    assert [verdicts[r["status"]] for r in certified] == [c.verdict.value for c in report]
    assert [r["label"] for r in certified] == labels.tolist()
    code, out, _ = bnnopt_cli("campaign", "status", str(store), "--json")
    assert code == 0
    share = json.loads(out)["attacks"][0]["certified"] / 4
    assert share == report.certified_accuracy
    assert complaints(store) == []
    assert bnnopt_cli(*run)[0] == 0  # nothing is left to do
    with Store(store) as opened:
        assert {row.attempts for row in opened.rows()} == {1}


def keys(spec: Path) -> set[str]:
    return {planned.cell.key for planned in load_spec(spec).cells()}


def test_cells_follow_the_pixels_and_labels_and_not_the_file(tmp_path: Path) -> None:
    network = network_of_images(15)
    saved(tmp_path, network)
    images, labels = images_for(network, 6)
    first = keys(write_spec(tmp_path))
    np.savez_compressed(tmp_path / "renamed.npz", labels=labels, images=images)
    assert keys(write_spec(tmp_path, data="renamed.npz")) == first
    np.savez(tmp_path / "own.npz", images=images[:, :, ::-1], labels=labels)
    assert not keys(write_spec(tmp_path)) & first
    np.savez(tmp_path / "own.npz", images=images, labels=np.roll(labels, 1))
    assert np.any(np.roll(labels, 1) != labels)
    assert not keys(write_spec(tmp_path)) & first


def test_a_changed_file_is_told_of_and_its_images_are_cells_of_their_own(
    tmp_path: Path, bnnopt_cli: Any
) -> None:
    network = network_of_images(15)
    saved(tmp_path, network, 2)
    spec, store = write_spec(tmp_path), tmp_path / "store"
    run = ("campaign", "run", str(spec), "--store", str(store))
    code, out, err = bnnopt_cli(*run)
    assert code == 0
    assert out.startswith("4 cells: 4 done")
    assert "earlier run" not in err
    saved(tmp_path, network, 3, seed=1)
    code, out, err = bnnopt_cli(*run)
    assert code == 0
    assert out.startswith("6 cells: 6 done")
    assert "own.npz is not what it was in an earlier run on this store" in err
    assert complaints(store) == []
    table = tmp_path / "cells.csv"
    assert bnnopt_cli("campaign", "export", str(store), "--out", str(table))[0] == 0
    counts = pd.read_csv(table)["dataset"].value_counts()
    assert sorted(counts) == [4, 6]
    assert all(name.startswith("own@") for name in counts.index)


DAMAGE = {
    "UPDATE images SET pixels = zeroblob(48) WHERE image = 1": "image 1 is not the one that was",
    "UPDATE images SET label = label + 1 WHERE image = 1": "image 1 is not the one that was",
    "UPDATE data SET type = '<u2'": "image 0 is not the one that was",
    "UPDATE data SET type = 'object'": "image 0 is not as it was stored",
    "UPDATE data SET digests = zeroblob(64)": "the digests are not those of what was attacked",
    "UPDATE data SET digests = 'text'": "its data are not as they were stored",
    "UPDATE images SET pixels = 'text' WHERE image = 1": "image 1 is not as it was stored",
    "DELETE FROM data": "it lacks ('sha256:",
    "DROP TABLE data": "no such table",
}


@pytest.mark.parametrize("statement", DAMAGE)
def test_a_check_finds_images_that_are_not_those_that_were_attacked(
    statement: str, tmp_path: Path, bnnopt_cli: Any
) -> None:
    saved(tmp_path, network_of_images(15), 2)
    spec, store = write_spec(tmp_path), tmp_path / "store"
    assert bnnopt_cli("campaign", "run", str(spec), "--store", str(store))[0] == 0
    assert complaints(store) == []
    change(store, statement)
    assert any(DAMAGE[statement] in complaint for complaint in complaints(store))
    assert bnnopt_cli("campaign", "check", str(store))[0] == 1


GOOD = images_for(network_of_images(15), 2)
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"images": GOOD[0]}, "data: {file} has no array 'labels'"),
    "no images": ({"labels": GOOD[1]}, "data: {file} has no array 'images'"),
    "another shape": (
        {"images": np.moveaxis(GOOD[0], 1, -1), "labels": GOOD[1]},
        "data: image 0 for of-15: an image of this network has shape (3, 4, 4)",
    ),
    "more levels": (
        {"images": GOOD[0] * np.uint8(17), "labels": GOOD[1]},
        "whole numbers must be levels 0 to 15",
    ),
    "no numbers": (
        {"images": np.full((2, 3, 4, 4), np.nan), "labels": GOOD[1]},
        "data: image 0 for of-15: pixel values must lie in [0, 1], not NaN",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_data_that_a_network_does_not_take_is_told_before_anything_runs(
    mistake: str, tmp_path: Path
) -> None:
    saved(tmp_path, network_of_images(15), 2)
    arrays, message = MISTAKES[mistake]
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(InputError) as complaint:
        load_spec(write_spec(tmp_path))
    assert message.format(file=tmp_path / "own.npz") in str(complaint.value)
    assert str(complaint.value).startswith("own.toml: data: ")


def test_a_missing_file_and_an_index_beyond_the_images_are_told(tmp_path: Path) -> None:
    saved(tmp_path, network_of_images(15), 2)
    with pytest.raises(InputError, match=r"own\.toml: data: .*none\.npz does not exist"):
        load_spec(write_spec(tmp_path, data="none.npz"))
    spec = write_spec(tmp_path)
    spec.write_text(spec.read_text().replace('images = ":"', 'images = "1:3"'))
    with pytest.raises(InputError, match="images: image 2 does not exist"):
        load_spec(spec)


def test_a_data_set_s_name_is_for_networks_that_name_none(tmp_path: Path) -> None:
    bare = bnnopt.load_network("fashion-mnist-2x100")
    bnnopt.to_onnx(bare, tmp_path / "net.onnx")
    text = SPEC.format(network="net.onnx", data="fashion-mnist", epsilon="0.01")
    spec = parse_spec(text.replace('":"', '"0:2"'), folder=tmp_path)
    (name,) = spec.images_by_dataset()
    assert name == "fashion-mnist"
    assert all(Cell.from_definition(p.cell.definition).dataset == name for p in spec.cells())


def test_a_store_without_images_of_a_file_stays_one_of_the_first_version(
    tmp_path: Path, bnnopt_cli: Any
) -> None:
    saved(tmp_path, network_of_images(15), 1)
    named = tmp_path / "named.toml"
    named.write_text(
        'networks = ["fashion-mnist-2x100"]\nimages = "0"\nepsilons = [0.0]\n'
        '[[methods]]\nmethod = "pattern"\n'
    )
    store = tmp_path / "store"
    for spec, version in ((named, 1), (write_spec(tmp_path), 2)):
        assert bnnopt_cli("campaign", "run", str(spec), "--store", str(store))[0] == 0
        with sqlite3.connect(store) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (version,)
        assert complaints(store) == []

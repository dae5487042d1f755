"""Networks and images of other levels than 255, through everything that a command does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt.errors import InputError
from tests.own_images import images_for, network_of_images, saved

SPEC = """
networks = ["net.npz"]
data = "own.npz"
images = ":"
epsilons = ["{epsilon}"]
time_limit = 60
target = "untargeted"

[[methods]]
method = "milp"
"""

LEVELS = {1: 1, 15: 2, 1023: 60}
"""How far a pixel may move, in levels, for each number of them."""


@pytest.mark.parametrize("levels", LEVELS)
def test_attacks_and_verdicts_are_those_of_the_network_s_levels(
    levels: int, tmp_path: Path, bnnopt_cli: Any
) -> None:
    network = network_of_images(levels)
    net, data = map(str, saved(tmp_path, network, 5))
    if levels == 1:  # of whole numbers 0 and 1 nobody knows what they mean
        images, labels = images_for(network, 5)
        np.savez(data, images=images.astype(np.float32), labels=labels)
    found, figure, lines = (str(tmp_path / name) for name in ("found.npz", "a.png", "a.jsonl"))
    question = ("--data", data, "--images", ":", "--epsilon", f"{LEVELS[levels]}/{levels}")
    written = ("--save-images", found, "--json", lines)
    attack = (*question, "--domain", "pixels", "--target", "untargeted", "--figure", figure)
    assert bnnopt_cli("attack", net, *attack, *written)[0] == 0
    assert Path(figure).stat().st_size > 1000
    records = [json.loads(line) for line in Path(lines).read_text().splitlines()]
    flips = [record for record in records if record["flipped"]]
    assert flips
    assert all(record["verified"] for record in records)
    first = read_back(found, network, flips)
    assert np.array_equal(first * levels, np.rint(first * levels))
    assert bnnopt_cli("verify", net, *question, *written)[0] == 0
    verdicts = [json.loads(line) for line in Path(lines).read_text().splitlines()]
    read_back(found, network, [v for v in verdicts if v["verdict"] == "vulnerable"])


def read_back(path: str, network: bnnopt.BinarizedNetwork, flips: list[Any]) -> Any:
    """The saved images, which are classified as the records say."""
    saved_images = bnnopt.datasets.read_images(path)
    x = saved_images.x()
    assert saved_images.labels is not None
    assert [int(label) for label in saved_images.labels] == [flip["label"] for flip in flips]
    assert (network.predict(x) != saved_images.labels).all()
    return x


@pytest.mark.parametrize("levels", [15, 1023])
def test_a_campaign_and_its_figures_take_them(levels: int, tmp_path: Path, bnnopt_cli: Any) -> None:
    saved(tmp_path, network_of_images(levels), 3)
    spec, store = tmp_path / "own.toml", str(tmp_path / "store")
    spec.write_text(SPEC.format(epsilon=f"{LEVELS[levels]}/{levels}"))
    assert bnnopt_cli("campaign", "run", str(spec), "--store", store)[0] == 0
    code, out, _ = bnnopt_cli("campaign", "check", store)
    assert code == 0
    assert out.startswith("3 results replayed: no mismatch")
    code, out, _ = bnnopt_cli("campaign", "report", store, "--out", str(tmp_path / "report"))
    assert code == 0
    assert "own" in Path(out.strip()).read_text()


def test_a_file_of_another_program_is_read_with_the_levels_that_are_given(
    tmp_path: Path, bnnopt_cli: Any
) -> None:
    network = network_of_images(15)
    _, data = saved(tmp_path, network, 3)
    onnx = pytest.importorskip("onnx")
    bnnopt.to_onnx(network, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    del model.metadata_props[:]  # as another program writes it, which says no levels
    onnx.save(model, tmp_path / "net.onnx")
    out = str(tmp_path / "read.npz")
    imported = ("import", str(tmp_path / "net.onnx"), "--levels", "15", "--out", out)
    code, said, _ = bnnopt_cli(*imported, "--data", str(data))
    assert code == 0
    assert "3 of 3 images" in said
    read = bnnopt.load_network(out)
    assert read.levels == 15
    images, _ = images_for(network, 3)
    assert np.array_equal(read.logits(images), network.logits(images))


def test_a_remedy_speaks_of_the_network_s_own_levels() -> None:
    network = network_of_images(15)
    images, _ = images_for(network, 1)
    with pytest.raises(InputError, match='for 3 levels of 15 write "3/15"'):
        bnnopt.attack(network, images[0], 3)
    with pytest.raises(InputError, match=r"divide by 1023, or give whole numbers \(uint16\)"):
        network_of_images(1023).predict(images[0] * 70.0)

"""``bnnopt train``: what its options make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt import datasets

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded 100 images serve as training and as test set."""
    monkeypatch.setattr(datasets, "load", lambda name, split: datasets.embedded())


COMMON = ("train", "--dataset", "fashion-mnist", "--epochs", "2", "--device", "cpu")


def test_options_make_the_recipe_that_the_file_says(bnnopt_cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    layers = ("--conv", "4,5,2", "--conv", "6,3,2", "--width", "12,8", "--dead-zone", "0.02")
    bits = ("--input", "cuts:2", "--cuts", "0.2, 1/3", "--learn-cuts")
    attacks = ("--robust", "0.1", "--attack-steps", "2", "--ramp", "0.5", "--held-out", "20")
    rest = ("--batch-size", "20", "--learning-rate", "0.01", "--seed", "4", "--title", "mine")
    code, out, _ = bnnopt_cli(*COMMON, *layers, *bits, *attacks, *rest, "--out", str(path))
    assert (code, str(path) in out) == (0, True)
    network = bnnopt.BinarizedNetwork.load(path)
    assert network.name == "mine"
    shapes = [layer.output_shape for layer in network.hidden]
    assert shapes == [(2, 28, 28), (4, 14, 14), (6, 7, 7), (12,), (8,)]
    said = {key: value for key, value in network.recipe.items() if key not in ("seconds", "torch")}
    assert said == {
        "dataset": "fashion-mnist",
        "depth": 2,
        "width": [12, 8],
        "head": "integer",
        "epochs": 2,
        "batch_size": 20,
        "learning_rate": 0.01,
        "seed": 4,
        "input": "cuts:2",
        "cuts": ["0.2", "1/3"],
        "learn_cuts": True,
        "convolutions": [[4, 5, 2], [6, 3, 2]],
        "dead_zone": 0.02,
        "robust": "0.1",
        "attack_steps": 2,
        "ramp": 0.5,
        "held_out": 20,
        "title": "mine",
        "accuracy_float": network.accuracy,
        "device": "cpu",
    }


def test_a_width_for_all_layers_and_widths_one_by_one(bnnopt_cli: Any, tmp_path: Path) -> None:
    for options, widths in {
        ("--width", "9"): (9, 9),
        ("--width", "9", "--depth", "1"): (9,),
        ("--width", "9,5,4"): (9, 5, 4),
        ("--conv", "2,5,3", "--depth", "0"): (200,),
    }.items():
        path = tmp_path / "net.npz"
        code, _, err = bnnopt_cli(*COMMON, *options, "--out", str(path))
        assert (code, err.count("Error")) == (0, 0)
        assert bnnopt.BinarizedNetwork.load(path).widths == widths


def test_a_recipe_trains_a_shipped_network_anew(
    bnnopt_cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bnnopt.training import Recipe, zoo

    short = Recipe("fashion-mnist", 1, 5, epochs=1, input="binary", robust="0.1", title="short")
    monkeypatch.setattr(zoo, "ROBUST_RECIPES", (short,))
    monkeypatch.chdir(tmp_path)
    code, out, _ = bnnopt_cli("train", "--recipe", "short", "--device", "cpu")
    assert (code, out.startswith("short.npz: ")) == (0, True)
    network = bnnopt.BinarizedNetwork.load(tmp_path / "short.npz")
    assert short.as_dict().items() <= dict(network.recipe).items()
    assert np.array_equal(network.hidden[0].threshold, np.full(784, 255))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--width", "10,x"), "--width '10,x' must be whole numbers, such as 100 or 500,200"),
        (("--conv", "16x5"), "--conv '16x5' must be whole numbers, such as 16,5,2"),
        (("--conv", "16,5"), "a convolution is (channels, side, stride)"),
        (("--width", "10,20", "--depth", "3"), "2 numbers for a depth of 3"),
        (("--input", "binry"), "did you mean 'binary'"),
        (("--cuts", "0.5"), "give input 'binary' for one"),
        (("--robust", "1.5"), "robust"),
        (("--recipe", "mnist-2x10"), "did you mean 'mnist-2x100'"),
        (("--recipe", "mnist-2x100", "--input", "binary"), "leave out --input"),
        (("--recipe", "mnist-2x100", "--learning-rate", "1"), "leave out --learning-rate"),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_is_right(
    options: tuple[str, ...], message: str, bnnopt_cli: Any
) -> None:
    code, _, err = bnnopt_cli("train", *options)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1

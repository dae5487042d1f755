"""One is singular wherever a count is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt.counts import counted
from bnnopt.datasets.indexed import Images
from bnnopt.exchange.comparison.agreement import Agreement

NETWORK = "fashion-mnist-2x100"


@pytest.mark.parametrize(
    ("count", "thing", "text"),
    [
        (1, "image", "1 image"),
        (0, "image", "0 images"),
        (2, "more row", "2 more rows"),
        (1, "class", "1 class"),
        (10, "class", "10 classes"),
        (2, "mismatch", "2 mismatches"),
    ],
)
def test_a_noun_is_plural_unless_there_is_one(count: int, thing: str, text: str) -> None:
    assert counted(count, thing) == text


def test_commands_on_one_image_count_one(bnnopt_cli: Any, tmp_path: Path) -> None:
    one = ("--images", "1", "--epsilon", "0.001")
    assert "\n1 attack: 0 flipped" in bnnopt_cli("attack", NETWORK, *one)[1]
    assert "\n1 image: 1 robust" in bnnopt_cli("verify", NETWORK, *one)[1]
    file = str(tmp_path / "asked.vnnlib")
    said = bnnopt_cli("export", NETWORK, "--target", "3", "--out", file)[1]
    assert "784 inputs, 1 class to flip to" in said


def test_a_campaign_of_one_cell_counts_one(bnnopt_cli: Any, tmp_path: Path) -> None:
    spec, store = tmp_path / "one.toml", str(tmp_path / "one.db")
    spec.write_text(
        f'networks = ["{NETWORK}"]\nimages = "1"\nepsilons = [0.001]\n'
        '[[methods]]\nmethod = "pattern"\ntime_limit = 5\n'
    )
    assert "\n1 cell, at most" in bnnopt_cli("campaign", "run", str(spec), "--dry-run")[1]
    assert "1 cell: 1 done" in bnnopt_cli("campaign", "run", str(spec), "--store", store)[1]
    assert "1 result replayed: no mismatch" in bnnopt_cli("campaign", "check", store)[1]
    assert "0 cells unfinished" in bnnopt_cli("campaign", "status", store)[1]
    table = str(tmp_path / "cells.csv")
    assert bnnopt_cli("campaign", "export", store, "--out", table)[1].endswith(": 1 row\n")


def test_representations_count_one() -> None:
    assert "1 image of 2x2" in repr(Images("mine", np.zeros((1, 2, 2)), None))
    assert str(Agreement(1, 1, 0, 0)) == "1 neuron is that of the file on 1 image"
    assert "1 input," in repr(bnnopt.HiddenLayer([[1], [-1]], [0, 0]))
    bracket = bnnopt.bracket_epsilon(NETWORK, np.zeros((28, 28)), 1e-5, tolerance=1e-5)
    assert repr(bracket).endswith(", 1 verdict)") == (len(bracket.certificates) == 1)

"""Published models are what they are said to be."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import highspy
import pytest

from benchmarks.grid.models import MODELS
from benchmarks.instance_set import ABOUT, COLUMNS, TABLE, Member, generate, members
from bnnopt.zoo import NAMES, ROBUST

TINY = [
    Member("fashion-mnist-2x100", 0, 0.001, "tight"),
    Member("fashion-mnist-2x100", 1, 0.001, "(9)"),
]


def optimum(path: Path) -> float:
    """By HiGHS's own reader, of a maximisation."""
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    assert highs.readModel(str(path)) == highspy.HighsStatus.kOk
    assert highs.getLp().sense_ == highspy.ObjSense.kMaximize
    highs.run()
    assert highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(highs.getInfo().objective_function_value)


def test_there_are_100_files_of_every_network_and_model() -> None:
    found = members()
    assert len(found) == len({member.name for member in found}) == 100
    assert {member.network for member in found} == set(NAMES) - set(ROBUST)
    assert set(Counter(member.model for member in found)) == set(MODELS)
    assert len({member.epsilon for member in found}) >= 4
    assert len({member.image for member in found}) == 10


def test_files_read_back_have_the_optimum_and_sizes_said_and_are_the_same_again(
    tmp_path: Path,
) -> None:
    rows = generate(TINY, tmp_path)
    for row in rows:
        path = tmp_path / f"{row['name']}.mps"
        assert row["status"] == "easy"
        assert optimum(path) == pytest.approx(row["optimum"]) == row["best_known"]
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        reader = highspy.Highs()
        reader.setOptionValue("output_flag", False)
        reader.readModel(str(path))
        sizes = reader.getNumRow(), reader.getNumCol(), reader.getNumNz()
        assert sizes == (row["rows"], row["columns"], row["nonzeros"])
    tight = rows[0]
    assert tight["network_optimum"] == tight["optimum"]
    assert generate(TINY, tmp_path / "again") == rows
    about = json.loads((tmp_path / ABOUT).read_text())
    assert about["instances"] == rows and about["columns"] == COLUMNS
    with open(tmp_path / TABLE, newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [row["name"] for row in table] == [row["name"] for row in rows]
    assert list(table[0]) == list(COLUMNS)


def test_a_set_goes_on_with_files_that_are_as_they_were_and_writes_changed_ones_again(
    tmp_path: Path,
) -> None:
    first, second = TINY
    (before,) = generate([first], tmp_path)
    path = tmp_path / f"{before['name']}.mps"
    content = path.read_bytes()
    path.write_bytes(content + b"* changed\n")
    rows = generate([first], tmp_path)
    assert rows == [before] and path.read_bytes() == content
    stamp = path.stat().st_mtime_ns
    assert [row["name"] for row in generate(TINY, tmp_path)] == [first.name, second.name]
    assert path.stat().st_mtime_ns == stamp

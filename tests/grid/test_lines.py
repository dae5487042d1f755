"""Lines are kept whole, whatever happens, and read as they were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.grid import lines
from benchmarks.grid.work import short_trace
from bnnopt.errors import InputError


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    written = [{"key": "a", "seconds": 1.5}, {"key": "b", "trace": [[0.1, -3]]}]
    for line in written:
        lines.append(tmp_path / "grid", "ours", line)
    assert list(lines.read_stage(tmp_path / "grid", "ours")) == written
    assert lines.read(tmp_path / "grid", ["ours", "milp"]) == {"a": written[0], "b": written[1]}


def test_a_line_that_a_crash_cut_off_is_no_line_and_the_next_one_is_whole(tmp_path: Path) -> None:
    lines.append(tmp_path, "ours", {"key": "a"})
    with open(tmp_path / "ours.jsonl", "a") as stream:
        stream.write('{"key":"b","secon')
    assert list(lines.read(tmp_path, ["ours"])) == ["a"]
    lines.mend(tmp_path)
    lines.append(tmp_path, "ours", {"key": "c"})
    assert list(lines.read(tmp_path, ["ours"])) == ["a", "c"]


def test_of_two_machines_lines_of_a_cell_the_first_counts(tmp_path: Path) -> None:
    lines.append(tmp_path, "ours", {"key": "a", "machine": 1})
    lines.append(tmp_path, "ours", {"key": "a", "machine": 2})
    assert lines.read(tmp_path, ["ours"])["a"]["machine"] == 1


@pytest.mark.parametrize("text", ["<<<<<<< ours", "[]", "{}", "3"])
def test_what_is_no_cells_line_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "ours.jsonl").write_text(f'{{"key":"a"}}\n{text}\n')
    with pytest.raises(InputError, match=r"ours\.jsonl: line 2 is not a cell's"):
        lines.read(tmp_path, ["ours"])


def test_conditions_are_noted_once_and_by_what_they_are(tmp_path: Path) -> None:
    here, there = {"processor": "a", "versions": "1"}, {"processor": "a", "versions": "2"}
    keys = [lines.enter(tmp_path, each) for each in (here, there, here)]
    assert keys[0] == keys[2] != keys[1]
    noted = list(lines.read_stage(tmp_path, lines.CONDITIONS))
    assert noted == [{"key": keys[0]} | here, {"key": keys[1]} | there]


def test_a_short_trace_is_never_above_the_whole_one_and_ends_with_it() -> None:
    whole = [[0.0, -9.0], [1.0, -8.0], [1.2, -7.0], [1.4, -6.0], [4.0, -5.0], [5.0, -3.0]]
    short = short_trace(whole)
    assert short == [[0.0, -9], [1.4, -6], [5.0, -3]]
    assert all(isinstance(value, int) for _, value in short)
    assert short_trace([]) == []

"""The page of the benchmarks is what their results say."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.page import PAGE, page
from benchmarks.record import write


def test_the_committed_page_is_made_of_the_committed_results() -> None:
    assert PAGE.read_text() == page()


def test_a_section_has_command_conditions_and_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/speed.py", "--images", "0:2 5"])
    rows = [
        {"network": "2x100", "seconds": 1.23456, "runs": [1.2, 1.3]},
        {"network": "2x200", "seconds": float("nan"), "runs": []},
        {"network": "2x300", "seconds": None, "flips": 3},
    ]
    arguments = Namespace(images="0:2 5", limit=60.0, out=tmp_path)
    write(tmp_path / "speed.json", "One beside the other.", arguments, rows, [{"image": 0}])
    written = page(tmp_path).partition("## speed\n")[2]
    assert "One beside the other.\n" in written
    assert "$ python benchmarks/speed.py --images '0:2 5'\n" in written
    assert "- arguments: images 0:2 5, limit 60.0\n" in written
    assert "- versions: python " in written
    table = [line for line in written.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[0] == ["network", "seconds", "flips"]
    assert cells[2:] == [["2x100", "1.235", ""], ["2x200", "-", ""], ["2x300", "-", "3"]]
    assert json.loads((tmp_path / "speed.json").read_text())["records"] == [{"image": 0}]


def test_sections_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "c", "a"):
        write(tmp_path / f"{name}.json", "Title.", Namespace(), [{"seconds": 1}])
    headings = [line for line in page(tmp_path).splitlines() if line.startswith("## ")]
    assert headings == ["## a", "## b", "## c"]

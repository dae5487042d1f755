"""The page of the benchmarks is what their results say."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import formulations, ladder
from benchmarks.page import PAGE, page
from benchmarks.record import code, write
from bnnopt import datasets
from bnnopt.attacks import deadline
from tests.pages import ROOT


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


def test_the_formulations_benchmark_counts_proofs_and_does_not_repeat_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "formulations.json"
    options = ["--epsilons", "0.001", "--images", "0:2", "--time-limit", "30", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["formulations.py", *options])
    formulations.main()
    content = json.loads(out.read_text())
    paper, tight = content["summary"]
    assert [r["formulation"] for r in content["records"]] == ["tight", "paper", "paper", "tight"]
    assert paper["proved"] == tight["proved"] == tight["both"] == 2
    assert paper["times faster"] == 1.0
    assert "0 images on which proofs disagree" in capsys.readouterr().out
    formulations.main()
    assert json.loads(out.read_text()) == content


def test_a_time_counts_only_where_both_formulations_have_a_proof() -> None:
    def run(formulation: str, image: int, status: str, seconds: float) -> formulations.Record:
        setting = {"network": "2x100", "epsilon": 0.01, "solver": "highs", "limit": 1.0}
        measured = {"status": status, "seconds": seconds, "nodes": 3, "objective": 2.0}
        return setting | {"formulation": formulation, "image": image} | measured

    records = [
        run("paper", 0, "optimal", 8.0),
        run("tight", 0, "optimal", 2.0),
        run("paper", 1, "feasible", 1.0),
        run("tight", 1, "optimal", 0.1),
        run("paper", 2, "optimal", 1.0),  # tight has not attacked this one yet
    ]
    paper, tight = formulations.summary(records, ["paper", "tight"])
    assert (paper["images"], paper["proved"], tight["proved"], tight["both"]) == (2, 1, 2, 1)
    assert tight["times faster"] == pytest.approx(4.0)


def test_the_ladder_goes_on_where_it_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ladder.json"
    monkeypatch.setattr(deadline, "clock", deadline.clock)  # which the ladder changes
    options = ["--networks", "fashion-mnist-2x100", "--epsilons", "0.001,0.002", "--out", str(out)]
    for images in ("0:2", "0:3"):
        monkeypatch.setattr(sys, "argv", ["ladder.py", *options, "--images", images])
        ladder.main()
    content = json.loads(out.read_text())
    done = [(r["image"], r["epsilon"], r["question"]) for r in content["records"]]
    assert len(done) == len(set(done)) == 12
    assert done[:8] == [
        (image, epsilon, question)
        for image in (0, 1)
        for epsilon in (0.001, 0.002)
        for question in ("all classes", "runner-up")
    ]
    assert [row["images"] for row in content["summary"]] == [3] * 4
    assert all(row["settled"] == "100 %" for row in content["summary"])
    assert "runner-up" in capsys.readouterr().out
    before = out.read_text()
    ladder.main()
    assert out.read_text() == before


def test_a_rung_counts_flips_and_proofs_and_the_time_of_all() -> None:
    rung = {"network": "2x500", "epsilon": 0.004, "question": "runner-up", "limit": 60.0}
    runs = [("optimal", 1.0), ("infeasible", 2.0), ("unknown", 60.0), ("infeasible", 3.0)]
    records = [
        rung | {"image": image, "status": status, "seconds": seconds, "cpu": seconds / 2}
        for image, (status, seconds) in enumerate(runs)
    ]
    (row,) = ladder.summary(records)
    assert (row["flipped"], row["safe"], row["settled"]) == (1, 2, "75 %")
    assert (row["median (s)"], row["mean (s)"]) == (2.5, 16.5)
    assert (row["median (CPU s)"], row["mean (CPU s)"]) == (1.25, 8.25)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a copy without git's folder")
def test_the_code_is_known_by_what_git_has_of_the_packages() -> None:
    assert re.fullmatch(r"[0-9a-f]{10}-[0-9a-f]{10}\+?", code())


def test_the_training_benchmark_says_that_it_has_not_run_on_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks import training

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(datasets, "load", lambda name, split: datasets.embedded())
    out = tmp_path / "training.json"
    monkeypatch.setattr(sys, "argv", ["training.py", "--images", "2", "--out", str(out)])
    threads = torch.get_num_threads()
    training.main()
    torch.set_num_threads(threads)
    rows = json.loads(out.read_text())["summary"]
    notes = {row["measurement"]: row["note"] for row in rows}
    assert notes["same seed, same bits"] == "yes"
    assert "not run" in notes["everything on a GPU"]
    assert "not run: torch finds no CUDA here" in capsys.readouterr().out
    assert {row["device"] for row in rows} == {"cpu", "none"}

"""The grid's runner: real attacks on a shipped network, interrupted and gone on with."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.grid import lines
from benchmarks.grid.frame import attacks, models
from benchmarks.grid.models import MODELS
from benchmarks.grid.plan import Planned
from benchmarks.grid.runner import left, run
from benchmarks.grid.work import line_of, task_of
from bnnopt import datasets
from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.spec import parse_spec
from bnnopt.campaign.task import Outcome, Task
from tests.conftest import has_data
from tests.pages import ROOT

SPEC = """
networks = ["fashion-mnist-2x100"]
images = "0:3"
epsilons = [0.002]
ties = "never"
time_limit = 20
[[methods]]
name = "branch and bound"
method = "bab"
"""
SOLVES = """
networks = ["fashion-mnist-2x100"]
images = "0:1"
epsilons = [0.001]
ties = "never"
time_limit = 20
[[methods]]
name = "NAME"
method = "milp"
"""


def planned(text: str, stage: str) -> list[Planned]:
    spec = parse_spec(text)
    return [
        Planned(stage, each.attack, spec.networks[each.cell.network], each.cell)
        for each in spec.cells()
    ]


class Interrupted:
    """Ctrl-C after so many cells."""

    def __init__(self, cells: int) -> None:
        self.left = cells

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_what_was_interrupted_goes_on_and_every_cell_has_one_line(tmp_path: Path) -> None:
    cells = planned(SPEC, "ours")
    with pytest.raises(KeyboardInterrupt):
        run(cells, tmp_path, 1, progress=Interrupted(1))
    known = lines.read(tmp_path, ["ours"])
    assert list(known) == [cells[0].key]
    assert left(cells, known) == cells[1:]
    run(left(cells, known), tmp_path, 1)
    found = list(lines.read_stage(tmp_path, "ours"))
    assert [line["key"] for line in found] == [each.key for each in cells]
    assert [(line["status"], line["bound"]) for line in found] == [
        ("optimal", line["objective"]) for line in found
    ]
    (machine,) = lines.read_stage(tmp_path, lines.CONDITIONS)
    assert {line["machine"] for line in found} == {machine["key"]}
    frame = attacks(cells, lines.read(tmp_path, ["ours"]))
    assert list(frame["proved"]) == [1, 1, 1] and list(frame["verified"]) == [1, 1, 1]
    assert set(frame["gap"]) == {0.0}


def test_no_cell_begins_when_time_is_over(tmp_path: Path) -> None:
    run(planned(SPEC, "ours"), tmp_path, 1, until=time.monotonic())
    assert not lines.read(tmp_path, ["ours"])


def test_a_lost_worker_and_an_error_are_lines_that_count_as_there(tmp_path: Path) -> None:
    (first, *_) = planned(SPEC, "ours")
    line = line_of(first, None, "its worker was ended by SIGKILL", "m")
    assert line["error"] == "its worker was ended by SIGKILL" and "status" not in line
    broken = dataclasses.replace(
        first, cell=dataclasses.replace(first.cell, options={"nothing": 1})
    )
    run([broken], tmp_path, 1)
    known = lines.read(tmp_path, ["ours"])
    assert "nothing" in known[broken.key]["error"]
    assert not left([broken], known)
    assert attacks([broken], known).empty


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_solved_to_its_optimum_on_a_worker(name: str, tmp_path: Path) -> None:
    cells = planned(SOLVES.replace("NAME", name), "models")
    run(cells, tmp_path, 1)
    (line,) = lines.read_stage(tmp_path, "models")
    assert line["status"] == "optimal" and line["bound"] == pytest.approx(line["objective"])
    assert ("real" in line) == (name in ("tight", "paper"))
    frame = models(cells, {line["key"]: line})
    assert frame.loc[0, "series"] == "highs" and frame.loc[0, "proved"] == 1


def test_both_formulations_have_the_optimum_of_branch_and_bound(tmp_path: Path) -> None:
    attack = planned(SPEC.replace("0.002", "0.001").replace("0:3", "0:1"), "ours")
    solves = [
        each
        for name in ("tight", "paper")
        for each in planned(SOLVES.replace("NAME", name), "models")
    ]
    run([*attack, *solves], tmp_path, 1)
    known: dict[str, Any] = lines.read(tmp_path, ["ours", "models"])
    assert {line["objective"] for line in known.values()} == {known[attack[0].key]["objective"]}


def answer(task: Task) -> Outcome:
    return Outcome(None, b"", 0.0, "", 0, f"image {task.cell.image}")


def test_workers_do_the_work_that_they_are_given() -> None:
    workers = LocalWorkers(1, work=answer)
    (cell, *_) = planned(SPEC, "ours")
    try:
        workers.submit(task_of(cell, datasets.embedded()))
        (ended,) = workers.wait(60.0)
    finally:
        workers.close()
    assert ended.outcome is not None and ended.outcome.error == "image 0"


@pytest.mark.skipif(not has_data("mnist"), reason="needs MNIST")
def test_ctrl_c_ends_the_command_and_keeps_every_line_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.grid", "--stages", "gradients"]
    with subprocess.Popen(
        [*command, "--folder", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while process.poll() is None and not lines.read(tmp_path, ["gradients"]):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate()
    assert process.returncode == 130
    assert "16000 of 16000 cells left" in printed
    found = list(lines.read_stage(tmp_path, "gradients"))
    assert found and (tmp_path / "gradients.jsonl").read_text().endswith("}\n")
    count = subprocess.run(
        [*command, "--count", "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{16000 - len(found)} of 16000 cells left" in count.stdout

"""Tables and figures of made-up lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.grid import lines
from benchmarks.grid.figures import figures
from benchmarks.grid.plan import load_stages, plan
from benchmarks.grid.tables import (
    disagreements,
    methods,
    networks,
    shifted_geometric_mean,
    solver_table,
)
from benchmarks.page import page
from tests.grid.made import attack, line, made, model, proof
from tests.pages import ROOT

CONDITIONS = {"processor": "none", "versions": "made up", "code": "1-2"}


def test_a_shifted_geometric_mean_is_the_geometric_mean_of_shifted_times_less_the_shift() -> None:
    assert shifted_geometric_mean([1.0, 7.0]) == pytest.approx(np.sqrt(2.0 * 8.0) - 1.0)
    assert shifted_geometric_mean([3.0, 3.0]) == pytest.approx(3.0)


def test_a_model_that_is_not_proved_or_refused_counts_its_limit() -> None:
    rows = [
        model("highs", -4.0, -4.0, image=0, wall_time=1.0),
        model("gurobi", -4.0, -4.0, image=0, wall_time=0.5),
        model("highs", -4.0, -4.0, image=1, wall_time=30.4, proved=0),
        model("gurobi", 0.0, None, image=1, wall_time=0.1, proved=0, refused=1),
        model("highs", -4.0, -4.0, image=2),  # gurobi has not tried it yet
    ]
    highs, gurobi = solver_table(made(models=rows).models)
    assert (highs["models"], highs["proved"], highs["fastest"], highs["refused"]) == (2, 1, 0, 0)
    assert (gurobi["models"], gurobi["proved"]) == (2, 1)
    assert (gurobi["fastest"], gurobi["refused"]) == (1, 1)
    mean = highs["geometric mean, shift 1 (s)"]
    assert mean == pytest.approx(np.sqrt(2.0 * 31.0) - 1.0, abs=1e-3)


def test_two_solvers_that_prove_different_optima_are_named() -> None:
    rows = [model("highs", -4.0, -4.0), model("scip", -3.0, -3.0), model("cbc", 9.0, 9, proved=0)]
    (differing,) = disagreements(made(models=rows).models)
    assert "-4 and -3" in differing
    assert not disagreements(made(models=rows[1:]).models)


def test_tables_have_a_row_a_method_and_a_row_a_network() -> None:
    rows = [proof(-20.0, gap=0.0), attack("PGD", 10.0, 1, gap=0.0), attack("PGD", -30.0, gap=0.1)]
    table = methods(made(rows).attacks)
    assert [(row["method"], row["attacks"]) for row in table] == [
        ("branch and bound", 1),
        ("PGD", 2),
    ]
    assert table[1]["share flipped"].startswith("0.5 [0.0, 1.0]")
    (network,) = networks(made(rows).attacks)
    assert (network["images"], network["proved"]) == (2, 1)
    assert network["proved optimum, normalized"] == "-0.2 [-0.2, -0.2]"


def test_figures_are_of_what_there_is() -> None:
    assert not list(figures(made()))
    rows = [
        attack(name, -5.0, image) for name in ("IProp", "IProp, steps of 5") for image in (0, 1)
    ]
    rows += [attack("IProp, steps of 20", -5.0, image) for image in (0, 1)]
    drawn = dict(figures(made(rows)))
    assert list(drawn) == ["figure-5"]
    assert drawn["figure-5"]().axes


def test_a_report_of_a_few_lines_is_a_page_of_benchmarks(tmp_path: Path) -> None:
    cells = plan(load_stages())
    few = [each for each in cells if each.cell.image < 2 and each.network.name == "mnist-2x100"]
    machine = lines.enter(tmp_path / "lines", CONDITIONS)
    for each in few:
        if each.stage in ("gradients", "ifgsm", "iprop"):
            name = {"key": each.key, "machine": machine}
            lines.append(tmp_path / "lines", each.stage, line(**name))
        elif each.stage == "subproblems":
            solved = {"status": "optimal", "objective": 7, "bound": 7, "seconds": 0.5}
            lines.append(tmp_path / "lines", each.stage, {"key": each.key} | solved)
    lines.append(tmp_path / "lines", "ours", line(key="of an older plan", objective=99))
    script = ROOT / "benchmarks" / "grid_report.py"
    places = {"lines": "lines", "figures": "figures", "out": "out"}
    options = [f"--{name}={tmp_path / place}" for name, place in places.items()]
    run = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "out" / "grid-claims.json").read_text())["summary"]
    ahead = next(row for row in found if row["claim"] == "iprop-over-pgd-shallow")
    assert (ahead["value"], ahead["cells"]) == (0.0, 10)
    written = page(tmp_path / "out")
    for section in ("grid-claims", "grid-methods", "grid-networks", "grid-solvers"):
        assert f"## {section}\n" in written
    assert f"machine {machine}: none; made up; code 1-2" in written
    assert "99" not in written.partition("## grid-methods")[2].partition("##")[0]
    assert (tmp_path / "figures" / "grid-solvers.png").exists()

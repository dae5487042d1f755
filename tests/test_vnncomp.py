"""The competition's scripts, and a list that they run, as processes."""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from bnnopt.exchange.vnnlib import Case, Difference
from tests.exchange.tiny_onnx import tiny_onnx, tiny_spec

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "benchmarks/vnncomp"
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A network, and properties that have counterexamples everywhere and nowhere."""
    box = (Fraction(0),) * 3, (Fraction(1),) * 3
    (tmp_path / "net.onnx.gz").write_bytes(gzip.compress(tiny_onnx(0)))
    for name, least in (("sat", -99), ("unsat", 99)):
        case = Case(*box, ((Difference(0, 1, Fraction(least), False),),))
        (tmp_path / f"{name}.vnnlib").write_text(tiny_spec(case, 3))
    (tmp_path / "wrong.vnnlib").write_text("(assert")
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def test_an_instance_leaves_its_verdict_in_the_results_file(files: Path) -> None:
    for name, verdict in (("sat", "sat"), ("unsat", "unsat"), ("wrong", "error")):
        arguments = ("v1", "tiny", "net.onnx", f"{name}.vnnlib", "out.txt", "60")
        done = run(files, str(SCRIPTS / "run_instance.sh"), *arguments)
        assert done.returncode == 0, done.stderr
        text = (files / "out.txt").read_text()
        assert text.splitlines()[0] == verdict
        assert ("(X_0 " in text) == (name == "sat")
        assert not (files / "out.txt.partial").exists()


def test_an_instance_is_prepared_if_its_files_are_there(files: Path) -> None:
    prepare = str(SCRIPTS / "prepare_instance.sh")
    assert run(files, prepare, "v1", "tiny", "net.onnx", "sat.vnnlib").returncode == 0
    assert run(files, prepare, "v1", "tiny", "gone.onnx", "sat.vnnlib").returncode == 1
    assert run(files, prepare, "v2", "tiny", "net.onnx", "sat.vnnlib").returncode == 1


def test_a_list_is_run_once_and_goes_on_where_it_was_interrupted(files: Path) -> None:
    lines = ["net.onnx,sat.vnnlib,60.0", "net.onnx,gone.vnnlib,60.0", "net.onnx,unsat.vnnlib,60.0"]
    (files / "instances.csv").write_text("\n".join(lines[:2]) + "\n")
    command = (sys.executable, "-m", "benchmarks.vnncomp.run_instances", "instances.csv", "out")
    first = run(files, *command)
    assert first.returncode == 0, first.stderr
    assert "missing: gone.vnnlib" in first.stdout
    assert first.stdout.splitlines()[-1] == "2 instances: 1 sat, 1 missing"
    done = (files / "out/results.csv").read_text()
    (files / "out/results.csv").write_text(done + "net.onnx,unsat.vnn")  # cut off by a crash
    (files / "instances.csv").write_text("\n".join(lines) + "\n")
    second = run(files, *command)
    assert "3 instances: 1 sat, 1 missing, 1 unsat" in second.stdout
    rows = list(csv.reader((files / "out/results.csv").read_text().splitlines()))
    assert [row[:3] for row in rows] == [
        ["net.onnx", "sat.vnnlib", "sat"],
        ["net.onnx", "unsat.vnnlib", "unsat"],
    ]
    assert (files / "out/net--sat.txt").read_text().startswith("sat\n((X_0 ")

"""Spaces, other alphabets, and bytes that are no text at all, in every path."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.hardening.conftest import Program, tiny_network

SPEC = """
networks = ["{name}"]
images = "0"
epsilons = [0.0]
time_limit = 60
[[methods]]
method = "milp"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a difficult name, and a network and a spec in it."""
    folder = tmp_path / os.fsdecode("a b/ÄÖ 日本 #?%&'".encode() + b" \xe9\xff")
    try:
        folder.mkdir(parents=True)
    except OSError:
        pytest.skip("this file system takes names that are text only")
    tiny_network().save(folder / "nét wörk.npz")
    (folder / "spéc.toml").write_text(SPEC.format(name="nét wörk.npz"), encoding="utf-8")
    return folder


def test_every_path_of_an_attack_may_have_any_name(folder: Path, program: Program) -> None:
    pytest.importorskip("cbcbox")
    lines, figure = folder / "zeilen ü.jsonl", folder / "bild ü.png"
    arguments = ["--images", "0", "--epsilon", "0.002", "--method", "milp", "--solver", "cbc"]
    run = program(
        *("attack", folder / "nét wörk.npz", *arguments, "--json", lines, "--figure", figure),
        environment={"TMPDIR": folder, "PYTHONIOENCODING": "ascii"},
    )
    assert (run.returncode, b"1 replayed exactly" in run.stdout) == (0, True), run.stderr
    assert json.loads(lines.read_text())["verified"]
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_every_path_of_a_campaign_may_have_any_name(folder: Path, bnnopt_cli: Any) -> None:
    pytest.importorskip("pandas")
    store = str(folder / "störe")
    for command in (
        ("run", str(folder / "spéc.toml"), "--store", store),
        ("status", store),
        ("check", store),
        ("export", store, "--out", str(folder / "täble.csv")),
    ):
        code, _, errors = bnnopt_cli("campaign", *command)
        assert code == 0, errors
    assert (folder / "täble.csv").is_file()


def test_a_path_with_any_name_is_named_in_one_line(folder: Path, program: Program) -> None:
    run = program("attack", folder / "nicht da é.npz")
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr.strip().endswith(b".npz does not exist")
    assert len(run.stderr.strip().splitlines()) == 1

"""Spaces, other alphabets, and bytes that are no text at all, in every path."""

from __future__ import annotations

import json
import os
from pathlib import Path

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


@pytest.fixture(params=["a b/ÄÖ ß/日本 #?%&'", b"no text \xe9 \xff"], ids=["text", "bytes"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a difficult name, and a network and a spec in it."""
    folder = tmp_path / os.fsdecode(request.param)
    try:
        folder.mkdir(parents=True)
    except OSError:
        pytest.skip("this file system takes no such name")
    tiny_network().save(folder / "nét wörk.npz")
    (folder / "spéc.toml").write_text(SPEC.format(name="nét wörk.npz"), encoding="utf-8")
    return folder


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_every_path_of_an_attack_may_have_any_name(
    folder: Path, program: Program, encoding: str
) -> None:
    pytest.importorskip("cbcbox")
    lines, figure = folder / "zeilen ü.jsonl", folder / "bild ü.png"
    arguments = ["--images", "0", "--epsilon", "0.002", "--method", "milp", "--solver", "cbc"]
    run = program(
        *("attack", folder / "nét wörk.npz", *arguments, "--json", lines, "--figure", figure),
        environment={"TMPDIR": folder, "PYTHONIOENCODING": encoding},
    )
    assert (run.returncode, b"1 replayed exactly" in run.stdout) == (0, True), run.stderr
    assert json.loads(lines.read_text())["verified"]
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_every_path_of_a_campaign_may_have_any_name(folder: Path, program: Program) -> None:
    pytest.importorskip("matplotlib")
    store = folder / "störe"
    ran = program("campaign", "run", folder / "spéc.toml", "--store", store)
    assert ran.returncode == 0, ran.stderr
    for command in (
        ("check", store),
        ("export", store, "--out", folder / "täble.csv"),
        ("report", store, "--out", folder / "repört"),
    ):
        run = program("campaign", *command, environment={"PYTHONIOENCODING": "ascii"})
        assert run.returncode == 0, run.stderr
    assert (folder / "täble.csv").is_file()
    assert (folder / "repört" / "index.html").is_file()


def test_a_path_with_any_name_is_named_in_one_line(folder: Path, program: Program) -> None:
    run = program("attack", folder / "nicht da é.npz")
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr.strip().endswith(b".npz does not exist")
    assert len(run.stderr.strip().splitlines()) == 1

"""The documentation holds: its code runs, its changes apply, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import solvers
from solvers import registry
from tests.solvers.models import KNOWN, knapsack

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
CHANGES = ["add-an-attack", "add-a-formulation", "add-an-objective", "add-a-plot"]
"""How-tos that change the package; their code runs in a copy that has the change."""

ADAPTER = "docs/how-to/add-a-solver.md"
BLOCK = re.compile(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```$', flags=re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str = "python") -> list[str]:
    """A page's code that stands on its own, without the files that it shows."""
    found = BLOCK.findall((ROOT / page).read_text())
    return [text for kind, title, text in found if kind == language and not title]


def runs_here(page: str) -> bool:
    return bool(blocks(page)) and Path(page).stem not in CHANGES


@pytest.mark.parametrize("page", ["README.md", *filter(runs_here, PAGES)])
def test_the_code_of_a_page_runs_from_top_to_bottom(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        exec(compile(block, page, "exec"), namespace)


def changed_copy(page: str, folder: Path) -> None:
    """The packages, with the files of a page written and its diffs applied."""
    for package in ("bnnopt", "solvers"):
        shutil.copytree(ROOT / package, folder / package)
    for kind, title, text in BLOCK.findall((ROOT / page).read_text()):
        if not title:
            continue
        path = folder / title
        if kind == "diff":
            lines = text.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] in " -")
            after = "".join(line[1:] for line in lines if line[0] in " +")
            assert path.read_text().count(before) == 1, f"{title}:\n{before}"
            path.write_text(path.read_text().replace(before, after))
        else:
            assert not path.exists(), title
            path.write_text(text)


@pytest.mark.parametrize("change", CHANGES)
def test_a_documented_change_works_and_keeps_to_the_style(change: str, tmp_path: Path) -> None:
    page = f"docs/how-to/{change}.md"
    changed_copy(page, tmp_path)
    script = tmp_path / "script.py"
    script.write_text("\n".join(blocks(page)))
    run = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for arguments in (["check"], ["format", "--check"]):
        lint = [sys.executable, "-m", "ruff", *arguments, "bnnopt"]
        style = subprocess.run(lint, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert style.returncode == 0, style.stdout

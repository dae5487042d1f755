"""The documentation holds: its changes apply, its commands and links are understood."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

import solvers
from bnnopt import datasets, zoo
from bnnopt.cli.commands import commands
from solvers import registry
from tests.pages import BLOCK, CHANGES, NOTEBOOKS, PAGES, ROOT, blocks
from tests.solvers.models import KNOWN, knapsack

README = (ROOT / "README.md").read_text()
ADAPTER = "docs/how-to/add-a-solver.md"


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


def test_the_documented_adapter_is_a_solver_like_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("my_solver")
    exec(blocks(ADAPTER)[0], module.__dict__)
    monkeypatch.setitem(sys.modules, "my_solver", module)
    entry = EntryPoint("scipy", "my_solver:SciPy", registry.GROUP)
    entries = registry._entries() | {"scipy": entry}
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    for case, build in KNOWN.items():
        known = build()
        result = solvers.solve(known.model, "scipy")
        assert result.termination.value == known.termination, case
        assert result.objective == pytest.approx(known.objective), case
    expected = solvers.solve(knapsack(), "highs").objective
    assert solvers.solve(knapsack(), "scipy").objective == pytest.approx(expected)


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_the_commands_of_a_page_are_understood(page: str) -> None:
    for line in "".join(blocks(page, "console")).splitlines():
        if line.startswith("$ bnnopt "):
            command: click.Command = commands
            arguments = shlex.split(line, comments=True)[2:]
            while isinstance(command, click.Group):
                command = command.commands[arguments.pop(0)]
            command.make_context(command.name, arguments)  # raises what the user would be told


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_of_a_page_beside_the_site_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_readme_names_options_that_the_commands_have() -> None:
    rows = re.findall(r"^\| `bnnopt ([\w-]+)[^`]*` \| (.+) \|$", README, flags=re.MULTILINE)
    assert "attack" in dict(rows)
    for name, text in rows:
        command = commands.commands[name]
        taken = {option for parameter in command.params for option in parameter.opts}
        named = set(re.findall(r"`(--[a-z0-9-]+)", text))
        assert named <= taken | {"--help"}, name


def test_readme_says_how_accurate_the_shipped_networks_are() -> None:
    for name in datasets.NAMES:
        usual = [each for each in zoo.NAMES if each not in zoo.ROBUST]
        shipped = [loaded for loaded in map(zoo.load, usual) if loaded.dataset == name]
        accuracies = [loaded.accuracy for loaded in shipped if loaded.accuracy is not None]
        worst, best = (f"{100 * end(accuracies):.1f} %" for end in (min, max))
        assert re.search(rf"{worst} (of .+ )?to\s+{best}", README), name


def test_readme_leads_to_every_page_but_the_reference() -> None:
    pages = [page for page in (*PAGES, *NOTEBOOKS) if not page.startswith("docs/api/")]
    assert not [page for page in pages if f"({page})" not in README]


def test_the_site_has_no_broken_link_and_asks_no_other_site_for_anything(tmp_path: Path) -> None:
    # mkdocs warns of links, anchors and pages outside the navigation; here that is an error.
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    notebook = (tmp_path / "notebooks/first-attack.html").read_text()
    assert "certified accuracy 80%" in notebook and 'src="data:image/png' in notebook
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe|link)\b[^>]*>", page.read_text())
        assert not [tag for tag in loaded if re.search(r'(?:src|href)="(?:https?:)?//', tag)], page

"""The documentation holds: its code runs, its changes apply, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from pkgutil import resolve_name

import click
import pytest

import solvers
from bnnopt.cli.commands import commands
from solvers import registry
from tests.exchange.keras_files import larq_network
from tests.solvers.models import KNOWN, knapsack

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
CHANGES = ["add-an-attack", "add-a-formulation", "add-an-objective", "add-a-plot"]
"""How-tos that change the package; their code runs in a copy that has the change."""

TRAINING = ["docs/tutorial.md"]
"""Pages that train; what they print depends on the machine and the version of torch."""

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
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if page == "docs/how-to/import-a-network.md":  # what its reader has from Keras
        (tmp_path / "binary.h5").write_bytes(larq_network().hdf5())
    namespace: dict[str, object] = {"__name__": "page"}
    printed = ""
    for kind, title, text in BLOCK.findall((ROOT / page).read_text()):
        if kind == "python" and not title:
            exec(compile(text, page, "exec"), namespace)
            printed = capsys.readouterr().out
        elif kind == "text" and page not in TRAINING:
            assert printed == text


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


@pytest.mark.parametrize("block", blocks("docs/quick-start.md", "console")[1:])
def test_the_commands_of_the_quick_start_print_what_it_shows(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = ""
    for line in block.splitlines(keepends=True):
        if not line.startswith("$ "):
            shown += line
        elif line.startswith("$ bnnopt "):
            commands.main(shlex.split(line)[2:], standalone_mode=False)
    assert without_times(capsys.readouterr().out) == without_times(shown)


def without_times(output: str) -> list[list[str]]:
    """The words of each line; seconds and the like may differ from run to run."""
    return [re.sub(r"\d+\.\d+|-{2,}", "#", line).split() for line in output.strip().splitlines()]


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


@pytest.mark.parametrize("package", ["bnnopt", "bnnopt.training", "bnnopt.attacks.base", "solvers"])
def test_the_reference_has_every_public_name(package: str) -> None:
    text = "".join(path.read_text() for path in (ROOT / "docs/api").glob("*.md"))
    shown = [resolve_name(name) for name in re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE)]
    modules = {of.__name__ for of in shown if isinstance(of, types.ModuleType)}
    module = import_module(package)
    for name in module.__all__:
        public = getattr(module, name)
        if callable(public) or isinstance(public, types.ModuleType):
            is_shown = any(public is of for of in shown)
            assert is_shown or getattr(public, "__module__", package) in modules, name


def test_the_site_has_no_broken_link_and_asks_no_other_site_for_anything(tmp_path: Path) -> None:
    # mkdocs warns of links, anchors and pages outside the navigation; here that is an error.
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe|link)\b[^>]*>", page.read_text())
        assert not [tag for tag in loaded if re.search(r'(?:src|href)="(?:https?:)?//', tag)], page

"""The code in the documentation runs."""

from __future__ import annotations

import re
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import solvers
from solvers import registry
from tests.solvers.models import KNOWN, knapsack

ROOT = Path(__file__).resolve().parents[1]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


@pytest.mark.parametrize(
    "page", ["README.md", "docs/gradients.md", "docs/solvers.md", "docs/iprop.md"]
)
def test_the_code_of_a_page_runs_from_top_to_bottom(
    page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    namespace: dict[str, object] = {}
    for block in blocks(page):
        exec(compile(block, page, "exec"), namespace)
    assert namespace


def test_the_documented_adapter_is_a_solver_like_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("my_solver")
    exec(blocks("docs/solvers.md")[-1], module.__dict__)
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


def test_links_between_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"

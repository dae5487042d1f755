"""The pages of the documentation, their blocks of code, and what of an output may differ."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
NOTEBOOKS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.ipynb"))
BLOCK = re.compile(r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```$', flags=re.DOTALL | re.MULTILINE)

CHANGES = ["add-an-attack", "add-a-formulation", "add-an-objective", "add-a-plot"]
"""How-tos that change the package; their code runs in a copy that has the change."""


def blocks(page: str, language: str = "python") -> list[str]:
    """A page's code that stands on its own, without the files that it shows."""
    found = BLOCK.findall((ROOT / page).read_text())
    return [text for kind, title, text in found if kind == language and not title]


def commands_of(block: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it is said to print."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    assert not parts[0], f"output before the first command: {parts[0]}"
    return [(line, shown) for line, _, shown in (part.partition("\n") for part in parts[1:])]


def without_times(output: str) -> list[list[str]]:
    """The words of each line, with # for a time, and for a file's size.

    A time is what stands in a column of seconds, or before "s".
    """
    lines = output.strip().splitlines()
    columns: list[tuple[int, int]] = []
    kept = []
    for line, rule in zip_longest(lines, lines[1:], fillvalue=""):
        if re.fullmatch("-+( +-+)*", rule):  # a table's head
            spans = (span.span() for span in re.finditer("-+", rule))
            columns = [(a, b) for a, b in spans if line[a:b].strip() == "seconds"]
        elif not line:
            columns = []
        kept.append(_without_times(line, columns))
    return kept


def _without_times(line: str, columns: list[tuple[int, int]]) -> list[str]:
    for start, end in columns:
        if re.fullmatch(r" *\d+\.\d", line[start:end]):
            line = f"{line[:start]} # {line[end:]}"
    line = re.sub(r"\b\d+\.\d+ s\b", "# s", line)
    return re.sub(r"\b\d+ bytes\b", "# bytes", line).split()  # other packages write them


def without_numbers(output: str) -> list[str]:
    """Its lines with # for every number, each kind of line once: what another run has too."""
    lines = (re.sub(r"-?\d+(\.\d+)?", "#", line) for line in output.splitlines())
    return list(dict.fromkeys(" ".join(line.split()) for line in lines))

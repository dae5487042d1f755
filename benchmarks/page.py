"""The page of the benchmarks, from what they wrote: a section a file of benchmarks/results.

    python -m benchmarks.page

writes docs/benchmarks.md anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.record import FOLDER

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

<!-- Written by `python -m benchmarks.page`: change that, or the results, not this file. -->

Each section is a file of `benchmarks/results/`: what was compared, the command that measures it
again, the conditions, and the table. The records behind a table are in its file. After a benchmark
has run, `python -m benchmarks.page` writes this page anew; a test compares the two.
"""


def page(folder: Path = FOLDER) -> str:
    """The whole page, sections in the order of their files' names."""
    return "\n".join([HEAD, *(_section(path) for path in sorted(folder.glob("*.json")))])


def _section(path: Path) -> str:
    content = json.loads(path.read_text())
    conditions = "\n".join(f"- {name}: {value}" for name, value in content["conditions"].items())
    return "\n\n".join(
        [
            f"## {path.stem}",
            content["title"],
            f"```console\n$ {content['command']}\n```",
            conditions,
            _table(content["summary"]) + "\n",
        ]
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        {name: _cell(value) for name, value in row.items() if not isinstance(value, list | dict)}
        for row in rows
    ]
    return tabulate(cells, headers="keys", tablefmt="github", disable_numparse=True)


def _cell(value: Any) -> str:
    """Four digits tell measurements apart."""
    if value is None or value != value:  # noqa: PLR0124 - not a number
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page())

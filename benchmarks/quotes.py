"""Numbers that pages quote from the results: filled in by name, and found where they are not.

    python -m benchmarks.quotes

fills in every quote of the pages in docs/. A quote names a file of benchmarks/results, a row by its
first column, and another column, with the digits after the point where they matter:

    <!--= grid-claims iprop-passes-ifgsm value 1 -->2.5<!--/-->

What lies between is replaced. A page with one quote must quote all of its numbers, but for those in
what the paper says (bold), in code, links, pictures and quotes' own names, and the epsilons.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.record import FOLDER
from bnnopt.errors import InputError

__all__ = ["DOCS", "filled", "has_quotes", "unquoted"]

DOCS = Path(__file__).resolve().parents[1] / "docs"

QUOTE = re.compile(r"(<!--= (\S+) (\S+) ([^<>]+?)(?: (\d))? -->)([^<]*)(<!--/-->)")

FREE = re.compile(
    r"```.*?```"  # commands and what they print
    r"|`[^`]*`"
    r"|<!--.*?-->"
    r"|\*\*.*?\*\*"  # what the paper says
    r"|!?\[[^\]]*\]\([^)]*\)"
    r"|\b[Ff]igures? \d(?: (?:to|and) \d)?"
    r"|\b\d+x\d+\b"
    r"|\b0\.0(?:05|1|2|3|5)\b"  # an epsilon
    r"|\(\d+\)",  # an equation
    re.DOTALL,
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def has_quotes(text: str) -> bool:
    """Whether a page quotes results."""
    return QUOTE.search(text) is not None


def filled(text: str, folder: Path = FOLDER) -> str:
    """A page with what its quotes name.

    Raises
    ------
    InputError
        If a quote names what the results do not have.
    """

    def fill(quote: re.Match[str]) -> str:
        head, file, row, column, digits, _, tail = quote.groups()
        return head + _shown(_value(folder, file, row, column), digits) + tail

    return QUOTE.sub(fill, text)


def unquoted(text: str) -> list[str]:
    """Numbers of a page that stand outside quotes and are none that the page may have freely."""
    rest = FREE.sub(" ", QUOTE.sub(" ", text))
    return NUMBER.findall(rest)


def _value(folder: Path, file: str, row: str, column: str) -> Any:
    path = folder / f"{file}.json"
    if not path.exists():
        raise InputError(f"a quote names {file}: there is no such file of results")
    for values in json.loads(path.read_text())["summary"]:
        if str(next(iter(values.values()))) == row:
            if column not in values:
                raise InputError(f"{file}: {row} has {', '.join(values)}, not {column!r}")
            return values[column]
    raise InputError(f"{file} has no row {row!r}")


def _shown(value: Any, digits: str | None) -> str:
    if value is None:
        return "never"
    return f"{value:.{digits}f}" if digits else str(value)


def main() -> None:
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text()
        after = filled(text)
        if after != text:
            path.write_text(after)
            print(path.relative_to(DOCS))


if __name__ == "__main__":
    main()

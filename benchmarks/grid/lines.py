"""The grid's results as lines of JSON: one a cell, added as it ends, and read again to go on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.record import FOLDER as RESULTS
from bnnopt.errors import InputError
from bnnopt.files import naming

__all__ = ["CONDITIONS", "FOLDER", "append", "enter", "mend", "read", "read_stage"]

FOLDER = RESULTS / "grid"
CONDITIONS = "conditions"
"""The file of machines and versions; the others are called after their stages."""

Line = dict[str, Any]


def append(folder: Path, name: str, line: Mapping[str, Any]) -> None:
    """Add a line to a file, all of it or, if the machine fails meanwhile, a part that `mend` drops.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    content = json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"
    path = _path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path), open(path, "ab", buffering=0) as stream:
        stream.write(content.encode())
        os.fsync(stream.fileno())


def mend(folder: Path) -> None:
    """Cut off what a crash has left of a line that was being written."""
    for path in sorted(folder.glob("*.jsonl")):
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with naming(path):
                os.truncate(path, whole)


def read(folder: Path, names: Iterator[str] | list[str]) -> dict[str, Line]:
    """The lines of some stages, by key; of two with one key, the first.

    Raises
    ------
    InputError
        If a line is not what this module writes, such as the marks of a merge.
    """
    found: dict[str, Line] = {}
    for name in names:
        for line in read_stage(folder, name):
            found.setdefault(line["key"], line)
    return found


def read_stage(folder: Path, name: str) -> Iterator[Line]:
    """The whole lines of a file; none if there is no file."""
    path = _path(folder, name)
    if not path.exists():
        return
    for number, text in enumerate(path.read_text().split("\n")[:-1], 1):
        try:
            line = json.loads(text)
            line["key"]
        except (ValueError, TypeError, KeyError):
            raise InputError(f"{path.name}: line {number} is not a cell's: {text[:60]!r}") from None
        yield line


def enter(folder: Path, conditions: Mapping[str, str]) -> str:
    """Note a machine and versions, once; return what lines call them."""
    content = json.dumps(conditions, sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()[:8]
    if key not in read(folder, [CONDITIONS]):
        append(folder, CONDITIONS, {"key": key} | dict(conditions))
    return key


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.jsonl"

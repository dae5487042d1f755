"""Files that commands write: checked before the work, written line by line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from bnnopt.errors import InputError

__all__ = ["check_folder", "json_sink"]


def check_folder(path: str, option: str) -> None:
    """Complain before hours of work, not after.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise InputError(f"{option}: the folder {str(folder)!r} does not exist")
    if Path(path).is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{option}: {path!r} cannot be written")


@contextmanager
def json_sink(path: str | None) -> Iterator[Callable[[str], None]]:
    """A function that writes one line; it is on disk before the next piece of work starts."""
    if path is None:
        yield lambda line: None
        return
    if path == "-":
        yield lambda line: _write_line(sys.stdout, line)
        return
    check_folder(path, "--json")
    with ExitStack() as stack:
        streams: list[IO[str]] = []

        def write(line: str) -> None:
            # Opened by the first result: a mistaken command must not empty an older file.
            if not streams:
                streams.append(stack.enter_context(open(path, "w", encoding="utf-8")))
            _write_line(streams[0], line)

        yield write


def _write_line(stream: IO[str], line: str) -> None:
    stream.write(line + "\n")
    stream.flush()

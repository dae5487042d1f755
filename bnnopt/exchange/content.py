"""What every reader of foreign files does first: packages, bounded bytes; and its messages."""

from __future__ import annotations

import gzip
import importlib.util
import os
import zlib

from bnnopt.errors import MissingDependencyError, NetworkFormatError

__all__ = ["LARGEST", "file_content", "first_line", "needs", "one_line", "short"]

LARGEST = 2**28
"""Bytes of a file, unpacked."""

LONGEST = 500
"""Letters of a message about a file."""

LONGEST_NAME = 60
"""Letters of a name in it."""


def needs(package: str, task: str, extra: str = "exchange") -> None:
    """Raise `MissingDependencyError` unless a package is there."""
    if importlib.util.find_spec(package) is None:
        raise MissingDependencyError(package, task, extra)


def file_content(source: str | os.PathLike[str] | bytes) -> tuple[bytes, str]:
    """A file's bytes, unpacked if its name ends in ``.gz``, and what to call it.

    Raises
    ------
    NetworkFormatError
        If it is missing, too large or broken.
    """
    name = "the content" if isinstance(source, bytes) else os.fspath(source)
    try:
        content = source if isinstance(source, bytes) else _read(name)
    except (OSError, EOFError, zlib.error) as error:
        raise NetworkFormatError(f"{name} cannot be read: {error}") from None
    if len(content) > LARGEST:
        raise NetworkFormatError(f"{name} has more than {LARGEST} bytes")
    return content, name


def _read(name: str) -> bytes:
    with gzip.open(name) if name.endswith(".gz") else open(name, "rb") as file:
        return file.read(LARGEST + 1)


def first_line(error: Exception) -> str:
    """What another package's error says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def one_line(text: object) -> str:
    """A message in one line, cut if it is long."""
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def short(name: object) -> str:
    """A name as a message has it: quoted, in one line, cut if it is long."""
    text = str(name)
    return repr(text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}...")

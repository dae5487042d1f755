"""Read a property from a VNN-LIB file of either version."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bnnopt.errors import InputError
from bnnopt.exchange.content import file_content
from bnnopt.exchange.vnnlib.first import read_first
from bnnopt.exchange.vnnlib.properties import Property
from bnnopt.exchange.vnnlib.second import read_second

__all__ = ["packed", "read_vnnlib"]

MAX_BYTES = 2**26
"""Of a file, unpacked: over a million comparisons."""

SECOND = re.compile(r"(\s|;[^\n]*\n)*\(\s*vnnlib-version\s*<2\.", re.ASCII)


def packed(path: str | os.PathLike[str]) -> Path:
    """A file, or the one beside it whose name has ``.gz`` behind, where only that is there."""
    path = Path(path)
    beside = path.with_name(path.name + ".gz")
    return beside if not path.exists() and beside.exists() else path


def read_vnnlib(source: str | os.PathLike[str] | bytes) -> Property:
    """Read what a counterexample is.

    Parameters
    ----------
    source : path or bytes
        Of version 1.0 or 2.0, in ``.gz`` or not, or its content. Statements are linear: bounds on
        single inputs, and differences of two outputs compared with numbers, joined by and and or.

    Returns
    -------
    Property
        Its numbers are exact fractions of what is written.

    Raises
    ------
    InputError
        If it is no such file, with its name; the file may come from anywhere.
    """
    content, name = file_content(source if isinstance(source, bytes) else packed(source))
    try:
        if len(content) > MAX_BYTES:
            raise InputError(f"it has more than {MAX_BYTES} bytes")
        if not content.isascii():
            raise InputError("it has other characters than ASCII")
        text = content.decode("ascii")
        return read_second(text) if SECOND.match(text) else read_first(text)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None

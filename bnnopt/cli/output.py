"""Files that commands write: checked before the work, written line by line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

from bnnopt.errors import InputError
from bnnopt.files import naming

__all__ = ["check_folder", "check_npz", "json_sink", "make_folder"]


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


def check_npz(path: str, option: str) -> None:
    """Complain unless an ``.npz`` file can be written there.

    Raises
    ------
    InputError
    """
    if Path(path).suffix != ".npz":
        raise InputError(f"{option} must end in .npz, not {path!r}")
    check_folder(path, option)


def make_folder(path: str | Path, option: str) -> None:
    """Make the folder that results will go to, before hours of work.

    Raises
    ------
    InputError
        If it is not there and cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{option}: the folder {str(path)!r} cannot be made ({error.strerror})"
        ) from None


@contextmanager
def json_sink(path: str | None) -> Iterator[Callable[[str], None]]:
    """A function that writes one line; it is on disk before the next piece of work starts.

    A file holds whole lines only, also when its disk is full.
    """
    if path is None:
        yield lambda line: None
        return
    if path == "-":
        yield lambda line: print(line, flush=True)
        return
    check_folder(path, "--json")
    with ExitStack() as stack:
        streams: list[FileIO] = []

        def write(line: str) -> None:
            # Opened by the first result: a mistaken command must not empty an older file.
            with naming(path):
                if not streams:
                    streams.append(stack.enter_context(FileIO(path, "w")))
                _append(streams[0], f"{line}\n".encode())

        yield write


def _append(stream: FileIO, content: bytes) -> None:
    """Write all of it or, where that can be undone, nothing."""
    end = stream.tell() if stream.seekable() else None
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[stream.write(rest) :]
    except OSError:
        if end is not None:
            with suppress(OSError):  # a device has no length
                stream.truncate(end)
        raise

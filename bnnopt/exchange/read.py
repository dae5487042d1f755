"""Import a network from a file of another program, by the file's ending."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from bnnopt.errors import InputError
from bnnopt.exchange.imported import Imported
from bnnopt.exchange.keras import read_keras
from bnnopt.exchange.onnx import read_onnx

__all__ = ["ENDINGS", "is_foreign", "read"]

READERS: dict[str, Callable[..., Imported]] = {
    ".h5": read_keras,
    ".hdf5": read_keras,
    ".keras": read_keras,
    ".onnx": read_onnx,
    ".qonnx": read_onnx,
}
ENDINGS = tuple(READERS)


def is_foreign(path: str | os.PathLike[str]) -> bool:
    """Whether a file's ending, before ``.gz``, is that of a format to import."""
    return os.fspath(path).removesuffix(".gz").endswith(ENDINGS)


def read(
    path: str | os.PathLike[str], *, check: npt.ArrayLike | int = 200, **reading: Any
) -> Imported:
    """Read a file and compare the network with it.

    Parameters
    ----------
    path : path
        Its name ends in one of `ENDINGS`, and perhaps in ``.gz`` behind that.
    check : array_like of images, or int
        As `bnnopt.from_onnx` takes it.
    reading
        What the reader takes.

    Returns
    -------
    Imported
        With its `agreement`.

    Raises
    ------
    NetworkFormatError
        If the file holds something else than a binarized network.
    ImportDisagreesError
        If the network does not give what the file gives.
    """
    from bnnopt.exchange.agreement import compared

    name = os.fspath(path)
    reader = next((r for e, r in READERS.items() if name.removesuffix(".gz").endswith(e)), None)
    if reader is None:
        raise InputError(
            f"{name} ends in none of {', '.join(ENDINGS)}; torch modules and state dicts are read "
            "in Python, by bnnopt.from_torch and bnnopt.from_state_dict"
        )
    imported = reader(path, **reading)
    imported.agreement = compared(imported, check)
    imported.agreement.raise_if_wrong()
    return imported

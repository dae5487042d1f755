"""Import a network from a file of another program, by the file's ending."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from bnnopt.errors import InputError

if TYPE_CHECKING:
    from bnnopt.exchange.imported import Imported

__all__ = ["ENDINGS", "is_foreign", "read"]

READERS = {
    ".h5": "keras",
    ".hdf5": "keras",
    ".keras": "keras",
    ".onnx": "onnx",
    ".qonnx": "onnx",
}
"""The module of `bnnopt.exchange` that reads files of an ending; it is imported for one only."""

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
    from bnnopt.exchange.comparison.agreement import compared

    name = os.fspath(path)
    kind = next((k for e, k in READERS.items() if name.removesuffix(".gz").endswith(e)), None)
    if kind is None:
        raise InputError(
            f"{name} ends in none of {', '.join(ENDINGS)}; torch modules and state dicts are read "
            "in Python, by bnnopt.from_torch and bnnopt.from_state_dict"
        )
    module = import_module(f"bnnopt.exchange.{kind}")
    imported: Imported = getattr(module, f"read_{kind}")(path, **reading)
    imported.agreement = compared(imported, check)
    imported.agreement.raise_if_wrong()
    return imported

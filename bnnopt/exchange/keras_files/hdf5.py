"""Arrays of an HDF5 file, read in a process of their own.

A damaged file can keep the HDF5 library busy for ever, or end its process: the one that reads has a
limited time, and hands over plain arrays.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError

__all__ = ["hdf5_content"]

Array = npt.NDArray[Any]

SECONDS = 100.0
"""Of reading, at most; half a gigabyte takes a few."""

REFUSED = 3
"""The exit code of a program that says why."""


def hdf5_content(content: bytes, groups: tuple[str, ...]) -> tuple[str | None, dict[str, Array]]:
    """The configuration of a model of Keras in a file, if there is one, and arrays by their paths.

    Parameters
    ----------
    content : bytes
        Of the file.
    groups : tuple of str
        At the top, whose arrays are wanted.

    Returns
    -------
    config : str or None
        The attribute ``model_config``.
    arrays : dict of str to array of float32

    Raises
    ------
    NetworkFormatError
        If the file is damaged, too large, or points to other files.
    """
    program = Path(__file__).with_name("hdf5_child.py")
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", program, *groups],
            input=content,
            capture_output=True,
            timeout=SECONDS,
            env=os.environ | {"PYTHONPATH": paths},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NetworkFormatError(f"it cannot be read within {SECONDS:g} seconds") from None
    if done.returncode == REFUSED:
        raise NetworkFormatError(done.stderr.decode())
    if done.returncode:
        raise NetworkFormatError("the HDF5 library fails on it")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as found:
        about = json.loads(found["about"].tobytes())
        arrays = {path: found[f"array {number}"] for number, path in enumerate(about["paths"])}
    return about["config"], arrays

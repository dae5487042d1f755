"""``.npz`` files that may come from anywhere: bounded, and no pickle."""

from __future__ import annotations

import io
import json
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError

__all__ = ["arrays_of", "decode", "encode", "file_content"]

MAX_FILE_BYTES = 2**29
MAX_MEMBERS = 4 * 64 + 8
METADATA = "metadata"
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(KeyError, OverflowError, SyntaxError, ValueError, tokenize.TokenError),
    *(RuntimeError, NotImplementedError),  # encrypted; a compression that zipfile lacks
)
"""What zipfile and numpy raise on files that are not what they seem."""


def encode(arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    """The content of one ``.npz`` file with numeric `arrays` and JSON `metadata`.

    Raises
    ------
    NetworkFormatError
        If it would be too large to be read.
    """
    text = json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True).encode()
    stream = io.BytesIO()
    members: dict[str, Any] = {METADATA: np.frombuffer(text, dtype=np.uint8), **arrays}
    np.savez_compressed(stream, **members)
    content = stream.getvalue()
    if len(content) > MAX_FILE_BYTES:
        raise NetworkFormatError(
            f"the network takes {len(content)} bytes, and a file of one at most {MAX_FILE_BYTES}"
        )
    return content


def decode(content: bytes, name: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read what `encode` gave; the bytes may come from anywhere.

    Parameters
    ----------
    content : bytes
    name : str
        What messages call it, such as its path.

    Returns
    -------
    arrays : dict of str to array
        Integer and float arrays only.
    metadata : dict

    Raises
    ------
    NetworkFormatError
        If the content is truncated, expands to too much, or is not of this form.
    """
    members = arrays_of(content, name, "a network file")
    text = members.pop(METADATA, None)
    if text is None:
        raise NetworkFormatError(f"{name} is not a network file: it has no metadata")
    return members, _metadata(name, text)


def arrays_of(content: bytes, name: str, what: str) -> dict[str, npt.NDArray[Any]]:
    """The integer and float arrays of an ``.npz`` file's content, which may be anything.

    Parameters
    ----------
    content : bytes
    name, what : str
        What messages call it, and what they say that it is not.

    Raises
    ------
    NetworkFormatError
        As `decode` does.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _members(archive)
    except NetworkFormatError as error:
        raise NetworkFormatError(f"{name} is not {what}: {error}") from None
    except DAMAGE as error:
        raise NetworkFormatError(f"{name} is damaged or not {what}: {error}") from None


def file_content(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file that is to be decoded.

    Raises
    ------
    NetworkFormatError
        If the file is missing, too large, or cannot be read.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise NetworkFormatError(f"{name} does not exist") from None
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise NetworkFormatError(f"{name} cannot be read as a network file: {error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise NetworkFormatError(f"{name} is larger than {MAX_FILE_BYTES} bytes")
    return content


def _members(archive: zipfile.ZipFile) -> dict[str, npt.NDArray[Any]]:
    if len(archive.infolist()) > MAX_MEMBERS:
        raise NetworkFormatError(f"more than {MAX_MEMBERS} arrays")
    budget = MAX_FILE_BYTES
    arrays = {}
    for entry in archive.infolist():
        with archive.open(entry) as stream:
            content = stream.read(budget + 1)
        budget -= len(content)
        if budget < 0:
            raise NetworkFormatError(f"its arrays take more than {MAX_FILE_BYTES} bytes")
        arrays[entry.filename.removesuffix(".npy")] = _array(entry.filename, content)
    return arrays


def _array(name: str, content: bytes) -> npt.NDArray[Any]:
    """Decode one ``.npy`` member; the header's claim is checked before anything is allocated."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise NetworkFormatError(f"array {name!r} is of an unknown .npy version")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    left, size = len(content) - stream.tell(), math.prod(shape) * dtype.itemsize
    if dtype.kind not in "iuf" or fortran_order or size != left:
        raise NetworkFormatError(f"array {name!r} does not hold the numbers that it declares")
    return np.frombuffer(content, dtype=dtype, offset=stream.tell()).reshape(shape)


def _metadata(name: str, text: npt.NDArray[Any]) -> dict[str, Any]:
    try:
        metadata = json.loads(text.tobytes().decode())
    except (ValueError, RecursionError) as error:
        raise NetworkFormatError(f"{name} has damaged metadata: {error}") from None
    if not isinstance(metadata, dict):
        raise NetworkFormatError(f"{name} has damaged metadata: not a JSON object")
    return metadata

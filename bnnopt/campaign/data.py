"""A campaign's own images: known by their content, so that a changed file is other images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bnnopt.datasets import read_images
from bnnopt.datasets.indexed import Images
from bnnopt.errors import InputError
from bnnopt.images import as_array

__all__ = [
    "DIGEST_BYTES",
    "OwnData",
    "StoredData",
    "digest_of_all",
    "digest_of_image",
    "read_own",
    "shown_names",
    "stored_type",
]

DIGEST_BYTES = hashlib.sha256().digest_size
PREFIX = "sha256:"


@dataclass(frozen=True, eq=False)
class OwnData:
    """The images and labels of a file, as a campaign stores them.

    Parameters
    ----------
    images : Images
        With labels, in a type that `stored_type` takes.
    """

    images: Images

    @property
    def name(self) -> str:
        """The file's, without its ending."""
        return Path(self.images.name).stem

    @property
    def type(self) -> str:
        """Of a pixel, as `stored_type` takes it."""
        return str(self.images.images.dtype.str)

    @cached_property
    def digests(self) -> bytes:
        """`digest_of_image` of every image, one after the other."""
        return b"".join(digest_of_image(self.type, *self.row(i)) for i in range(len(self.images)))

    @cached_property
    def identity(self) -> str:
        """What cells call these images: the same for the same pixels and labels."""
        return digest_of_all(self.digests)

    def row(self, index: int) -> tuple[bytes, int]:
        """The pixels of an image, and its class."""
        return self.images.images[index].tobytes(), self.images.label(index) or 0


@dataclass(frozen=True)
class StoredData:
    """A set of images of a user's own file, as it is stored.

    Parameters
    ----------
    identity, name, type : str
    digests : bytes
        As in `OwnData`.
    """

    identity: str
    name: str
    type: str
    digests: bytes


def read_own(path: str | os.PathLike[str]) -> OwnData:
    """Read an ``.npz`` file of images and labels: see `bnnopt.datasets.read_images`.

    Raises
    ------
    InputError
        If it is no such file, or has no labels.
    """
    given = read_images(path)
    if given.labels is None:
        raise InputError(f"{given.name} has no array 'labels': give the class of each image")
    pixels = as_array(given.images)
    return OwnData(replace(given, images=pixels.astype(pixels.dtype.newbyteorder("<"))))


def stored_type(text: Any) -> np.dtype[Any]:
    """The type of stored pixels: integers or floats of at most 64 bits, the lowest byte first.

    Raises
    ------
    ValueError
        If the text, which may come from a damaged store, says anything else.
    """
    known = {np.dtype(f"<{kind}{size}").str for kind in "iu" for size in (1, 2, 4, 8)}
    known |= {f"<f{size}" for size in (2, 4, 8)}
    if text not in known:
        raise ValueError(f"pixels of type {text!r}")
    kind: np.dtype[Any] = np.dtype(text)
    return kind


def digest_of_image(kind: str, pixels: bytes, label: int) -> bytes:
    """SHA-256 of an image: its pixels as they are stored, their type, and its class."""
    return hashlib.sha256(f"bnnopt image {kind} {label} ".encode() + pixels).digest()


def digest_of_all(digests: bytes) -> str:
    """What a set of images with these `OwnData.digests` is called."""
    return PREFIX + hashlib.sha256(digests).hexdigest()


def shown_names(stored: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Short names of stored sets: the file's name, with some digits where two have the same.

    Parameters
    ----------
    stored : iterable of (identity, name)
    """
    pairs = list(stored)
    names = [name for _, name in pairs]
    digits = slice(len(PREFIX), len(PREFIX) + 8)
    return {
        identity: name if names.count(name) == 1 else f"{name}@{identity[digits]}"
        for identity, name in pairs
    }

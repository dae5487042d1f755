"""MNIST and Fashion-MNIST, checked by checksum; 100 Fashion-MNIST test images are embedded.

`load` looks in ``$BNNOPT_DATA/<name>/``, the system's folder (Debian's package
``dataset-fashion-mnist``), the user's cache, and then downloads.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from bnnopt.datasets import files
from bnnopt.datasets.catalog import LEVELS, NAMES, DatasetSpec, Split, spec
from bnnopt.datasets.idx import parse_idx
from bnnopt.datasets.indexed import Images
from bnnopt.datasets.own import read_images

__all__ = [
    "NAMES",
    "Dataset",
    "Split",
    "embedded",
    "fetch",
    "for_indices",
    "load",
    "read_images",
    "where",
]

EMBEDDED = "fashion-mnist"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Images):
    """Grey images with labels.

    Parameters
    ----------
    name : str
        Of the set.
    images : array of uint8, shape (count, 28, 28)
        Grey levels, 0 black and 255 white.
    labels : array of uint8, shape (count,)
        The classes, by number.
    class_names : tuple of str
        By class.
    """

    name: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    class_names: tuple[str, ...]

    def x(self, index: int | Sequence[int] | slice = slice(None)) -> npt.NDArray[np.float64]:
        """Images as float64 in [0, 1]: shape (28, 28) for an int, else (count, 28, 28)."""
        return self.images[index] / LEVELS


def load(name: str, split: Split = "test") -> Dataset:
    """Load a whole split, downloading it if it is nowhere on this machine.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist"}
        Of the set.
    split : {"train", "test"}
        60,000 or 10,000 images.

    Raises
    ------
    UnknownNameError
        If there is no such data set or split.
    DataError
        If it cannot be found or downloaded, or is damaged.
    """
    dataset = spec(name)
    arrays = []
    for file in dataset.files(split):
        path = files.locate(name, file) or files.fetch(dataset, file)
        arrays.append(parse_idx(files.content(path, file)))
    return _dataset(dataset, *arrays)


def embedded() -> Dataset:
    """The first 100 Fashion-MNIST test images, shipped with the package (MIT licence)."""
    folder = resources.files("bnnopt.datasets") / "embedded"
    arrays = [
        parse_idx(gzip.decompress((folder / f"{file.name}.gz").read_bytes()))
        for file in spec(EMBEDDED).files("test")
    ]
    return _dataset(spec(EMBEDDED), *arrays)


def for_indices(name: str, indices: Sequence[int]) -> Dataset:
    """The test set of `name`, or only its embedded start where that holds all of `indices`.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist"}
        Of the set.
    indices : sequence of int
        Of its test set, from 0.

    Raises
    ------
    InputError
        If an index is out of range.
    """
    sample = embedded() if spec(name).name == EMBEDDED else None
    if sample is not None and all(0 <= index < len(sample) for index in indices):
        return sample
    dataset = load(name, "test")
    dataset.check_indices(indices)
    return dataset


def where(name: str) -> dict[str, str | None]:
    """The path of each file of a data set, None for those that are not on this machine.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist"}
        Of the set.
    """
    dataset = spec(name)
    found: dict[str, str | None] = {}
    for split in ("train", "test"):
        for file in dataset.files(split):
            path = files.locate(name, file)
            found[file.name] = str(path) if path else None
    return found


def fetch(name: str) -> dict[str, str]:
    """Make sure that every file of a data set is on this machine and intact; return the paths.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist"}
        Of the set.
    """
    dataset = spec(name)
    paths = {}
    for split in ("train", "test"):
        for file in dataset.files(split):
            path = files.locate(name, file) or files.fetch(dataset, file)
            files.content(path, file)
            paths[file.name] = str(path)
    return paths


def _dataset(
    dataset: DatasetSpec, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]
) -> Dataset:
    return Dataset(dataset.name, images, labels, dataset.class_names)

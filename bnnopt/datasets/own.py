"""A user's own images, from an ``.npz`` file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt import npz
from bnnopt.datasets.indexed import Images
from bnnopt.errors import InputError, NetworkFormatError

__all__ = ["read_images"]


def read_images(path: str | os.PathLike[str]) -> Images:
    """Read images, and labels if there are some; the file may come from anywhere.

    Parameters
    ----------
    path : path
        An ``.npz`` file with an array ``images``, shape (count, ...): integers are levels, such as
        0 to 255, floats values in [0, 1]; and perhaps ``labels``, shape (count,), class numbers.

    Raises
    ------
    InputError
        If the file is missing or damaged, or holds something else.
    """
    name = os.fspath(path)
    try:
        arrays = npz.arrays_of(npz.file_content(path), name, "an .npz file of images")
    except NetworkFormatError as error:
        raise InputError(str(error)) from None
    if "images" not in arrays:
        raise InputError(f"{name} has no array 'images', but {sorted(arrays)}")
    images = arrays["images"]
    if images.ndim < 2 or not len(images):
        raise InputError(f"{name}: images has the shape {images.shape}: give (count, ...)")
    labels = arrays.get("labels")
    return Images(name, images, None if labels is None else _labels(labels, len(images), name))


def _labels(labels: npt.NDArray[Any], count: int, name: str) -> npt.NDArray[np.int64]:
    whole = labels.astype(np.int64)
    if labels.shape != (count,) or np.any(whole != labels) or np.any(whole < 0):
        raise InputError(f"{name}: labels must be {count} class numbers, one an image")
    return whole

"""Read a network from a file of Keras or Larq."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.exchange.content import file_content, needs
from bnnopt.exchange.image import FileInput, Limits, image_of
from bnnopt.exchange.imported import Imported, finished
from bnnopt.network import BinarizedNetwork

__all__ = ["from_keras", "read_keras"]

Array = npt.NDArray[Any]

AT_ONCE = 16
"""Images that are evaluated at a time: windows of images take memory."""


def from_keras(
    path: str | os.PathLike[str],
    *,
    input_range: Limits = (0, 1),
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    levels: int = 255,
    check: npt.ArrayLike | int = 200,
) -> BinarizedNetwork:
    """Read a binarized network from a file of Keras or Larq, and compare it with the file.

    Neither Keras nor TensorFlow is needed, and no code of the file runs. For the comparison the
    file's layers are evaluated in float32 by numpy, apart from the way that they are read.

    Parameters
    ----------
    path : path
        A whole model: ``.h5`` (``model.save("net.h5")`` in Keras 2, as Larq has it) or ``.keras``.
    input_range : (number, number)
        What the file takes for black and white, pixels 0 and 1: (0, 255), (-1, 1), ...
    mean, std : array_like
        The file takes ``(value - mean) / std`` of a value in that range; one number, one a
        channel, or of the image's shape.
    levels : int
        Steps between black and white; 255 for 8-bit images.
    check : array_like of images, or int
        Images on which every neuron is compared; or how many to draw: random ones, and some that
        lie on thresholds. 0 compares nothing.

    Returns
    -------
    BinarizedNetwork
        Of images in [0, 1] of the file's own shape: rows, columns, channels.

    Raises
    ------
    NetworkFormatError
        If a layer is none of a binarized network's, with its name.
    ImportDisagreesError
        If the comparison finds a difference that rounding does not explain.

    Examples
    --------
    >>> network = bnnopt.from_keras("binarynet.h5", input_range=(-1, 1))   # doctest: +SKIP
    """
    found = read_keras(path, input_range=input_range, mean=mean, std=std, levels=levels)
    from bnnopt.exchange.comparison.agreement import compared

    compared(found, check).raise_if_wrong()
    return found.network


def read_keras(
    source: str | os.PathLike[str] | bytes,
    *,
    input_range: Limits = (0, 1),
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    levels: int = 255,
) -> Imported:
    """Read a network from a file or its bytes, with what is known about it; nothing is compared.

    Parameters are those of `from_keras`.
    """
    needs("h5py", "reading files of Keras")
    from bnnopt.exchange.keras_files.evaluation import evaluated_layers
    from bnnopt.exchange.keras_files.file import read_model
    from bnnopt.exchange.keras_files.layers import walk

    content, name = file_content(source)
    model = read_model(content, name)
    about = FileInput("image", model.input_shape, np.dtype(np.float32), None, True)
    image = image_of(about, input_range, mean, std, levels)

    def evaluate(values: Array, names: list[str]) -> list[Array]:
        parts = [
            evaluated_layers(model, values[at : at + AT_ONCE], names)
            for at in range(0, len(values), AT_ONCE)
        ]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    stem = os.path.splitext(os.path.basename(name.removesuffix(".gz")))[0]
    return finished(walk(model, image), image, stem, evaluate=evaluate)

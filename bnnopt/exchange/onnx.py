"""Read a network from an ONNX or QONNX file."""

from __future__ import annotations

import os
from typing import Any

import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.content import file_content, needs, one_line
from bnnopt.exchange.image import Limits, image_of
from bnnopt.exchange.imported import Imported, finished
from bnnopt.exchange.onnx_files.own_file import behind_levels, levels_of
from bnnopt.network import BinarizedNetwork

__all__ = ["from_onnx", "read_onnx"]


def from_onnx(
    path: str | os.PathLike[str],
    *,
    input_range: Limits = (0, 1),
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    levels: int = 255,
    check: npt.ArrayLike | int = 200,
) -> BinarizedNetwork:
    """Read a binarized network from an ONNX or QONNX file, and compare it with the file.

    Parameters
    ----------
    path : path
        An ``.onnx`` file, or one in ``.gz``.
    input_range : (number, number)
        What the file takes for black and white, pixels 0 and 1: (0, 255), (-1, 1), ...
    mean, std : array_like
        The file takes ``(value - mean) / std`` of a value in that range; one number, one a
        channel, or of the image's shape.
    levels : int
        Steps between black and white; 255 for 8-bit images. A file that bnnopt wrote says its own.
    check : array_like of images, or int
        Images on which every neuron is compared with what the file gives, by onnxruntime; or how
        many to draw: random ones, and some that lie on thresholds. 0 compares nothing.

    Returns
    -------
    BinarizedNetwork
        Of images in [0, 1] of the file's own shape.

    Raises
    ------
    NetworkFormatError
        If a node is none of a binarized network's, with its name; or the comparison fails.

    Examples
    --------
    >>> network = bnnopt.from_onnx("net.onnx")                      # doctest: +SKIP
    >>> bnnopt.attack(network, image, epsilon="2/255").flipped      # doctest: +SKIP
    """
    from bnnopt.exchange.comparison.agreement import compared

    imported = read_onnx(path, input_range=input_range, mean=mean, std=std, levels=levels)
    compared(imported, check).raise_if_wrong()
    return imported.network


def read_onnx(
    source: str | os.PathLike[str] | bytes,
    *,
    input_range: Limits = (0, 1),
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
    levels: int = 255,
) -> Imported:
    """Read a network from a file or its bytes, with what is known about it; nothing is compared.

    Parameters are those of `from_onnx`.
    """
    needs("onnx", "reading ONNX files")
    from bnnopt.exchange.onnx_files.graph import walk
    from bnnopt.exchange.onnx_files.input import file_input

    try:
        content, name = file_content(source)
        model = _parsed(content, name)
        about = file_input(model)
        image = image_of(about, input_range, mean, std, levels_of(model, levels))
        part, known = behind_levels(model, image.tensor)
        found = walk(part, about, image.tensor, known)
        return finished(found, image, _stem(name), model=model)
    except NetworkFormatError as error:
        raise NetworkFormatError(one_line(error)) from None


def _stem(name: str) -> str:
    base = os.path.basename(name)
    for ending in (".gz", ".onnx", ".qonnx"):
        base = base.removesuffix(ending)
    return base


def _parsed(content: bytes, name: str) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    from bnnopt.exchange.onnx_files.nodes import checked
    from bnnopt.exchange.onnx_files.wire import check_parts

    check_parts(content, onnx.ModelProto, name)
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise NetworkFormatError(f"{name} is no ONNX file: {error}") from None
    if not model.graph.node:
        raise NetworkFormatError(f"{name} is no ONNX file: it has no nodes")
    return checked(model)

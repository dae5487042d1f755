"""The shipped networks: the paper's eight architectures on both data sets, and robust ones."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable

from bnnopt.datasets import NAMES as DATASETS
from bnnopt.errors import UnknownNameError
from bnnopt.network import BinarizedNetwork

__all__ = ["ARCHITECTURES", "NAMES", "ROBUST", "file", "load"]

ARCHITECTURES = (
    (2, 100),
    (2, 200),
    (2, 300),
    (2, 400),
    (2, 500),
    (3, 100),
    (4, 100),
    (5, 100),
)
"""Depth and width of the paper's networks (section 5)."""

ROBUST = (
    "mnist-robust-0.1",
    "mnist-robust-0.3",
    "fashion-mnist-robust-0.1",
    "fashion-mnist-robust-0.02",
)
"""Networks whose robustness within the epsilon of their name is proved (docs/robust.md)."""

NAMES = (
    *(f"{dataset}-{depth}x{width}" for dataset in DATASETS for depth, width in ARCHITECTURES),
    *ROBUST,
)


def file(name: str) -> Traversable:
    """The ``.npz`` file of a shipped network.

    Parameters
    ----------
    name : str
        Of `NAMES`.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    """
    if name not in NAMES:
        raise UnknownNameError("network", name, NAMES, ", or the path of a network file")
    return resources.files("bnnopt.zoo") / "networks" / f"{name}.npz"


@lru_cache(maxsize=len(NAMES))
def load(name: str) -> BinarizedNetwork:
    """Load a shipped network by name, such as ``"fashion-mnist-2x100"``.

    Parameters
    ----------
    name : str
        Of `NAMES`.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    """
    with resources.as_file(file(name)) as path:
        return BinarizedNetwork.load(path)

"""Properties of networks in the VNN-LIB format: read, and written."""

from __future__ import annotations

from bnnopt.exchange.vnnlib.properties import Array, Case, Choice, Difference, Property
from bnnopt.exchange.vnnlib.reading import packed, read_vnnlib
from bnnopt.exchange.vnnlib.writing import VERSIONS, write_vnnlib

__all__ = [
    "VERSIONS",
    "Array",
    "Case",
    "Choice",
    "Difference",
    "Property",
    "packed",
    "read_vnnlib",
    "write_vnnlib",
]

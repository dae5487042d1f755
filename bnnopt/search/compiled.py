"""How the search kernel is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

__all__ = ["compiled", "inlined"]

Function = TypeVar("Function", bound=Callable[..., Any])

FLAGS = {
    "cache": True,
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},  # sums in any order; no NaN is assumed away
    "error_model": "numpy",
}

compiled: Callable[[Function], Function] = njit(**FLAGS)

inlined: Callable[[Function], Function] = njit(inline="always", **FLAGS)
"""For what runs in tens of nanoseconds: a call with named tuples of arrays takes longer."""

"""How the search kernel is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

__all__ = ["compiled"]

Function = TypeVar("Function", bound=Callable[..., Any])

compiled: Callable[[Function], Function] = njit(
    cache=True,
    nogil=True,
    fastmath={"reassoc", "contract", "nsz", "arcp"},  # sums in any order; no NaN is assumed away
    error_model="numpy",
)

"""How the search kernel is compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar

import numba
from numba import njit, types

from bnnopt.search.linking import PartCompiler

__all__ = ["compiled", "inlined"]

Function = TypeVar("Function", bound=Callable[..., Any])

FLAGS = {
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},  # sums in any order; no NaN is assumed away
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}


class _Kernel:
    def __init__(self, function: Any, **options: Any) -> None:
        self.py_func = function
        self.part = njit(pipeline_class=PartCompiler, no_cpython_wrapper=True, **FLAGS, **options)(
            function
        )
        self.entry = njit(cache=True, **FLAGS)(function)
        self._numba_type_ = types.Dispatcher(self.part)
        update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        return self.entry(*arguments)


def compiled(function: Any) -> Any:
    return function if numba.config.DISABLE_JIT else _Kernel(function)


inlined: Callable[[Function], Function] = njit(inline="always", **FLAGS)
"""For what runs in tens of nanoseconds: a call with named tuples of arrays takes longer."""

"""How the search kernel is compiled.

A compiled function that calls others contains their code, so that only what Python calls needs
machine code, a wrapper for Python and a place in numba's cache. So a function is compiled twofold,
each when it is needed: as a part of others (`bnnopt.search.parts`), and as what Python calls.

Each kind of argument is compiled for itself, and a constant of whole numbers or of truth is a kind
of its own: where functions are called with several, they get `as_int(1)` or `as_bool(True)`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import njit, types

from bnnopt.search.cache import forget_other_sources
from bnnopt.search.parts import PartCompiler

__all__ = ["as_bool", "as_int", "compiled", "inlined"]

Function = TypeVar("Function", bound=Callable[..., Any])

FLAGS = {
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},  # sums in any order; no NaN is assumed away
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}


PARTS_KNOWN = numba.__version__.startswith("0.68.")
"""Parts need what numba does not promise to keep; elsewhere all functions are compiled as usual,
which takes three times as long."""


class _Kernel:
    """A function that compiled ones and Python call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        update_wrapper(self, function)
        self.py_func = function

    def __call__(self, *arguments: Any) -> Any:
        return self._callable(*arguments)

    @cached_property
    def _callable(self) -> Callable[..., Any]:
        function = njit(cache=True, **FLAGS)(self.py_func)
        forget_other_sources(
            Path(function.stats.cache_path), Path(self.py_func.__code__.co_filename).parent
        )
        return cast(Callable[..., Any], function)

    @cached_property
    def _part(self) -> Any:
        if not PARTS_KNOWN:
            return self._callable
        return njit(pipeline_class=PartCompiler, no_cpython_wrapper=True, **FLAGS)(self.py_func)

    @property
    def _numba_type_(self) -> types.Dispatcher:
        """What numba asks of a global that compiled code calls."""
        return types.Dispatcher(self._part)


def compiled(function: Function) -> Function:
    """Compile a function when it is first called; without numba's compiler it stays as it is."""
    return function if numba.config.DISABLE_JIT else cast(Function, _Kernel(function))


inlined: Callable[[Function], Function] = njit(inline="always", **FLAGS)
"""For what runs in tens of nanoseconds: a call with named tuples of arrays takes longer."""

as_int: Callable[[int], int] = cast(Any, np.int64)
as_bool: Callable[[bool], bool] = cast(Any, np.bool_)

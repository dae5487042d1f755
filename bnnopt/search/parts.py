"""Functions compiled as parts of others: their intermediate code only."""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

__all__ = ["PartCompiler"]


class _PartLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Intermediate code, with that of what it calls: no machine code is made of it.

    It is optimized all the same: where only the whole is, deep networks take 15 % longer. But once
    only: two passes that come before make no code faster, and take a sixth of all compilation.
    """

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager()
        passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalized = True


class PartCompiler(Compiler):  # type: ignore[misc]
    """Compiles a function for compiled callers; there is nothing that Python could call."""

    def __init__(self, typingctx: Any, targetctx: Any, library: Any, args: Any, *rest: Any) -> None:
        library = _PartLibrary(targetctx.codegen(), "part")
        super().__init__(typingctx, targetctx, library, args, *rest)
        self.state.flags.no_compile = True

    def compile_extra(self, func: Any) -> Any:
        """Compile, and make the result known to what lowers calls."""
        # Numba knows a compiled function by its entry, for which any builtin object of its own
        # serves.
        entry = [].clear
        result = super().compile_extra(func)._replace(entry_point=entry)
        self.state.targetctx.insert_user_function(entry, result.fndesc, [result.library])
        return result

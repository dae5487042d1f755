"""Compiled functions that are a part of others only: lowered once, optimized where they end up."""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

__all__ = ["PartCompiler"]


class _Part(JITCodeLibrary):
    """Intermediate code that callers link in: no machine code is made of it."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


class PartCompiler(Compiler):
    """Compiles a function for its callers; Python cannot call it."""

    def __init__(
        self,
        typingctx: Any,
        targetctx: Any,
        library: Any,
        args: Any,
        return_type: Any,
        flags: Any,
        locals: Any,  # noqa: A002 - the base class's name
    ) -> None:
        flags.no_compile = True
        library = _Part(targetctx.codegen(), "part")
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)

    def compile_extra(self, func: Any) -> Any:
        name: Any = [].clear
        result = super().compile_extra(func)._replace(entry_point=name)
        self.state.targetctx.insert_user_function(name, result.fndesc, [result.library])
        return result

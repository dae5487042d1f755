"""Pyomo's linear standard form of a model, which may be stopped on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from solvers.errors import CompilationStoppedError

__all__ = ["linear_form"]

TERMS_BETWEEN_CHECKS = 2000


def linear_form(model: Any, stop: Callable[[], bool] | None) -> Any:
    """Pyomo's `LinearStandardFormInfo` of a model, in mixed form.

    Parameters
    ----------
    model : pyomo Block
    stop : callable or None
        Asked every few thousand terms, but not within one sum.

    Raises
    ------
    CompilationStoppedError
        If `stop` says so.
    """
    from pyomo.common.gc_manager import PauseGC
    from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

    if stop is None:
        return LinearStandardFormCompiler().write(model, mixed_form=True, set_sense=None)
    config = LinearStandardFormCompiler().config()
    config.mixed_form, config.set_sense = True, None
    compiler = _compiler()(config)
    compiler.stop = stop
    with PauseGC():  # as LinearStandardFormCompiler.write does
        return compiler.write(model)


@cache
def _compiler() -> Any:
    """Pyomo's compiler with a walker that asks `stop`: the hook that its class leaves for that.

    Made here since Pyomo is imported by whoever has a model of it, and by nobody else.
    """
    from pyomo.core.expr.numeric_expr import LinearExpression
    from pyomo.repn.linear import LinearRepnVisitor
    from pyomo.repn.plugins.standard_form import _LinearStandardFormCompiler_impl

    class Walker(LinearRepnVisitor):  # type: ignore[misc]
        stop: Callable[[], bool]
        terms = 0

        def beforeChild(self, node: Any, child: Any, child_idx: int) -> Any:  # noqa: N802
            self.terms += child.nargs() if child.__class__ is LinearExpression else 1
            if self.terms > TERMS_BETWEEN_CHECKS:
                self.terms = 0
                if self.stop():
                    raise CompilationStoppedError
            return super().beforeChild(node, child, child_idx)

    class Compiler(_LinearStandardFormCompiler_impl):  # type: ignore[misc]
        stop: Callable[[], bool]

        def _get_visitor(self, *args: Any, **kwargs: Any) -> Walker:
            walker = Walker(*args, **kwargs)
            walker.stop = self.stop
            return walker

    return Compiler

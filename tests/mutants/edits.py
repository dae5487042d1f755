"""The small errors that one node of a syntax tree allows."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.mutants.source import Source

__all__ = ["KINDS", "Edit", "edits_of"]

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
}
NAMES = {
    "floor": ("rounding", "ceil"),
    "ceil": ("rounding", "floor"),
    "round": ("rounding", "floor"),
    "trunc": ("rounding", "floor"),
    "min": ("extreme", "max"),
    "max": ("extreme", "min"),
    "minimum": ("extreme", "maximum"),
    "maximum": ("extreme", "minimum"),
    "argmin": ("extreme", "argmax"),
    "argmax": ("extreme", "argmin"),
    "any": ("logic", "all"),
    "all": ("logic", "any"),
}
"""Functions and methods that are mistaken for each other."""

SMALL = 2e-3
"""Numbers up to this are tolerances: they are dropped, or get the other sign."""

KINDS = (
    "comparison",
    "sign",
    "addend",
    "factor",
    "rounding",
    "extreme",
    "constant",
    "condition",
    "logic",
    "jump",
    "statement",
)


@dataclass(frozen=True)
class Edit:
    """Other text between two positions of a file."""

    kind: str
    start: int
    end: int
    text: str


def edits_of(node: ast.AST, source: Source) -> Iterator[Edit]:
    """All of one node, not of those within it."""
    for kind, edits in _EDITS.items():
        if isinstance(node, kind):
            yield from edits(node, source)


def _of(kind: str, source: Source, node: ast.expr | ast.stmt, text: str) -> Edit:
    """Replace a node; the lines after it keep their numbers."""
    lost = "\n" * (source.text(node).count("\n") - text.count("\n"))
    text = text[:-1] + lost + ")" if text.endswith(")") else text + lost
    return Edit(kind, *source.span(node), text)


def _comparisons(node: ast.Compare, source: Source) -> Iterator[Edit]:
    left = node.left
    for operator, right in zip(node.ops, node.comparators, strict=True):
        old, new = COMPARISONS[type(operator)]
        yield Edit("comparison", *source.between(left, right, old), new)
        left = right


def _operations(node: ast.BinOp, source: Source) -> Iterator[Edit]:
    if type(node.op) not in OPERATORS:
        return
    old, new = OPERATORS[type(node.op)]
    is_sum = isinstance(node.op, ast.Add | ast.Sub)
    yield Edit("sign" if is_sum else "factor", *source.between(node.left, node.right, old), new)
    if is_sum:
        yield _of("addend", source, node, f"({source.text(node.left)})")
    if isinstance(node.op, ast.Add):
        yield _of("addend", source, node, f"({source.text(node.right)})")


def _unaries(node: ast.UnaryOp, source: Source) -> Iterator[Edit]:
    if isinstance(node.op, ast.USub):
        yield _of("sign", source, node, f"({source.text(node.operand)})")
    elif isinstance(node.op, ast.Not | ast.Invert):
        yield _of("condition", source, node, f"({source.text(node.operand)})")


def _logic(node: ast.BoolOp, source: Source) -> Iterator[Edit]:
    old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    for left, right in zip(node.values, node.values[1:], strict=False):
        yield Edit("logic", *source.between(left, right, old), new)


def _calls(node: ast.Call, source: Source) -> Iterator[Edit]:
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    if name in NAMES:
        kind, new = NAMES[name]
        end = source.span(called)[1]
        new = f"np.{new}" if isinstance(called, ast.Name) and kind == "rounding" else new
        yield Edit(kind, end - len(name), end, new)
    if name in ("abs", "fabs") and len(node.args) == 1:
        yield _of("sign", source, node, f"({source.text(node.args[0])})")


def _constants(node: ast.Constant, source: Source) -> Iterator[Edit]:
    value = node.value
    if isinstance(value, bool):
        yield _of("constant", source, node, str(not value))
    elif isinstance(value, int | float):
        for new in _other_numbers(value):
            yield _of("constant", source, node, repr(new))


def _other_numbers(value: float) -> tuple[float, ...]:
    if value == 0:
        return (type(value)(1),)
    if abs(value) <= SMALL:
        return 0.0, -value
    return (2 * value,)


def _conditions(node: ast.If | ast.IfExp, source: Source) -> Iterator[Edit]:
    test = node.test
    if not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
        yield _of("condition", source, test, f"(not ({source.text(test)}))")


def _filters(node: ast.comprehension, source: Source) -> Iterator[Edit]:
    for test in node.ifs:
        yield _of("condition", source, test, f"(not ({source.text(test)}))")


def _jumps(node: ast.If, source: Source) -> Iterator[Edit]:
    """Leave out an early end."""
    for last in (node.body[-1], *node.orelse[-1:]):
        if isinstance(last, ast.Return | ast.Continue | ast.Break):
            yield _of("jump", source, last, "pass")


def _statements(node: ast.stmt, source: Source) -> Iterator[Edit]:
    """Leave out what changes something that is there already."""
    if isinstance(node, ast.Assign):
        changes = any(isinstance(t, ast.Attribute | ast.Subscript) for t in node.targets)
    else:
        changes = isinstance(node, ast.AugAssign) or isinstance(
            getattr(node, "value", None), ast.Call
        )
    if changes:
        yield _of("statement", source, node, "pass")


def _augmented(node: ast.AugAssign, source: Source) -> Iterator[Edit]:
    if type(node.op) in OPERATORS:
        old, new = OPERATORS[type(node.op)]
        kind = "sign" if isinstance(node.op, ast.Add | ast.Sub) else "factor"
        start, end = source.between(node.target, node.value, f"{old}=")
        yield Edit(kind, start, end, f"{new}=")


_EDITS: dict[Any, Callable[[Any, Source], Iterator[Edit]]] = {
    ast.Compare: _comparisons,
    ast.BinOp: _operations,
    ast.UnaryOp: _unaries,
    ast.BoolOp: _logic,
    ast.Call: _calls,
    ast.Constant: _constants,
    (ast.If, ast.IfExp): _conditions,
    ast.comprehension: _filters,
    ast.If: _jumps,
    (ast.Assign, ast.AugAssign, ast.Expr): _statements,
    ast.AugAssign: _augmented,
}

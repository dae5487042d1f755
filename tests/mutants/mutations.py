"""All mutants of a file: each is the file with one small error."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tests.mutants.edits import Edit, edits_of
from tests.mutants.source import Source

__all__ = ["Mutant", "mutants_of"]

LOGGING = ("debug", "info", "warning", "error", "log")


@dataclass(frozen=True)
class Mutant:
    """One small error.

    Parameters
    ----------
    file, function : str
        Where it is; the function is empty outside all.
    line : int
    kind : str
        Of `KINDS`.
    before, after : str
        The line, without its indent.
    number : int
        From 0, of the places in a function where that line becomes this one.
    edit : Edit
    """

    file: str
    function: str
    line: int
    kind: str
    before: str
    after: str
    number: int
    edit: Edit

    @property
    def name(self) -> str:
        """The same as long as the line is the same, wherever it stands."""
        key = "\n".join([self.function, self.before, self.after, str(self.number)])
        return f"{self.file}:{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def mutants_of(file: str, text: str, only: Collection[str] = ()) -> list[Mutant]:
    """Make all mutants of a file.

    Parameters
    ----------
    file : str
    text : str
        Its content.
    only : collection of str
        Functions; all of the file if there are none.
    """
    source = Source(text)
    mutants, seen = [], Counter[tuple[str, str, str]]()
    for function, node in _nodes(source.tree, ""):
        if only and function not in only:
            continue
        for edit in edits_of(node, source):
            before = source.lines(edit.start, edit.end)
            after = source.lines(edit.start, edit.end, edit.text)
            key = function, before, after
            line = source.line_of(edit.start)
            mutants.append(Mutant(file, function, line, edit.kind, before, after, seen[key], edit))
            seen[key] += 1
    return mutants


def _nodes(node: ast.AST, function: str) -> Iterator[tuple[str, ast.AST]]:
    """What does something, with the function that it is in: no words, no types, no complaints."""
    if _says_nothing(node):
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
        parts: list[ast.AST] = [*node.body]
        if isinstance(node, ast.FunctionDef):
            parts += [d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None]
    elif isinstance(node, ast.AnnAssign):
        parts = [node.value] if node.value is not None else []
    else:
        yield function, node
        parts = list(ast.iter_child_nodes(node))
    for part in parts:
        yield from _nodes(part, function)


def _says_nothing(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Raise | ast.JoinedStr):
        return True
    if isinstance(node, ast.Expr):
        value = node.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            return value.func.attr in LOGGING
        return isinstance(value, ast.Constant)
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)

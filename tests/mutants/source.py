"""A file's text by the positions of its syntax tree."""

from __future__ import annotations

import ast
import io
import re
import tokenize

__all__ = ["Source"]


class Source:
    """Bytes, since the columns of a syntax tree count those.

    Parameters
    ----------
    text : str
    """

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self.bytes = text.encode()
        self._starts = [0]
        for line in self.bytes.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._code = self._without_comments(text)

    def _without_comments(self, text: str) -> bytes:
        """The same bytes with blanks for comments, in which operators may be mentioned."""
        code = bytearray(self.bytes)
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                before = token.line[:column].encode()
                start = self._starts[row - 1] + len(before)
                length = len(token.string.encode())
                code[start : start + length] = b" " * length
        return bytes(code)

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Where a node starts and ends, in bytes."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr | ast.stmt) -> str:
        """A node's text."""
        start, end = self.span(node)
        return self.bytes[start:end].decode()

    def between(self, left: ast.expr, right: ast.expr, token: str) -> tuple[int, int]:
        """Where an operator stands that is written between two expressions."""
        start, end = self.span(left)[1], self.span(right)[0]
        pattern = rb"\s+".join(re.escape(part.encode()) for part in token.split())
        found = re.search(pattern, self._code[start:end])
        assert found is not None, f"no {token} in {self.bytes[start:end]!r}"
        return start + found.start(), start + found.end()

    def line_of(self, position: int) -> int:
        """The number of the line, from 1, that a byte is on."""
        return self.bytes.count(b"\n", 0, position) + 1

    def replaced(self, start: int, end: int, text: str) -> str:
        """The whole text with other text in one place."""
        return (self.bytes[:start] + text.encode() + self.bytes[end:]).decode()

    def lines(self, start: int, end: int, text: str | None = None) -> str:
        """The lines that a place is on, without indents; with other text there if it is given."""
        first = self.bytes.rfind(b"\n", 0, start) + 1
        last = self.bytes.find(b"\n", end)
        inside = self.bytes[start:end] if text is None else text.encode()
        whole = self.bytes[first:start] + inside + self.bytes[end : None if last < 0 else last]
        return " ".join(whole.decode().split())

"""What is in a file of protocol buffers, counted before it is parsed.

A parser makes an object of each part, some hundred bytes of memory for as few as two of the file,
and takes up to eight for one of a packed number: so a small file could fill the memory.
"""

from __future__ import annotations

from typing import Any

from bnnopt.errors import NetworkFormatError

__all__ = ["check_parts"]

MOST_PARTS = 2**19
MOST_PACKED = 2**26
"""Bytes of packed numbers, which a parser may make eight times as large."""

DEEPEST = 50
NUMBERS, EIGHT_BYTES, NESTED, FOUR_BYTES = 0, 1, 2, 5
MESSAGE, STRING, BYTES = 11, 9, 12
"""Types of fields, as their descriptors number them."""


def check_parts(content: bytes, kind: Any, name: str) -> None:
    """Refuse content that is broken, or would be far larger in memory.

    Parameters
    ----------
    content : bytes
    kind : message class
        What it is parsed as.
    name : str
        What an error calls it.

    Raises
    ------
    NetworkFormatError
    """
    parts = packed = 0
    waiting = [(0, len(content), kind.DESCRIPTOR, 0)]
    while waiting:
        at, end, descriptor, depth = waiting.pop()
        while at < end:
            parts += 1
            if depth > DEEPEST or parts > MOST_PARTS:
                raise NetworkFormatError(f"{name} has more parts than a network would")
            tag, at = _number(content, at, end, name)
            field = descriptor.fields_by_number.get(tag >> 3)
            start, at = _skipped(content, at, end, tag & 7, name)
            if field is None or tag & 7 != NESTED:
                continue
            if field.type == MESSAGE:
                if at > start:
                    waiting.append((start, at, field.message_type, depth + 1))
            elif field.type == STRING:
                _check_text(content[start:at], name)
            elif field.type != BYTES:
                packed += at - start
    if packed > MOST_PACKED:
        raise NetworkFormatError(f"{name} has more packed numbers than fit: use raw data")


def _check_text(content: bytes, name: str) -> None:
    """Refuse names that no program could print."""
    try:
        content.decode()
    except UnicodeDecodeError:
        raise NetworkFormatError(f"{name} is no ONNX file: it has names that are no text") from None


def _number(content: bytes, at: int, end: int, name: str) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    if at < end and content[at] < 128:
        return content[at], at + 1
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise NetworkFormatError(f"{name} is no ONNX file: it is broken or cut short")


def _skipped(content: bytes, at: int, end: int, wire: int, name: str) -> tuple[int, int]:
    """Where a field's content begins and ends."""
    if wire == NUMBERS:
        return at, _number(content, at, end, name)[1]
    size = {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(wire)
    if wire == NESTED:
        size, at = _number(content, at, end, name)
    if size is None or at + size > end:
        raise NetworkFormatError(f"{name} is no ONNX file: it is broken or cut short")
    return at, at + size

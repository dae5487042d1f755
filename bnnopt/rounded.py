"""Numbers in tables, rounded so that they are safe to quote."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context

__all__ = ["at_least", "at_most"]

DIGITS = 6


def at_most(value: float | None, digits: int = DIGITS) -> str:
    """A number that is proved not to be exceeded, or that an image needs: rounded up."""
    return _rounded(value, digits, ROUND_CEILING)


def at_least(value: float | None, digits: int = DIGITS) -> str:
    """A number that is proved to be reached, or that an image has: rounded down."""
    return _rounded(value, digits, ROUND_FLOOR)


def _rounded(value: float | None, digits: int, rounding: str) -> str:
    if value is None:
        return ""
    # Of the shortest text that is the number, so that 0.004 stays 0.004.
    number = Context(prec=digits, rounding=rounding).create_decimal(repr(float(value)))
    return f"{float(number):.{digits}g}"

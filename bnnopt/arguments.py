"""What a caller may write for a number, a class or a name, read to plain Python.

Each reader takes Python's own types and the scalars of numpy and torch, and gives a plain value,
so that records go through ``json.dumps``; anything else is an `InputError`.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from bnnopt.errors import InputError, UnknownNameError

__all__ = [
    "read_choice",
    "read_class",
    "read_each",
    "read_fraction",
    "read_names",
    "read_number",
    "read_whole",
]

T = TypeVar("T")
Real = int | float | Fraction | Decimal

# Short enough in its exponent that the fraction stays small.
WRITTEN = re.compile(r"[+-]?(\d+ */ *\d+|(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?)", re.ASCII)
MAX_TEXT = 100
MAX_EXPONENT = 1000


def read_fraction(
    value: Any,
    name: str,
    *,
    low: Real = 0,
    high: Real | None = None,
    levels: int | None = None,
) -> Fraction:
    """The number that was written: 1/100 for 0.01, of any float type, and for "0.01".

    Parameters
    ----------
    value : number or str
        A text is a decimal number or a quotient, ``"8/255"``. A float is its shortest text, so
        that ``np.float32(0.01)`` is 1/100 as well.
    name : str
        What a message calls it.
    low, high : number
        Both included.
    levels : int, optional
        Steps between black and white, where it is a change of a pixel: who gives more than 1 may
        have meant some of them.

    Raises
    ------
    InputError
        If it is no finite number, or out of range.
    """
    number = _plain(value)
    fraction = _of_text(number) if isinstance(number, str) else _written(number)
    if fraction is None:
        raise _wrong(name, 'a number such as 0.01 or "8/255"', value)
    if fraction < low or (high is not None and fraction > high):
        raise _wrong(name, _range("a number", low, high), value, _remedy(fraction, levels))
    return fraction


def read_whole(value: Any, name: str, *, low: int | None = None, high: int | None = None) -> int:
    """A whole number, as an int; 3.0 is 3.

    Parameters
    ----------
    value : number
    name : str
        What a message calls it.
    low, high : int, optional
        Both included.

    Raises
    ------
    InputError
        If it is no whole number, or out of range.
    """
    whole = _whole(_plain(value))
    if whole is None or not _within(whole, low, high):
        raise _wrong(name, _range("a whole number", low, high), value)
    return whole


def read_number(
    value: Any,
    name: str,
    *,
    above: Real | None = None,
    low: Real | None = None,
    high: Real | None = None,
) -> float:
    """A finite number, as a float.

    Parameters
    ----------
    value : number
        Of a float type of numpy or torch, its shortest text counts, as for `read_fraction`.
    name : str
        What a message calls it.
    above, low, high : number, optional
        `above` is excluded, the other two are included.

    Raises
    ------
    InputError
        If it is no finite number, or out of range.
    """
    number = _plain(value)
    fraction = None if isinstance(number, str) else _written(number)
    try:
        read = math.nan if fraction is None else float(fraction)
    except OverflowError:
        read = math.nan
    if not (math.isfinite(read) and _within(read, low, high) and (above is None or read > above)):
        bounds = "" if above is None else f" above {above}"
        raise _wrong(name, _range(f"a finite number{bounds}", low, high), value)
    return read


def read_class(
    value: Any,
    what: str,
    num_classes: int,
    class_names: Sequence[str] = (),
    also: Sequence[str] = (),
) -> int:
    """A class, by its number or by its name.

    Parameters
    ----------
    value : int or str
        A whole number, such a number as text, or one of the names.
    what : str
        What a message calls it, such as ``"target"``.
    num_classes : int
    class_names : sequence of str
        One a class, or empty.
    also : sequence of str
        Other texts that the caller takes, for the message.

    Raises
    ------
    InputError
        If it is no class; `UnknownNameError` if it is a text.
    """
    numbers = f"a class number from 0 to {num_classes - 1}"
    plain = _plain(value)
    if not isinstance(plain, str):
        whole = _whole(plain)
        if whole is None or not 0 <= whole < num_classes:
            names = "".join(f", {text}" for text in also) + (" or a name" if class_names else "")
            raise _wrong(what, numbers + names, value)
        return whole
    found = {number for number, name in enumerate(class_names) if name == plain}
    if re.fullmatch(r"\d{1,9}", plain, re.ASCII) and int(plain) < num_classes:
        found.add(int(plain))
    if len(found) > 1:
        raise InputError(f"{what} {plain!r} stands for several classes: give the class's number")
    if found:
        return found.pop()
    if also or class_names:
        raise UnknownNameError(what, plain[:MAX_TEXT], [*also, *class_names], f", or {numbers}")
    raise _wrong(what, numbers, value)


def read_choice(value: Any, kind: str, known: Iterable[str]) -> str:
    """One of the known names.

    Raises
    ------
    UnknownNameError
        If it is none of them, or no text.
    """
    choices = list(known)
    if isinstance(value, str) and value in choices:
        return choices[choices.index(value)]
    text = value[:MAX_TEXT] if isinstance(value, str) else _shown(value)
    raise UnknownNameError(kind, text, choices)


def read_names(given: Any, kind: str, known: Iterable[str]) -> dict[str, Any]:
    """Named values, such as options: a dict of those whose names are known.

    Parameters
    ----------
    given : mapping or None
        None is an empty one.
    kind : str
        What one of them is, such as ``"option"``.
    known : iterable of str

    Raises
    ------
    UnknownNameError
        If a name is not known.
    InputError
        If it is no mapping, or if there are no names to know.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise _wrong(f"{kind}s", 'a mapping such as {"name": value}', given)
    choices = list(known)
    for name in given:
        if not choices:
            raise InputError(f"unknown {kind} {_shown(name)}: none is taken here, so leave it out")
        read_choice(name, kind, choices)
    return {str(name): value for name, value in given.items()}


def read_each(values: Any, name: str, count: int, read: Callable[[Any], T]) -> list[T]:
    """A sequence of `count` values, each read by `read`.

    Parameters
    ----------
    values : iterable
        A list, an array, a tensor, a pandas Series.
    name : str
        What a message calls them.
    count : int
    read : callable

    Raises
    ------
    InputError
        If there are not `count` of them, or from `read`.
    """
    try:
        entries = None if isinstance(values, str | bytes | Mapping | Set) else list(values)
    except TypeError:  # a number, None, or an array without axes
        entries = None
    if entries is None:
        raise _wrong(name, f"a sequence of {count} entries", values)
    if len(entries) != count:
        raise InputError(f"{name} has {len(entries)} entries: give {count}, one an image")
    return [read(entry) for entry in entries]


def _plain(value: Any) -> Any:
    """A Python or numpy scalar for a scalar of numpy or torch; anything else as it is.

    A float of numpy stays one: its text is shorter than that of the float64 it equals.
    """
    if getattr(value, "shape", None) == () and hasattr(value, "__array__"):
        try:
            value = value.detach().cpu() if hasattr(value, "detach") else value
            value = np.asarray(value)[()]
        except (TypeError, RuntimeError):  # bfloat16 and others that numpy lacks
            return value
    if isinstance(value, np.bool_ | np.integer | np.str_):
        return value.item()
    return value


def _written(number: Any) -> Fraction | None:
    """The number as it was written; None if it is no finite one."""
    if isinstance(number, bool):
        return None
    if isinstance(number, float):
        return _of_text(repr(float(number)))
    if isinstance(number, np.floating):
        return _of_text(np.format_float_scientific(number))
    if isinstance(number, Decimal):
        # A Decimal takes exponents whose fraction would fill the memory.
        small = number.is_finite() and abs(number.adjusted()) < MAX_EXPONENT
        return Fraction(number) if small else None
    if isinstance(number, int | Fraction):
        return Fraction(number)
    whole = _index(number)
    return None if whole is None else Fraction(whole)


def _of_text(text: str) -> Fraction | None:
    text = text.strip()
    if len(text) > MAX_TEXT or not WRITTEN.fullmatch(text):
        return None
    try:
        return Fraction(text.replace(" ", ""))
    except ZeroDivisionError:
        return None


def _whole(number: Any) -> int | None:
    if isinstance(number, str):
        return None
    fraction = _written(number)
    return None if fraction is None or fraction.denominator != 1 else fraction.numerator


def _index(number: Any) -> int | None:
    """The int that another type of whole numbers stands for."""
    if isinstance(number, np.ndarray) or hasattr(number, "detach"):
        return None  # an array of one element would pass for it
    try:
        return operator.index(number)
    except (TypeError, ValueError):
        return None


def _within(number: Any, low: Any, high: Any) -> bool:
    return (low is None or number >= low) and (high is None or number <= high)


def _range(what: str, low: Real | None, high: Real | None) -> str:
    if low is None and high is None:
        return what
    if high is None:
        return f"{what}, at least {low}"
    return f"{what}, at most {high}" if low is None else f"{what} from {low} to {high}"


def _remedy(fraction: Fraction, levels: int | None) -> str:
    if levels is None or fraction <= 1:
        return ""
    count = fraction if fraction.denominator == 1 and fraction <= levels else min(8, levels)
    return (
        f': pixel values lie in [0, 1], so for {count} levels of {levels} write "{count}/{levels}"'
    )


def _wrong(name: str, wanted: str, value: Any, remedy: str = "") -> InputError:
    return InputError(f"{name} must be {wanted}, not {_shown(value)}{remedy}")


def _shown(value: Any) -> str:
    """A value in one short line."""
    shape = getattr(value, "shape", ())
    if isinstance(shape, tuple) and shape:
        return f"an array of shape {tuple(shape)}"
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an int of 5000 digits has no text
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."

"""VNN-LIB 1.0: declarations ``(declare-const X_0 Real)`` and assertions in prefix notation.

The files have thousands of assertions, so that reading takes one pass, form by form; whatever is
too long, too deep or unknown is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from bnnopt.errors import InputError
from bnnopt.exchange.vnnlib.expressions import And, Atom, Expression, Or, Statement
from bnnopt.exchange.vnnlib.properties import Array, Property, property_of

__all__ = ["check_depth", "number_of", "read_first"]

TOKEN = re.compile(r";[^\n]*|[()]|[^\s();]+")
VARIABLE = re.compile(r"[XY]_(0|[1-9]\d{0,6})", re.ASCII)
NUMERAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)

MAX_DEPTH = 64
MAX_NUMERAL = 400
"""Characters."""

COMPARISONS = {"<=": (True, False), "<": (True, True), ">=": (False, False), ">": (False, True)}
"""Whether the sides change places to say "at least", and whether it is strict."""

Form = Any
"""A token, or a list of forms."""


def read_first(text: str) -> Property:
    """Read a text of version 1.0.

    Raises
    ------
    InputError
        If it is not one, or says something that is not served.
    """
    declared: dict[str, set[int]] = {"X": set(), "Y": set()}
    statements: list[Statement] = []
    for form in _forms(text):
        match form:
            case ["declare-const", str(name), "Real"] if VARIABLE.fullmatch(name):
                if int(name[2:]) in declared[name[0]]:
                    raise InputError(f"{name} is declared twice")
                declared[name[0]].add(int(name[2:]))
            case ["assert", statement]:
                statements.append(_statement(statement, declared))
            case _:
                raise InputError(
                    f"{_shown(form)} is neither (declare-const X_0 Real) nor (assert ...)"
                )
    inputs, outputs = (_array(name, declared[name]) for name in ("X", "Y"))
    return property_of(inputs, outputs, statements, "1.0")


def check_depth(text: str) -> None:
    """Raise `InputError` unless the parentheses of a text match and are not nested too deeply."""
    depth = 0
    for match in TOKEN.finditer(text):
        token = match[0]
        depth += (token == "(") - (token == ")")
        if not 0 <= depth <= MAX_DEPTH:
            break
    if depth < 0:
        raise InputError("there is a ) without its (")
    if depth > MAX_DEPTH:
        raise InputError(f"parentheses are nested more than {MAX_DEPTH} deep")
    if depth:
        raise InputError("the file ends within parentheses: it is cut off")


def number_of(token: str) -> Fraction:
    """The exact number that a numeral stands for.

    Raises
    ------
    InputError
        If it is none, or too long.
    """
    if len(token) > MAX_NUMERAL or not NUMERAL.fullmatch(token):
        raise InputError(
            f"{_shown(token)} is no number of at most {MAX_NUMERAL} characters, and no declared "
            "X_i or Y_i"
        )
    return Fraction(token)


def _forms(text: str) -> Iterator[Form]:
    """The forms of the top level, one after the other."""
    check_depth(text)
    stack: list[list[Form]] = []
    for match in TOKEN.finditer(text):
        token = match[0]
        if token[0] == ";":
            continue
        if token == "(":
            stack.append([])
        elif token == ")":
            form = stack.pop()
            if not stack:
                yield form
            else:
                stack[-1].append(form)
        elif stack:
            stack[-1].append(token)
        else:
            raise InputError(f"{_shown(token)} stands outside of parentheses")


def _array(name: str, indices: set[int]) -> Array:
    if indices != set(range(len(indices))) or not indices:
        raise InputError(f"{name}_0, {name}_1, ... must be declared, without a gap")
    return Array(name, "real", (len(indices),))


def _statement(form: Form, declared: dict[str, set[int]]) -> Statement:
    match form:
        case ["and", *parts]:
            return And(tuple(_statement(part, declared) for part in parts))
        case ["or", *parts]:
            return Or(tuple(_statement(part, declared) for part in parts))
        case [("<=" | "<" | ">=" | ">") as sign, left, right]:
            swapped, is_strict = COMPARISONS[sign]
            sides = _expression(left, declared), _expression(right, declared)
            return Atom.at_least(*(sides[::-1] if swapped else sides), is_strict=is_strict)
    raise InputError(f"{_shown(form)} is no comparison by <=, <, >= or >, no and, and no or")


def _expression(form: Form, declared: dict[str, set[int]]) -> Expression:
    if isinstance(form, str):
        if VARIABLE.fullmatch(form) and int(form[2:]) in declared[form[0]]:
            return Expression({(form[0], int(form[2:])): Fraction(1)}, Fraction(0))
        return Expression({}, number_of(form))
    match form:
        case ["+", *parts] if parts:
            return Expression.sum(_expression(part, declared) for part in parts)
        case ["-", part]:
            return _expression(part, declared).scaled(Fraction(-1))
        case ["-", first, *rest] if rest:
            less = (_expression(part, declared).scaled(Fraction(-1)) for part in rest)
            return Expression.sum([_expression(first, declared), *less])
        case ["*", *parts] if parts:
            return Expression.product(_expression(part, declared) for part in parts)
    raise InputError(f"{_shown(form)} is no sum, difference or product")


def _shown(form: Form) -> str:
    """The beginning of a form."""
    if isinstance(form, str):
        return repr(form if len(form) <= 40 else form[:40] + "...")
    inner = " ".join(part if isinstance(part, str) else "(...)" for part in form[:4])
    return repr(f"({inner[:60]}{' ...' if len(form) > 4 or len(inner) > 60 else ''})")

"""Linear expressions over a network's inputs and outputs, and statements made of them.

What VNN-LIB says, whichever version wrote it down, with every number an exact fraction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from bnnopt.errors import InputError

__all__ = ["And", "Atom", "Expression", "Or", "Statement", "Variable"]

Variable = tuple[str, int]
"""``("X", 3)`` or ``("Y", 0)``: an input or an output, by its place in the flat array."""

MAX_BITS = 500
"""Of the numerator and the denominator of any number, so that floats have quotients of two."""


@dataclass(frozen=True)
class Expression:
    """A sum of variables times numbers, and a number.

    Parameters
    ----------
    terms : dict of Variable to Fraction
        Without zeros.
    constant : Fraction
    """

    terms: dict[Variable, Fraction]
    constant: Fraction

    def scaled(self, factor: Fraction) -> Expression:
        """The expression times a number."""
        if not factor:
            return Expression({}, factor)
        terms = {name: _bounded(factor * number) for name, number in self.terms.items()}
        return Expression(terms, _bounded(factor * self.constant))

    @staticmethod
    def sum(parts: Iterable[Expression]) -> Expression:
        """The sum of expressions."""
        terms: dict[Variable, Fraction] = {}
        constant = Fraction(0)
        for part in parts:
            constant = _bounded(constant + part.constant)
            for name, number in part.terms.items():
                terms[name] = _bounded(terms.get(name, Fraction(0)) + number)
        return Expression({name: number for name, number in terms.items() if number}, constant)

    @staticmethod
    def product(parts: Iterable[Expression]) -> Expression:
        """The product of expressions, of which at most one has variables.

        Raises
        ------
        InputError
            If two of them have.
        """
        product = Expression({}, Fraction(1))
        for part in parts:
            if part.terms and product.terms:
                raise InputError("a product of variables is not linear: only numbers may multiply")
            number, other = (product, part) if part.terms else (part, product)
            product = other.scaled(number.constant)
        return product


def _bounded(number: Fraction) -> Fraction:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > MAX_BITS:
        raise InputError(f"a number takes more than {MAX_BITS} bits: round it")
    return number


@dataclass(frozen=True)
class Atom:
    """That an expression is at least 0, or above it.

    Parameters
    ----------
    expression : Expression
    is_strict : bool
    """

    expression: Expression
    is_strict: bool

    @classmethod
    def at_least(cls, left: Expression, right: Expression, *, is_strict: bool) -> Atom:
        """That `left` is at least `right`, or above it."""
        terms = dict(left.terms)
        for name, number in right.terms.items():
            terms[name] = _bounded(terms[name] - number) if name in terms else -number
        terms = {name: number for name, number in terms.items() if number}
        return cls(Expression(terms, _bounded(left.constant - right.constant)), is_strict)

    @property
    def is_true(self) -> bool:
        """Where it has no variable: whether it holds."""
        constant = self.expression.constant
        return constant > 0 or (constant == 0 and not self.is_strict)


@dataclass(frozen=True)
class And:
    """That all of some statements hold."""

    parts: tuple[Statement, ...]


@dataclass(frozen=True)
class Or:
    """That one of some statements holds."""

    parts: tuple[Statement, ...]


Statement = Atom | And | Or

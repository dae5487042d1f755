"""VNN-LIB 2.0, by the standard's own parser, the package ``vnnlib``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from bnnopt.errors import InputError, MissingDependencyError
from bnnopt.exchange.vnnlib.expressions import And, Atom, Expression, Or, Statement
from bnnopt.exchange.vnnlib.first import check_depth, number_of
from bnnopt.exchange.vnnlib.properties import Array, Property, property_of

if TYPE_CHECKING:
    import vnnlib

__all__ = ["read_second"]

KINDS = {"F16": "float16", "F32": "float32", "F64": "float64", "Real": "real", "Unknown": "real"}
"""The types of real numbers, as the package and as a file names them."""

MAX_SIZE = 2**20


def read_second(text: str) -> Property:
    """Read a text of version 2.0.

    Raises
    ------
    InputError
        If it is not one, or says something that is not served.
    MissingDependencyError
        If the package is not installed.
    """
    try:
        import vnnlib
    except ImportError:
        raise MissingDependencyError("vnnlib", "VNN-LIB 2.0", "exchange") from None

    check_depth(text)  # the package's own parser recurses
    try:
        query = vnnlib.parse_query_string(text)
    except vnnlib.VNNLibException as error:
        raise InputError(f"it is no VNN-LIB 2.0: {_reason(str(error))}") from None
    except (IndexError, ValueError):  # of the numbers that C++ reads
        raise InputError("it is no VNN-LIB 2.0: a number is too large") from None
    inputs, outputs = _arrays(query)
    reader = _Reader({inputs.name: ("X", inputs.shape), outputs.name: ("Y", outputs.shape)})
    statements = [reader.statement(assertion.expr) for assertion in query.assertions]
    return property_of(inputs, outputs, statements, "2.0")


def _reason(text: str) -> str:
    """The first of the package's complaints, which it gives as JSON."""
    try:
        first = json.loads(text)["errors"][0]
        text = f"line {first['line']}: {first['message']}: {first['hint']}"
    except (ValueError, LookupError, TypeError):
        pass
    return " ".join(text.split())[:200]


def _arrays(query: vnnlib.Query) -> tuple[Array, Array]:
    networks = query.networks
    if len(networks) != 1 or networks[0].hidden:
        raise InputError("properties of one network are served, without hidden variables")
    if len(networks[0].inputs) != 1 or len(networks[0].outputs) != 1:
        raise InputError("properties of one input and one output are served")
    inputs, outputs = (_array(each[0]) for each in (networks[0].inputs, networks[0].outputs))
    return inputs, outputs


def _array(definition: Any) -> Array:
    if definition.dtype.name not in KINDS:
        raise InputError(
            f"{definition.name} is of type {definition.dtype.name}: real numbers are served"
        )
    array = Array(definition.name, KINDS[definition.dtype.name], tuple(definition.shape))
    if not 1 <= array.size <= MAX_SIZE:
        raise InputError(f"{array.name} has {array.size} entries: from 1 to {MAX_SIZE} are served")
    return array


class _Reader:
    """Statements over two arrays, each by the letter and the shape that it has.

    Parameters
    ----------
    arrays : dict of str to (str, tuple of int)
    """

    def __init__(self, arrays: dict[str, tuple[str, tuple[int, ...]]]) -> None:
        import vnnlib

        self._arrays, self._nodes = arrays, vnnlib

    def statement(self, node: Any) -> Statement:
        nodes = self._nodes
        if isinstance(node, nodes.And):
            return And(tuple(self.statement(part) for part in node.args))
        if isinstance(node, nodes.Or):
            return Or(tuple(self.statement(part) for part in node.args))
        if not isinstance(node, nodes.Comparison):
            raise InputError(f"'{str(node)[:60]}' is no comparison")
        left, right = self._expression(node.lhs), self._expression(node.rhs)
        above = [Atom.at_least(left, right, is_strict=strict) for strict in (False, True)]
        below = [Atom.at_least(right, left, is_strict=strict) for strict in (False, True)]
        if isinstance(node, nodes.Equal):
            return And((above[0], below[0]))
        if isinstance(node, nodes.NotEqual):
            return Or((above[1], below[1]))
        is_strict = isinstance(node, nodes.GreaterThan | nodes.LessThan)
        is_below = isinstance(node, nodes.LessEqual | nodes.LessThan)
        return (below if is_below else above)[is_strict]

    def _expression(self, node: Any) -> Expression:
        nodes = self._nodes
        if isinstance(node, nodes.Var):
            letter, shape = self._arrays[node.name]
            return Expression({(letter, _place(node.indices, shape)): Fraction(1)}, Fraction(0))
        if isinstance(node, nodes.Literal):
            return Expression({}, number_of(node.lexeme))
        if isinstance(node, nodes.Negate):
            return self._expression(node.expr).scaled(Fraction(-1))
        if isinstance(node, nodes.Plus):
            return Expression.sum(self._expression(part) for part in node.args)
        if isinstance(node, nodes.Minus):
            less = (self._expression(part).scaled(Fraction(-1)) for part in node.rest)
            return Expression.sum([self._expression(node.head), *less])
        if isinstance(node, nodes.Multiply):
            return Expression.product(self._expression(part) for part in node.args)
        raise InputError(f"'{str(node)[:60]}' is no sum, difference or product")


def _place(indices: Sequence[int], shape: tuple[int, ...]) -> int:
    """The place in the flat array."""
    place = 0
    for index, side in zip(indices, shape, strict=True):
        if not 0 <= index < side:
            raise InputError(f"the index {index} is not from 0 to {side - 1}")
        place = place * side + index
    return place

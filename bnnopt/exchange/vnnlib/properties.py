"""A property of a network: boxes of inputs, and what the outputs must be for a counterexample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from bnnopt.errors import InputError
from bnnopt.exchange.vnnlib.expressions import And, Atom, Or, Statement

__all__ = ["Array", "Case", "Choice", "Difference", "Property", "property_of"]

MAX_ATOMS = 2**21
"""Comparisons in all cases of a property together."""

Bounds = tuple[tuple[tuple[int, Fraction], ...], tuple[tuple[int, Fraction], ...]]
"""(input, bound) of the lower and of the upper ones."""


@dataclass(frozen=True)
class Array:
    """An input or output as a property declares it.

    Parameters
    ----------
    name, kind : str
        Such as ``"X"`` and ``"float32"``.
    shape : tuple of int
        Numbers are counted row by row.
    """

    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of its entries."""
        return prod(self.shape)


@dataclass(frozen=True)
class Difference:
    """That ``Y[target] - Y[source]`` is at least a number, or above it.

    Parameters
    ----------
    target, source : int
        Outputs.
    least : Fraction
        What it is compared with.
    is_strict : bool
        Whether it must be above that.
    """

    target: int
    source: int
    least: Fraction
    is_strict: bool

    def holds(self, outputs: Sequence[Fraction]) -> bool:
        """Whether outputs have it."""
        difference = outputs[self.target] - outputs[self.source]
        return difference > self.least or (difference == self.least and not self.is_strict)


Choice = tuple[Difference, ...]
"""Differences that must hold together; none of them is a choice that always holds."""


@dataclass(frozen=True)
class Case:
    """A box, and choices of which one must hold at a point of it.

    Parameters
    ----------
    low, high : tuple of Fraction
        Of each input; none is empty.
    choices : tuple of Choice
        Each is a conjunction of differences.
    """

    low: tuple[Fraction, ...]
    high: tuple[Fraction, ...]
    choices: tuple[Choice, ...]

    def contains(self, inputs: Sequence[Fraction]) -> bool:
        """Whether inputs lie in the box."""
        return all(
            low <= value <= high
            for low, value, high in zip(self.low, inputs, self.high, strict=True)
        )

    def holds(self, outputs: Sequence[Fraction]) -> bool:
        """Whether outputs have a choice."""
        return any(all(each.holds(outputs) for each in choice) for choice in self.choices)


@dataclass(frozen=True)
class Property:
    """What a counterexample is: a point of a case.

    Parameters
    ----------
    inputs, outputs : Array
        As they are declared.
    cases : tuple of Case
        None, if the statements contradict each other without any network.
    version : str
        Of VNN-LIB, ``"1.0"`` or ``"2.0"``: that of the answer.
    """

    inputs: Array
    outputs: Array
    cases: tuple[Case, ...]
    version: str


def property_of(
    inputs: Array, outputs: Array, statements: Iterable[Statement], version: str
) -> Property:
    """Put statements, all of which must hold, into cases.

    Raises
    ------
    InputError
        If an input has no bound on one side, or a statement is of a kind that is not served.
    """
    # Bounds that hold everywhere are most of a file; they are read once, not once a case.
    common: list[Atom] = []
    rest: list[Statement] = []
    todo = list(statements)[::-1]
    while todo:
        statement = todo.pop()
        if isinstance(statement, And):
            todo.extend(reversed(statement.parts))
        elif isinstance(statement, Atom):
            common.append(statement)
        else:
            rest.append(statement)
    box = _Box(inputs.size)
    shared, is_possible = _read(common, box)
    if not is_possible:
        return Property(inputs, outputs, (), version)
    found: dict[Bounds, list[Choice]] = {}
    for clause in _clauses(And(tuple(rest))):
        own = _Box(inputs.size)
        choice, is_possible = _read(clause, own)
        if is_possible:
            found.setdefault(own.bounds(), []).append((*shared, *choice))
    cases = (_case(box, bounds, choices) for bounds, choices in found.items())
    return Property(inputs, outputs, tuple(case for case in cases if case is not None), version)


class _Box:
    """Bounds on inputs, as they are read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.low: dict[int, Fraction] = {}
        self.high: dict[int, Fraction] = {}

    def add(self, index: int, bound: Fraction, *, is_lower: bool) -> None:
        if is_lower:
            self.low[index] = max(bound, self.low.get(index, bound))
        else:
            self.high[index] = min(bound, self.high.get(index, bound))

    def bounds(self) -> Bounds:
        return tuple(sorted(self.low.items())), tuple(sorted(self.high.items()))


def _case(common: _Box, own: Bounds, choices: list[Choice]) -> Case | None:
    """The box that the common bounds and a clause's own leave; None if it is empty."""
    box = _Box(common.size)
    box.low, box.high = dict(common.low), dict(common.high)
    for side, is_lower in zip(own, (True, False), strict=True):
        for index, bound in side:
            box.add(index, bound, is_lower=is_lower)
    for index in range(box.size):
        for word, bounds in (("lower", box.low), ("upper", box.high)):
            if index not in bounds:
                raise InputError(f"X_{index} has no {word} bound: bound every input on both sides")
    low = tuple(box.low[index] for index in range(box.size))
    high = tuple(box.high[index] for index in range(box.size))
    if any(least > most for least, most in zip(low, high, strict=True)):
        return None
    return Case(low, high, tuple(dict.fromkeys(choices)))


def _read(atoms: Iterable[Atom], box: _Box) -> tuple[Choice, bool]:
    """The differences among atoms, whose bounds go into the box; and whether all can hold."""
    differences: dict[Difference, None] = {}
    for atom in atoms:
        kinds = {kind for kind, _ in atom.expression.terms}
        if not kinds:
            if not atom.is_true:
                return (), False
        elif kinds == {"X"}:
            _bound(atom, box)
        else:
            differences[_difference(atom)] = None
    return tuple(differences), True


def _bound(atom: Atom, box: _Box) -> None:
    (first, *others) = atom.expression.terms.items()
    if others:
        raise InputError(
            f"{_shown(atom)} ties several inputs together: only bounds on single ones are served"
        )
    if atom.is_strict:
        raise InputError(f"{_shown(atom)} is a strict bound on an input: write <= or >=")
    (_, index), factor = first
    box.add(index, -atom.expression.constant / factor, is_lower=factor > 0)


def _difference(atom: Atom) -> Difference:
    terms = atom.expression.terms
    if {kind for kind, _ in terms} != {"Y"}:
        raise InputError(f"{_shown(atom)} compares inputs with outputs, which is not served")
    if len(terms) != 2 or sum(terms.values()) != 0:
        raise InputError(
            f"{_shown(atom)} is no difference of two outputs, such as Y_1 - Y_0 >= 3: thresholds "
            "on single outputs and other sums are not served"
        )
    ((_, one), factor), ((_, other), _) = terms.items()
    target, source = (one, other) if factor > 0 else (other, one)
    least = -atom.expression.constant / abs(factor)
    return Difference(target, source, least, atom.is_strict)


def _shown(atom: Atom) -> str:
    """An atom in a few words."""
    terms = list(atom.expression.terms.items())
    parts = [f"{float(number):g} {kind}_{index}" for (kind, index), number in terms[:3]]
    more = " + ..." if len(terms) > 3 else ""
    sign = ">" if atom.is_strict else ">="
    return f"'{' + '.join(parts)}{more} {sign} {float(-atom.expression.constant):g}'"


def _clauses(statement: Statement) -> list[tuple[Atom, ...]]:
    """The disjunctive normal form: one of the clauses holds, with all that is in it."""
    if isinstance(statement, Atom):
        return [(statement,)]
    parts = [_clauses(part) for part in statement.parts]
    if isinstance(statement, Or):
        clauses = [clause for part in parts for clause in part]
        _check_size(sum(map(len, clauses)))
        return clauses
    # What has one clause, such as thousands of bounds, is put together at once.
    clauses = [tuple(atom for part in parts if len(part) == 1 for atom in part[0])]
    for part in parts:
        if len(part) == 1:
            continue
        _check_size(sum(map(len, clauses)) * len(part) + sum(map(len, part)) * len(clauses))
        clauses = [(*clause, *more) for clause in clauses for more in part]
    return clauses


def _check_size(atoms: int) -> None:
    if atoms > MAX_ATOMS:
        raise InputError(f"its cases would have more than {MAX_ATOMS} comparisons: split the file")

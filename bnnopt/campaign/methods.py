"""The methods of a spec: a class each, with the arguments that its constructor takes."""

from __future__ import annotations

import inspect
import json
from contextlib import suppress
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from bnnopt.api import solver_errors
from bnnopt.attacks import attack_class
from bnnopt.attacks.limits import Limits
from bnnopt.campaign.table import Table
from bnnopt.errors import InputError, UnknownNameError

__all__ = ["MethodSpec", "read_methods"]

SOLVER, FORMULATION = "highs", "tight"
NAMED = {"solver": "solvers", "formulation": "formulation"}
"""Arguments of constructors that have keys of their own."""

SCALARS = (bool, int, float, str)

VERIFY = "verify"
"""Not a method of `bnnopt.attack` but a question to the automatic one: is any flip possible?"""


@dataclass(frozen=True)
class MethodSpec:
    """One ``[[methods]]`` table.

    Parameters
    ----------
    name : str
        For tables and figures.
    method : str
        A name that `bnnopt.attacks.attack_class` takes.
    asks : dict
        Goal and target, where the method is a question of its own: for ``"verify"`` any flip, to
        any class. The spec's count for the others.
    options : dict
        Further arguments of its class.
    solvers : tuple of (str or None)
        A cell each; (None,) where no solver is taken.
    formulation : str or None
        None where the method takes none.
    start : str
        ``"none"`` or another method.
    time_limit : float
        Seconds.
    effort : int or None
        Most steps of the method's own, or no limit.
    proof : bool
        Whether proofs of the results are wanted.
    """

    name: str
    method: str
    asks: dict[str, str]
    options: dict[str, Any]
    solvers: tuple[str | None, ...]
    formulation: str | None
    start: str
    time_limit: float
    effort: int | None
    proof: bool


def read_methods(spec: Table) -> tuple[MethodSpec, ...]:
    """Read ``[[methods]]``, with the spec's ``solvers``, ``time_limit`` and ``effort`` as defaults.

    Parameters
    ----------
    spec : Table
        The whole spec.

    Raises
    ------
    InputError
        With the key that is wrong, and what would be right.
    """
    solvers = spec.take_list("solvers", str, [SOLVER])
    seconds = spec.take("time_limit", float, 180.0)
    spec.check("time_limit", Limits, seconds)
    effort = _read_effort(spec, None)
    tables = spec.take_list("methods", dict)
    methods: list[MethodSpec] = []
    for number, content in enumerate(tables):
        table = Table(content, spec.place(f"methods[{number}]"))
        method = _read(table, solvers, seconds, effort)
        if method.name in (other.name for other in methods):
            raise InputError(f"{table.place('name')} {method.name!r} is taken: give another name")
        methods.append(method)
    return tuple(methods)


def _read_effort(table: Table, default: int | None) -> int | None:
    effort = table.take("effort", int, default)
    table.check("effort", lambda steps: Limits(effort=steps), effort)
    return effort  # type: ignore[no-any-return]


def _read(table: Table, solvers: list[str], seconds: float, effort: int | None) -> MethodSpec:
    method = table.take("method", str)
    name = table.take("name", str, method)
    asks: dict[str, str] = {}
    if method == VERIFY:
        method, asks = "auto", {"goal": "flip", "target": "untargeted"}
    with table.about("method"):
        classes = [attack_class(method)]
    start = table.take("start", str, "none")
    if start != "none":
        with table.about("start"):
            classes.append(attack_class(start))
    takes = {taken for attack in classes for taken in attack.takes}
    given = table.take_list("solvers", str, None)
    chosen = _if_taken("solver" in takes, table, "solvers", given, solvers) or [None]
    given = table.take("formulation", str, None)
    formulation = _if_taken("formulation" in takes, table, "formulation", given, FORMULATION)
    options = table.take("options", dict, {})
    _check_options(table, classes[0], options)
    for solver in chosen:
        for attack in classes:
            _try(table, attack, solver, formulation, options if attack is classes[0] else {})
    limit = table.take("time_limit", float, seconds)
    table.check("time_limit", Limits, limit)
    effort = _read_effort(table, effort)
    proof = table.take("proof", bool, False)
    table.finish()
    return MethodSpec(
        name, method, asks, options, tuple(chosen), formulation, start, limit, effort, proof
    )


def _if_taken(taken: bool, table: Table, key: str, given: Any, default: Any) -> Any:
    """What is given, or the default; where the method takes none, None."""
    if taken:
        return default if given is None else given
    if given is not None:
        raise InputError(f"{table.place(key)}: the method takes none, so leave it out")
    return None


def _check_options(table: Table, method_class: Any, options: dict[str, Any]) -> None:
    """Names and plain types of a constructor's arguments."""
    parameters = inspect.signature(method_class).parameters
    known = [name for name in parameters if name not in NAMED]
    hints: dict[str, Any] = {}
    with suppress(NameError):  # a hint may name a package that only type checkers import
        hints = get_type_hints(method_class.__init__)
    for name, value in options.items():
        place = f"options.{name}"
        if name in NAMED:
            raise InputError(f"{table.place(place)}: give it as {NAMED[name]} beside options")
        if not known:
            raise InputError(f"{table.place(place)}: the method takes no options")
        if name not in known:
            with table.about(place):
                raise UnknownNameError("option", name, known)
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise InputError(
                f"{table.place(place)} must be a finite number, a string, true, false, or an "
                f"array of those, not {value!r}"
            ) from None
        kinds = _scalars(hints.get(name))
        if kinds and type(value) not in kinds:
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise InputError(f"{table.place(place)} must be of type {wanted}, not {value!r}")


def _scalars(hint: Any) -> set[type]:
    """The plain types that a hint allows; none if it allows anything else."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = {part for part in parts if part is not type(None)}
    if not kinds <= set(SCALARS):
        return set()
    return kinds | ({int} if float in kinds else set())


def _try(
    table: Table, attack: Any, solver: str | None, formulation: str | None, options: dict[str, Any]
) -> None:
    """Make the attack, one argument more each time: it checks its own arguments."""
    steps: list[tuple[str, dict[str, Any]]] = [("options", options)]
    if "formulation" in attack.takes:
        steps.insert(0, ("formulation", {"formulation": formulation}))
    if "solver" in attack.takes:
        steps.insert(0, ("solvers", {"solver": solver}))
    arguments: dict[str, Any] = {}
    for key, more in steps:
        arguments |= more
        with table.about(key), solver_errors():
            try:
                attack(**arguments)
            except TypeError as error:
                raise InputError(str(error)) from None

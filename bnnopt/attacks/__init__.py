"""The attacks, by the name that ``method=`` takes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bnnopt.errors import UnknownNameError

__all__ = ["METHODS", "attack_class"]

METHODS = {
    "auto": "bnnopt.attacks.auto:AutoAttack",
    "milp": "bnnopt.attacks.milp:MilpAttack",
    "pattern": "bnnopt.attacks.flips:PatternAttack",
    "bab": "bnnopt.attacks.flips:BranchAndBound",
    "iprop": "bnnopt.attacks.iprop:IProp",
    "fgsm": "bnnopt.attacks.gradient:FgsmAttack",
    "ifgsm": "bnnopt.attacks.gradient:IteratedFgsmAttack",
    "pgd": "bnnopt.attacks.gradient:PgdAttack",
}
"""Where each method's class lies; a class is imported when it is first asked for."""


def attack_class(method: str) -> Any:
    """The class of a method, a subclass of `bnnopt.attacks.base.Attack`.

    Raises
    ------
    UnknownNameError
        If there is no such method.
    """
    if method not in METHODS:
        raise UnknownNameError("method", method, METHODS)
    module, _, name = METHODS[method].partition(":")
    return getattr(import_module(module), name)

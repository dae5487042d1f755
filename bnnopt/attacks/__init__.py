"""The attacks, by the name that ``method=`` takes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from bnnopt.errors import UnknownNameError
from bnnopt.plugins import Offered, described, load_plugin, plugin_names

__all__ = ["METHODS", "attack_class", "method_names", "offered"]

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

GROUP = "bnnopt.attacks"
"""Entry points of other packages' methods."""

TAKEN = (*METHODS, "none", "verify")
"""Ours, and what ``start=`` and campaigns take beside methods."""


def method_names() -> list[str]:
    """Every method: ours, and those of other packages."""
    return [*METHODS, *plugin_names(GROUP, TAKEN)]


def attack_class(method: str) -> Any:
    """The class of a method, a subclass of `bnnopt.attacks.base.Attack`.

    Raises
    ------
    UnknownNameError
        If there is no such method.
    PluginError
        If it is another package's, and does not load.
    """
    if method in METHODS:
        module, _, name = METHODS[method].partition(":")
        return getattr(import_module(module), name)
    if method not in method_names():
        raise UnknownNameError("method", method, method_names())
    return load_plugin(GROUP, method, _complaint)


def offered() -> Iterator[Offered]:
    """Every method with its package, and whether it can be used; those of others are imported."""
    yield from (Offered(name, "bnnopt") for name in METHODS)
    yield from described(GROUP, TAKEN, _complaint)


def _complaint(name: str, loaded: Any) -> str:
    """What is wrong with another package's attack."""
    from bnnopt.attacks.base import Attack

    if not (isinstance(loaded, type) and issubclass(loaded, Attack)):
        return "is no subclass of bnnopt.attacks.base.Attack"
    if getattr(loaded, "method", None) != name:
        return f"does not say method = {name!r}, by which records know it"
    return ""

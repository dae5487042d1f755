"""What can be asked of a model by name; known without Pyomo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from bnnopt.errors import UnknownNameError
from bnnopt.plugins import Offered, described, load_plugin, plugin_names

__all__ = [
    "FORMULATIONS",
    "STRENGTHENINGS",
    "builder",
    "check_names",
    "formulation_names",
    "offered",
]

FORMULATIONS = ("tight", "paper")

STRENGTHENINGS = ("one-sided", "conflicts", "quadruples", "bounds")
"""Of the tight formulation; `bnnopt.formulations.tight` says what each is."""

GROUP = "bnnopt.formulations"
"""Entry points of other packages' formulations."""


def formulation_names() -> list[str]:
    """Every formulation: ours, and those of other packages."""
    return [*FORMULATIONS, *plugin_names(GROUP, FORMULATIONS)]


def check_names(formulation: str, strengthen: Collection[str] = ()) -> None:
    """Raise `UnknownNameError` for a formulation or strengthening that does not exist.

    Raises
    ------
    PluginError
        If the formulation is another package's, and does not load.
    """
    if formulation not in FORMULATIONS:
        builder(formulation)
    for name in strengthen:
        if name not in STRENGTHENINGS:
            raise UnknownNameError("strengthening", name, STRENGTHENINGS)


def builder(formulation: str) -> Callable[[Any], Any]:
    """The function of another package that makes an `AttackInstance` a Pyomo model."""
    if formulation not in formulation_names():
        raise UnknownNameError("formulation", formulation, formulation_names())
    build: Callable[[Any], Any] = load_plugin(GROUP, formulation, _complaint)
    return build


def offered() -> Iterator[Offered]:
    """Every formulation with its package, and whether it can be used."""
    yield from (Offered(name, "bnnopt") for name in FORMULATIONS)
    yield from described(GROUP, FORMULATIONS, _complaint)


def _complaint(name: str, loaded: Any) -> str:
    return "" if callable(loaded) else f"is no function of an AttackInstance but {loaded!r:.50}"

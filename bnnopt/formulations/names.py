"""What can be asked of a model by name; known without Pyomo."""

from __future__ import annotations

from collections.abc import Collection

from bnnopt.errors import UnknownNameError

__all__ = ["FORMULATIONS", "STRENGTHENINGS", "check_names"]

FORMULATIONS = ("tight", "paper")

STRENGTHENINGS = ("one-sided", "conflicts", "quadruples", "bounds")
"""Of the tight formulation; `bnnopt.formulations.tight` says what each is."""


def check_names(formulation: str, strengthen: Collection[str] = ()) -> None:
    """Raise `UnknownNameError` for a formulation or strengthening that does not exist."""
    if formulation not in FORMULATIONS:
        raise UnknownNameError("formulation", formulation, FORMULATIONS)
    for name in strengthen:
        if name not in STRENGTHENINGS:
            raise UnknownNameError("strengthening", name, STRENGTHENINGS)

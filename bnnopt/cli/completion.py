"""What a shell offers after an argument or an option."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import entry_points

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from bnnopt import zoo
from bnnopt.attacks import method_names
from bnnopt.datasets import NAMES as DATASETS
from bnnopt.formulations.names import formulation_names

__all__ = ["add_completion"]


class _Offered(StringParamType):
    """Text for which a shell offers some names, or its files where none begins so.

    Parameters
    ----------
    names : callable
        Gives the names, when the shell asks.
    """

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin like what is typed."""
        begun = [name for name in self._names() if name.startswith(incomplete)]
        return [CompletionItem(name) for name in begun] or [CompletionItem(incomplete, type="file")]


def _solvers() -> Iterable[str]:
    return sorted(entry_points(group="bnnopt.solvers").names)  # `import solvers` takes a second


OFFERS: dict[str, Callable[[], Iterable[str]]] = {
    "network": lambda: zoo.NAMES,
    "method": method_names,
    "start": lambda: ("none", *method_names()),
    "solver": _solvers,
    "formulation": formulation_names,
    "target": lambda: ("runner-up", "untargeted"),
    "domain": lambda: ("continuous", "pixels"),
    "direction": lambda: ("lighten", "darken", "both"),
    "dataset": lambda: DATASETS,
    "names": lambda: DATASETS,
    "head": lambda: ("integer", "batchnorm"),
    "device": lambda: ("auto", "cpu", "cuda"),
    **dict.fromkeys(("json_file", "figure", "out", "spec", "store"), lambda: ()),
}
"""By the name of the parameter, in whichever command."""


def add_completion(command: click.Command) -> None:
    """Let a shell complete the parameters of a command, and of those below it."""
    for parameter in command.params:
        if parameter.name in OFFERS:
            parameter.type = _Offered(OFFERS[parameter.name])
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_completion(below)

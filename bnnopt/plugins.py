"""Attacks and formulations of other packages, found by their entry points."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from bnnopt.errors import PluginError

__all__ = ["Offered", "described", "load_plugin", "plugin_names"]


@dataclass(frozen=True)
class Offered:
    """What a package offers under a name.

    Parameters
    ----------
    name, package : str
    problem : str
        Why it cannot be used; empty if it can.
    """

    name: str
    package: str
    problem: str = ""


@cache
def _entries(group: str) -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        if entry not in found.setdefault(entry.name, []):
            found[entry.name].append(entry)
    return found


def plugin_names(group: str, own: Collection[str]) -> list[str]:
    """The names that other packages give, but for those that are taken.

    Parameters
    ----------
    group : str
        Of entry points, such as ``"bnnopt.attacks"``.
    own : collection of str
        Names that no package may give.
    """
    return sorted(name for name in _entries(group) if name not in own)


def load_plugin(group: str, name: str, check: Callable[[str, Any], str]) -> Any:
    """What a package gives under one of `plugin_names`.

    Parameters
    ----------
    group, name : str
    check : callable
        Given the name and what was loaded, it says what is wrong with it, or nothing.

    Raises
    ------
    PluginError
        If it cannot be imported, is not what it should be, or comes from two packages.
    """
    entry, *others = _entries(group)[name]
    if others:
        packages = " and ".join(sorted(_package(each) for each in (entry, *others)))
        raise PluginError(f"{name!r} is given by {packages} ({group}): uninstall one of them")
    what = f"{name!r} of {_package(entry)} ({group})"
    try:
        loaded = entry.load()
    except (Exception, SystemExit) as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"{what} does not load ({cause}): mend or uninstall it") from error
    problem = check(name, loaded)
    if problem:
        raise PluginError(f"{what} {problem}: mend or uninstall it")
    return loaded


def described(
    group: str, own: Collection[str], check: Callable[[str, Any], str]
) -> Iterator[Offered]:
    """Everything that other packages give, also what cannot be used."""
    for name, entries in sorted(_entries(group).items()):
        package = ", ".join(sorted(_package(entry) for entry in entries))
        problem = "the name is taken" if name in own else ""
        if not problem:
            try:
                load_plugin(group, name, check)
            except PluginError as error:
                problem = str(error)
        yield Offered(name, package, problem)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "another package"

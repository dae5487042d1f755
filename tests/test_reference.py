"""The reference has every public name, and a word on every parameter of what it shows."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

import griffe
import pytest

from tests.pages import PAGES, ROOT

REFERENCE = [page for page in PAGES if page.startswith("docs/api/")]


def names(page: str) -> list[str]:
    """What a page of the reference shows."""
    return re.findall(r"^::: (\S+)$", (ROOT / page).read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("package", ["bnnopt", "bnnopt.training", "bnnopt.attacks.base", "solvers"])
def test_the_reference_has_every_public_name(package: str) -> None:
    shown = [resolve_name(name) for page in REFERENCE for name in names(page)]
    modules = {of.__name__ for of in shown if isinstance(of, types.ModuleType)}
    module = import_module(package)
    for name in module.__all__:
        public = getattr(module, name)
        if callable(public) or isinstance(public, types.ModuleType):
            is_shown = any(public is of for of in shown)
            assert is_shown or getattr(public, "__module__", package) in modules, name


@cache
def sources() -> Any:
    """The packages as the site's own reader sees them, without importing them."""
    loader = griffe.GriffeLoader(docstring_parser="numpy", search_paths=[str(ROOT)])
    for package in ("bnnopt", "solvers"):
        loader.load(package)
    loader.resolve_aliases(external=False)
    return loader.modules_collection


def shown_within(item: Any) -> Iterator[Any]:
    """A module's, class's or function's own entry, and those of its public members."""
    item = item.final_target if item.is_alias else item
    yield item
    if item.is_module or item.is_class:
        exported = item.exports and {str(getattr(name, "name", name)) for name in item.exports}
        for name, member in item.members.items():
            is_hidden = name.startswith("_") and name != "__call__"
            if is_hidden or (item.is_class and member.is_alias):
                continue
            if exported is None or name in exported:
                yield from shown_within(member)


def described(item: Any) -> dict[str, str] | None:
    """The text on each parameter; None where there is no such section."""
    sections = item.docstring.parsed if item.docstring else []
    found = [each for each in sections if each.kind is griffe.DocstringSectionKind.parameters]
    if not found:
        return None
    return {each.name.lstrip("*"): each.description for part in found for each in part.value}


@pytest.mark.parametrize("page", REFERENCE)
def test_every_parameter_that_the_reference_shows_has_a_text(page: str) -> None:
    wrong = {}
    for item in (each for name in names(page) for each in shown_within(sources()[name])):
        if not (item.is_function or item.is_class):
            continue
        texts = described(item)
        is_method = item.is_function and item.parent.is_class
        if texts is None and is_method:  # its sentence says it
            continue
        taken = {p.name.lstrip("*") for p in item.parameters} - {"self", "cls", "_"}
        texts = texts or {}
        blank = {name for name, text in texts.items() if not text.strip()}
        if taken != texts.keys() or blank:
            wrong[item.path] = (taken ^ texts.keys()) | blank
    assert not wrong


def test_the_reference_knows_a_parameter_that_lacks_a_text() -> None:
    text = '"""F.\n\n    Parameters\n    ----------\n    a : int\n    b\n        B.\n    """'
    code = f"def f(a, b):\n    {text}"
    with griffe.temporary_visited_module(code, docstring_parser="numpy") as module:
        assert described(module["f"]) == {"a": "", "b": "B."}

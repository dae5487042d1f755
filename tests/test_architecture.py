"""The floors of docs/architecture.md hold: imports point downward, and private names stay home."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("bnnopt", "solvers")
HEAVY = ("torch", "matplotlib", "pyomo", "gurobipy", "highspy", "pyscipopt", "dask", "numba")
HOMES = {
    "torch": ("bnnopt.training", "bnnopt.surrogate", "bnnopt.attacks.gradient", "bnnopt.exchange"),
    "foolbox": ("bnnopt.exchange.foolbox",),
    "art": ("bnnopt.exchange.art",),
    "matplotlib": ("bnnopt.report",),
    "pyomo": ("bnnopt.formulations", "solvers"),
    "click": ("bnnopt.cli",),
}
"""Packages that only these of ours import."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for ours in OURS for path in sorted((ROOT / ours).rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def imports(module: str) -> Iterator[tuple[str, str]]:
    """What a module imports, anywhere in it: a module, and a name of it or nothing."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole, "") if whole in MODULES else (node.module, alias.name)


def own_imports(module: str) -> set[str]:
    return {name for name, _ in imports(module) if name in MODULES} - {module}


@cache
def floors() -> dict[str, int]:
    """Floor of each package and module that the page's table names."""
    page = (ROOT / "docs/architecture.md").read_text()
    rows = re.findall(r"^\| (\d) \| ([^|]+) \|", page, flags=re.MULTILINE)
    return {
        name.rstrip("/"): int(floor)
        for floor, names in rows
        for name in re.findall("`(.+?)`", names)
    }


def floor_of(module: str) -> int:
    """That of the longest name in the table that the module is or lies in; `bnnopt` is itself."""
    within = [
        name
        for name in floors()
        if module == name or (name != "bnnopt" and module.startswith(name + "."))
    ]
    assert within, f"{module} is on no floor of docs/architecture.md"
    return floors()[max(within, key=len)]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    floor = floor_of(module)
    assert not {name for name in own_imports(module) if floor_of(name) > floor}
    if module.startswith("solvers"):
        assert not [name for name in own_imports(module) if name.startswith("bnnopt")]


def test_no_modules_import_each_other_in_a_circle() -> None:
    # A package's own modules may ask it for its public names; nothing else, not even for types.
    graph = {module: own_imports(module) for module in MODULES}
    packages = {module for module, path in MODULES.items() if path.name == "__init__.py"}
    for module in graph:
        graph[module] -= {p for p in packages if module.startswith(p + ".")}
    assert set(TopologicalSorter(graph).static_order()) == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_private_names_stay_in_their_module(module: str) -> None:
    imported = set()
    for name, member in imports(module):
        if name.split(".")[0] in OURS:
            private = [part for part in (*name.split("."), member) if re.match("_[^_]", part)]
            assert not private, f"{name} {member}"
            imported.add(member or name.rsplit(".", 1)[-1])
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr):
            owner = node.value
            assert not (isinstance(owner, ast.Name) and owner.id in imported), ast.unparse(node)


@pytest.mark.parametrize("package", HOMES)
def test_a_heavy_package_is_imported_at_its_home_only(package: str) -> None:
    users = {
        module for module in MODULES for name, _ in imports(module) if name.split(".")[0] == package
    }
    assert users
    assert not [user for user in users if not user.startswith(HOMES[package])]


def test_importing_bnnopt_imports_nothing_heavy() -> None:
    code = f"import sys, bnnopt; print([name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"

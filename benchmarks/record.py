"""What every benchmark writes: what was measured, by which command, in which conditions."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "code", "machine", "write"]

FOLDER = Path(__file__).resolve().parent / "results"
PACKAGES = (
    "bnnopt",
    "numpy",
    "numba",
    "highspy",
    "gurobipy",
    "pyscipopt",
    "cbcbox",
    "torch",
    "foolbox",
    "adversarial-robustness-toolbox",
)


def write(
    path: Path,
    title: str,
    arguments: Namespace,
    summary: Sequence[Mapping[str, Any]],
    records: Sequence[Mapping[str, Any]] = (),
    conditions: Mapping[str, Any] | None = None,
) -> None:
    """Write the results so far; `benchmarks.page` makes a section of them.

    Parameters
    ----------
    path : path
        Its stem is the section's heading.
    title : str
        One sentence: what is compared with what.
    arguments : Namespace
        Of the command, its defaults among them.
    summary : sequence of mappings
        The table, a mapping a row, in which lists and mappings are left out.
    records : sequence of mappings
        What the table was computed from.
    conditions : mapping, optional
        Those of the measurements, where they were made before and elsewhere: this machine's by
        default.
    """
    content = {
        "title": title,
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "conditions": {"arguments": _given(arguments)} | dict(conditions or _conditions()),
        "summary": list(summary),
        "records": list(records),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def _given(arguments: Namespace) -> str:
    pairs = vars(arguments).items()
    return ", ".join(f"{name} {value}" for name, value in pairs if name != "out")


def machine() -> dict[str, str]:
    """What a measurement depends on, and stays the same: the processor and versions."""
    return {
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "versions": ", ".join(["python " + platform.python_version(), *_versions()]),
    }


def code() -> str:
    """The packages as git knows them, whatever else a commit changed; a + for changes since."""
    root = FOLDER.parents[1]

    def git(*arguments: str) -> str:
        run = ["git", "-C", str(root), *arguments]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout

    try:
        trees = git("rev-parse", "HEAD:bnnopt", "HEAD:solvers").split()
        changed = git("status", "--porcelain", "--", "bnnopt", "solvers")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return "-".join(tree[:10] for tree in trees) + ("+" if changed else "")


def _conditions() -> dict[str, Any]:
    here = machine()
    load = {"load at the end": round(os.getloadavg()[0], 1)}
    return {"processor": here["processor"]} | load | {"versions": here["versions"]}


def _processor() -> str:
    """Its name; the platform's word for it where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found

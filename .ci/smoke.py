"""README's plain pip line, in an environment of its own, and a few real commands in it.

``make test`` runs with constraints.txt; this runs with whatever pip brings today. Usage:
``python3 .ci/smoke.py``; everything it makes is in a temporary folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("bnnopt", "solvers", "pyproject.toml", "README.md", "LICENSE")
NETWORK = "fashion-mnist-2x100"
JSON_COMMANDS = (
    ("attack", NETWORK, "--images", "1,4", "--epsilon", "0.002", "--json", "-"),
    ("attack", NETWORK, "--images", "4", "--epsilon", "0.002", "--method", "milp", "--json", "-"),
    ("attack", NETWORK, "--images", "4", "--epsilon", "0.002", "--max-pixels", "3", "--json", "-"),
    ("verify", NETWORK, "--images", "1", "--epsilon", "0.002", "--json", "-"),
)


def main() -> None:
    """Install, and try."""
    with tempfile.TemporaryDirectory(prefix="bnnopt-smoke-") as name:
        folder = Path(name)
        programs = install(folder)
        listed = run(folder, programs / "bnnopt", "solvers")
        assert re.search(r"^\s*highs\s+yes\b", listed, re.MULTILINE), listed
        for command in JSON_COMMANDS:
            lines = run(folder, programs / "bnnopt", *command).splitlines()
            assert lines, command
            for line in lines:
                json.loads(line)  # a banner of a solver, say, is none
        run(folder, programs / "python", "-c", readme_example())


def install(folder: Path) -> Path:
    """README's pip line on a copy of the sources; the folder of the programs."""
    copied = shutil.ignore_patterns("__pycache__", "*.nb[ic]")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "sources" / name, ignore=copied)
        else:
            shutil.copy(ROOT / name, folder / "sources" / name)
    line = re.search(r"^\$ pip install '(\.\[.*\])'$", (ROOT / "README.md").read_text(), re.M)
    assert line is not None, "README.md has no pip line"
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check")
    run(folder / "sources", *pip, "install", "--quiet", line[1])
    print(run(folder, *pip, "list", "--format", "freeze"), end="")
    return programs


def readme_example() -> str:
    """The first Python block of README.md."""
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None, "README.md has no example"
    return found[1]


def run(folder: Path, *command: object) -> str:
    """Run a command that knows nothing of the checkout; return what it prints."""
    print("+", *[part for part in command if "\n" not in str(part)], file=sys.stderr, flush=True)
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=kept,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"exit code {done.returncode}; it printed:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()

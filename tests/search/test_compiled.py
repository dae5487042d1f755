"""Compiled functions call each other and are called from Python; what is compiled is shown."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
from bnnopt.search.compiled import compiled
from bnnopt.search.warm_up import compile_by_running

@compiled
def inner(x):
    return x + 1.0

@compiled
def outer(x):
    return inner(x) + inner(2.0 * x)

compile_by_running(lambda: outer(1.0))
print(outer(1.0))
if {calls_inner}:
    print(inner(1.0), inner.__name__)
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def command(folder: Path, *, calls_inner: bool = False) -> list[str]:
    script = folder / "nested.py"
    script.write_text(SCRIPT.format(calls_inner=calls_inner))
    return [sys.executable, str(script)]


def environment(cache: Path) -> dict[str, str]:
    chosen = {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "0"}
    return os.environ | chosen


def kept(cache: Path) -> set[str]:
    """Functions of the script that are in the cache."""
    return {path.name.split("-")[0] for path in cache.rglob("nested.*.nbi")}


def test_only_what_python_calls_is_kept_and_the_rest_is_a_part_of_it(
    tmp_path: Path, cache: Path
) -> None:
    for calls_inner, output, functions in (
        (False, "5.0\n", {"nested.outer"}),
        (True, "5.0\n2.0 inner\n", {"nested.outer", "nested.inner"}),
        (True, "5.0\n2.0 inner\n", {"nested.outer", "nested.inner"}),
    ):
        run = subprocess.run(
            command(tmp_path, calls_inner=calls_inner),
            env=environment(cache),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, run.stdout) == (0, output), run.stderr
        assert kept(cache) == functions


def test_a_terminal_shows_what_is_compiled_and_nothing_where_it_is_loaded(
    tmp_path: Path, cache: Path
) -> None:
    shown = [_on_a_terminal(command(tmp_path), cache) for _ in range(2)]
    assert "compiling the search kernel, once" in shown[0]
    assert shown[1] == ""


def _on_a_terminal(words: list[str], cache: Path) -> str:
    """What a command writes on stderr, where that is a terminal."""
    reads, writes = pty.openpty()
    termios.tcsetwinsize(writes, (24, 100))
    with open(reads, "rb", buffering=0) as terminal:
        run = subprocess.Popen(
            words, env=environment(cache), stdout=subprocess.DEVNULL, stderr=writes
        )
        os.close(writes)
        text = b""
        while part := _read(terminal.fileno()):
            text += part
        assert run.wait() == 0
    return text.decode()


def _read(terminal: int) -> bytes:
    """The next bytes; none once the other side is closed, which some systems call an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""

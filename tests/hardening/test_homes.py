"""No home folder, or one that cannot be written, and nowhere to keep the compiled kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hardening.conftest import Program

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")


@pytest.mark.parametrize("home", [None, "/proc/nobody", "/dev/null"])
def test_without_a_home_the_data_are_sought_all_the_same(
    program: Program, home: str | None
) -> None:
    environment = dict.fromkeys((*NOWHERE, "BNNOPT_DATA")) | {"HOME": home}
    run = program("data", "where", "mnist", environment=environment)
    assert (run.returncode, len(run.stdout.splitlines())) == (0, 4)


def test_a_cache_that_cannot_be_written_is_named_and_the_remedy_with_it(program: Program) -> None:
    environment = dict.fromkeys((*NOWHERE, "BNNOPT_DATA")) | {"HOME": "/dev/null"}
    if b"not on this machine" not in program("data", "where", environment=environment).stdout:
        pytest.skip("the data sets are in the system's folder")
    run = program("data", "fetch", environment=environment)
    assert run.returncode == 1
    (line,) = run.stderr.decode().splitlines()
    assert "Not a directory: '/dev/null" in line
    assert "set BNNOPT_DATA" in line


def test_an_attack_and_its_figure_need_no_home(program: Program, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    arguments = ("--images", "1", "--epsilon", "0.002", "--method", "milp")
    run = program(
        *("attack", "fashion-mnist-2x100", *arguments, "--figure", tmp_path / "a.png"),
        environment=dict.fromkeys(NOWHERE) | {"HOME": "/dev/null"},
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "a.png").is_file()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with this package in it, and nothing compiled."""
    for package in ("bnnopt", "solvers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    return tmp_path


def python_in(copy: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code with the package of a folder, and no home."""
    environment = {name: value for name, value in os.environ.items() if name not in NOWHERE}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=copy,
        env=environment | {"HOME": "/dev/null", "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run


def test_the_kernel_can_be_compiled_where_nothing_can_be_kept(copy: Path) -> None:
    (copy / "bnnopt/search/__pycache__").touch()  # so that no folder of that name can be made
    code = "import os, numba, bnnopt.search.tree as t; print(t.__file__, numba.config.CACHE_DIR)"
    run = python_in(copy, code)
    file, _, cache = run.stdout.strip().partition(" ")
    assert Path(file).is_relative_to(copy)
    assert "set NUMBA_CACHE_DIR" in run.stderr
    assert not Path(cache).exists()  # removed at the end


@pytest.mark.parametrize("function", ["search.bound.margin_of", "proof.leaves.margin_at"])
def test_what_was_compiled_is_forgotten_once_any_source_of_the_kernel_has_changed(
    copy: Path, function: str
) -> None:
    module, _, name = f"bnnopt.{function}".rpartition(".")
    code = f"from {module} import {name} as f; print(f._callable.stats.cache_path)"

    def cached() -> Path:
        return Path(python_in(copy, code).stdout.strip())

    kept, other = cached() / "some.nbi", cached() / "some.txt"
    for source in ("bnnopt/search/gray_code.py", "bnnopt/tolerances.py"):
        for path in (kept, other):
            path.touch()
        cached()
        assert kept.exists()
        with (copy / source).open("a") as file:
            file.write("# another one\n")
        cached()
        assert not kept.exists()
        assert other.exists()


OLDER = """
import pickle
from pathlib import Path
from bnnopt.search.cache import _folder, run_though_unsaved
from bnnopt.search.extra import double

if {is_first}:
    print(double(2.0))
    (index,) = _folder().glob("extra*.nbi")
    with index.open("rb") as file:
        version = pickle.load(file)
    index.write_bytes(pickle.dumps(version) + b"cbnnopt.search.no_more\\nPlace\\n.")
else:
    try:
        double(2.0)
    except ImportError as error:
        print(error.name)
    run_though_unsaved(lambda: print(double(2.0)))
"""


def test_what_an_older_version_has_saved_of_modules_that_are_no_more_is_compiled_anew(
    copy: Path,
) -> None:
    function = "from numba import njit\n@njit(cache=True)\ndef double(x):\n    return 2.0 * x\n"
    (copy / "bnnopt/search/extra.py").write_text(function)
    assert python_in(copy, OLDER.format(is_first=True)).stdout == "4.0\n"
    expected = "bnnopt.search.no_more\n4.0\n"
    assert python_in(copy, OLDER.format(is_first=False)).stdout == expected
    assert python_in(copy, OLDER.format(is_first=False)).stdout == "4.0\n"


NESTED = """
from numba import njit
from bnnopt.search.cache import run_though_unsaved

@njit(cache=True)
def inner(x):
    return x + 1.0

@njit(cache=True)
def outer(x):
    return inner(x) + inner(2.0 * x)

run_though_unsaved(lambda: outer(1.0))
print(outer(1.0))
"""


def test_what_is_compiled_runs_though_the_disk_of_its_cache_is_full(
    full_disk: Path, tmp_path: Path
) -> None:
    script = tmp_path / "nested.py"
    script.write_text(NESTED)
    run = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"NUMBA_CACHE_DIR": str(full_disk), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "5.0\n"), run.stderr
    assert "No space left" in run.stderr
    assert len(run.stderr.splitlines()) == 1

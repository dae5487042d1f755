"""A wheel, built from a source archive, works in an environment that has nothing else of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

import bnnopt

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bnnopt", "solvers")
SOURCES = (*PACKAGES, "pyproject.toml", "README.md", "LICENSE")
PIP = (sys.executable, "-m", "pip", "--no-cache-dir", "--disable-pip-version-check")


def run(*command: Any, folder: Path, **environment: str) -> str:
    """Run a command that knows nothing of the checkout; return what it prints."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "BNNOPT_DATA")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources to a source archive to a wheel; setuptools is asked directly, without a network."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / "sources" / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / "sources")
    code = "from setuptools import build_meta; build_meta.build_sdist('..')"
    run(sys.executable, "-c", code, folder=folder / "sources")
    (archive,) = folder.glob("*.tar.gz")
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    run(*PIP, "wheel", *offline, archive, folder=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The program folder of an environment with the wheel; other packages come from this one."""
    home = wheel.parent / "an empty environment"
    venv.create(home, with_pip=False, symlinks=True)
    programs = home / "bin"
    run(
        *PIP,
        "--python",
        programs / "python",
        *("install", "--no-deps", "--no-index", wheel),
        folder=home,
    )
    (site,) = home.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def test_the_wheel_has_every_module_and_all_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if not name.startswith("bnnopt-")}
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == files
    assert "bnnopt/py.typed" in packed


def test_the_installed_program_needs_nothing_of_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    where = "import bnnopt, solvers; print(bnnopt.__file__); print(solvers.__file__)"
    for path in run(installed / "python", "-c", where, folder=tmp_path).splitlines():
        assert Path(path).is_relative_to(installed.parent)
    assert bnnopt.__version__ in run(installed / "bnnopt", "--version", folder=tmp_path)
    listed = run(installed / "python", "-m", "bnnopt", "networks", "--json", folder=tmp_path)
    assert [json.loads(line)["name"] for line in listed.splitlines()] == list(bnnopt.zoo.NAMES)


def test_the_installed_program_attacks_an_embedded_image(installed: Path, tmp_path: Path) -> None:
    arguments = ("--images", "1", "--epsilon", "0.002", "--method", "milp", "--json", "-")
    attack = ("attack", "fashion-mnist-2x100", *arguments)
    (line,) = run(installed / "bnnopt", *attack, folder=tmp_path).splitlines()
    record = json.loads(line)
    assert (record["status"], record["verified"]) == ("optimal", True)


def test_every_stated_version_is_the_same() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    citation = (ROOT / "CITATION.cff").read_text()
    assert f'version = "{bnnopt.__version__}"' in project
    assert f"version: {bnnopt.__version__}\n" in citation

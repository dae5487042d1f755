from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from bnnopt import datasets
from bnnopt.cli import main

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("ci")


def has_data(name: str) -> bool:
    """Whether every file of a data set is on this machine."""
    return all(datasets.where(name).values())


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any data set; its empty cache."""
    cache = tmp_path / "cache"
    monkeypatch.delenv("BNNOPT_DATA", raising=False)
    monkeypatch.setattr("bnnopt.datasets.files.SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr("bnnopt.datasets.files.cache_folder", lambda: cache)
    return cache


@pytest.fixture
def bnnopt_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command line in this process; returns (exit code, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bnnopt", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run

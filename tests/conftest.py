from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from bnnopt import datasets

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

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bnnopt import BinarizedNetwork
from tests.helpers import random_network

Program = Callable[..., subprocess.CompletedProcess[bytes]]


def tiny_network() -> BinarizedNetwork:
    """A network for Fashion-MNIST that every method attacks in moments."""
    network = random_network(1, inputs=784, widths=(5, 4), classes=3, levels=255)
    return replace(network, name="tiny", dataset="fashion-mnist", input_shape=(28, 28))


@pytest.fixture
def program() -> Program:
    """Run ``bnnopt`` as a process of its own; environment variables that are None are removed."""

    def run(
        *arguments: Any, environment: dict[str, Any] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        changed = os.environ | (environment or {})
        return subprocess.run(
            [sys.executable, "-m", "bnnopt", *arguments],
            env={name: value for name, value in changed.items() if value is not None},
            capture_output="stdout" not in options,
            check=False,
            timeout=300,
            **options,
        )

    return run


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, on which nothing fits any more."""
    folder, mount = tmp_path / "full", shutil.which("mount")
    folder.mkdir()
    small = ["-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if mount is None or subprocess.call([mount, *small], stderr=subprocess.DEVNULL) != 0:
        pytest.skip("no right to mount a small disk")
    try:
        (folder / "filling").touch()
        with pytest.raises(OSError, match="No space left"):
            (folder / "filling").write_bytes(bytes(2**16))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)

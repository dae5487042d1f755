from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from numba.core import event

import bnnopt
from bnnopt.proof.warm_up import warm_up


@contextmanager
def compilations() -> Iterator[list[Any]]:
    found: list[Any] = []

    class Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, event: Any) -> None:
            found.append(event)

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield found


@pytest.mark.parametrize("name", ["fashion-mnist-2x100", "fashion-mnist-3x100"])
def test_writing_a_proof_compiles_nothing_more(name: str, tmp_path: Path) -> None:
    image = bnnopt.datasets.embedded().x(0)
    bnnopt.attack(name, image, 0.005)
    warm_up()
    with compilations() as found:
        result = bnnopt.attack(name, image, 0.005, proof=tmp_path / "proof.gz")
    assert result.proof == str(tmp_path / "proof.gz")
    assert found == []

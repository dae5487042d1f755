"""What an object keeps open, such as a model in a solver, until its ``with`` block ends."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

__all__ = ["Resources"]


class Resources:
    """A context manager that closes; a subclass enters what it keeps open into `held`."""

    def __init__(self) -> None:
        self.held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open."""
        self.held.close()

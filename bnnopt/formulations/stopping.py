"""Limits of an attack that the building of its model is part of."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NO_LIMITS", "BuildLimits", "OutOfTime"]


class OutOfTime(Exception):  # noqa: N818 - no failure
    """A limit came while a model was being built."""


class BuildLimits(Protocol):
    """What building asks of an attack's limits."""

    @property
    def is_counted(self) -> bool:
        """Whether steps are limited, so that the time must not decide what is built."""

    def check(self) -> None:
        """Raise `OutOfTime` if a limit is reached."""


class _NoLimits:
    """Of whoever builds a model for its own sake."""

    is_counted = False

    def check(self) -> None:
        pass


NO_LIMITS: BuildLimits = _NoLimits()

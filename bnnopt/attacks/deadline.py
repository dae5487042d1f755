"""A clock that runs from the start of an attack to its time limit."""

from __future__ import annotations

import time

__all__ = ["Deadline"]


class Deadline:
    """Counts from its creation.

    Parameters
    ----------
    time_limit : float or None
        Seconds.
    """

    def __init__(self, time_limit: float | None) -> None:
        self._began = time.perf_counter()
        self._limit = time_limit

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began

    @property
    def left(self) -> float | None:
        """Seconds that the limit leaves, never nothing; None without a limit."""
        return None if self._limit is None else max(self._limit - self.elapsed, 0.01)

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self._limit is not None and self.elapsed >= self._limit

"""What is left of an attack's limits: seconds, and steps of its own."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from bnnopt.attacks.limits import Limits
from bnnopt.formulations.stopping import OutOfTime

__all__ = ["Deadline"]

clock = time.perf_counter
"""What limits count: benchmarks on machines that are busy with other work count CPU seconds."""


class Deadline:
    """A clock that runs from its creation, and a count of the steps that were spent.

    Parameters
    ----------
    limits : Limits
        What may be spent from now on.
    """

    def __init__(self, limits: Limits) -> None:
        self._began = clock()
        self._limits = limits
        self._spent = 0

    def spend(self, steps: int | None) -> None:
        """Count steps of the attack's own."""
        self._spent += steps or 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return clock() - self._began

    @property
    def left(self) -> float | None:
        """Seconds that the limit leaves, never nothing; None without a limit."""
        limit = self._limits.time_limit
        return None if limit is None else max(limit - self.elapsed, 0.01)

    @property
    def effort_left(self) -> int | None:
        """Steps that the limit leaves, at least one; None without a limit."""
        effort = self._limits.effort
        return None if effort is None else max(effort - self._spent, 1)

    @property
    def passed(self) -> bool:
        """Whether the time or the steps are used up."""
        limits = self._limits
        return (limits.time_limit is not None and self.elapsed >= limits.time_limit) or (
            limits.effort is not None and self._spent >= limits.effort
        )

    @property
    def is_counted(self) -> bool:
        """Whether steps are limited, so that the time must not decide anything else."""
        return self._limits.effort is not None

    def check(self) -> None:
        """Raise `OutOfTime` if a limit is reached."""
        if self.passed:
            raise OutOfTime

    def share(self, part: float = 1.0, most_seconds: float = math.inf) -> Limits:
        """Limits for a part of the work: this share of what is left.

        A limit on steps is shared instead of the time, so that a run which it cuts off repeats
        itself.
        """
        left, effort = self.left, self.effort_left
        if effort is not None:
            return replace(self._limits, time_limit=left, effort=max(math.ceil(part * effort), 1))
        seconds = min(math.inf if left is None else part * left, most_seconds)
        return replace(self._limits, time_limit=None if seconds == math.inf else seconds)

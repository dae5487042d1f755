"""What a campaign's runner asks of whatever runs its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bnnopt.campaign.task import Outcome, Task

__all__ = ["Ended", "Workers"]


@dataclass(frozen=True, eq=False)
class Ended:
    """A task that ended.

    Parameters
    ----------
    key : str
        Of its cell.
    outcome : Outcome or None
        None if its worker was lost.
    lost : str
        How the worker was lost.
    """

    key: str
    outcome: Outcome | None
    lost: str = ""


class Workers(Protocol):
    """Processes that run tasks: local ones, or a cluster's."""

    def free(self) -> int:
        """How many more tasks could start right now."""
        ...

    def submit(self, task: Task) -> None:
        """Start a task; only while `free` is positive."""
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """Tasks that have ended; waits up to `seconds` for the first."""
        ...

    def abandon(self, key: str, why: str) -> None:
        """End the worker of a task that hangs; the task ends as lost, in the next `wait`."""
        ...

    def close(self) -> None:
        """End every worker, whatever it is doing."""
        ...

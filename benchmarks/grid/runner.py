"""Running what is left of the grid, for some minutes or to its end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Iterable
from pathlib import Path

import solvers
from benchmarks.grid import lines
from benchmarks.grid.plan import Planned
from benchmarks.grid.work import line_of, task_of, work
from benchmarks.record import code, machine
from bnnopt import datasets
from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import GRACE_SECONDS
from bnnopt.campaign.workers import Ended
from bnnopt.datasets.indexed import Images

__all__ = ["left", "run", "solvable"]

POLL_SECONDS = 0.5


def left(planned: Iterable[Planned], known: Container[str]) -> list[Planned]:
    """The cells whose key is not known yet, in their order; those of failed ones are."""
    return [cell for cell in planned if cell.key not in known]


def solvable(planned: Iterable[Planned]) -> tuple[list[Planned], dict[str, str]]:
    """Cells whose solver is on this machine; and why the other solvers are not."""
    absent = {info.name: info.reason for info in solvers.available() if not info.available}
    return [cell for cell in planned if cell.cell.solver not in absent], absent


def run(
    planned: Iterable[Planned],
    folder: Path,
    workers: int,
    until: float = float("inf"),
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Run cells, each of which is added to its stage's file as it ends.

    Parameters
    ----------
    planned : iterable of Planned
        In this order.
    folder : path
        Of the lines.
    workers : int
        Processes, a cell each.
    until : float
        Of `time.monotonic`: then no more cell begins, and those under way end.
    progress : callable
        Called after each cell.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C; cells under way are lost, all others are in their files.
    """
    lines.mend(folder)
    runner = _Runner(planned, folder, LocalWorkers(workers, work=work), progress)
    try:
        runner.run(until)
    finally:
        runner.workers.close()


def _images(planned: Iterable[Planned]) -> dict[str, Images]:
    """Of each data set, those of the cells."""
    wanted: dict[str, set[int]] = {}
    for each in planned:
        wanted.setdefault(each.cell.dataset, set()).add(each.cell.image)
    return {name: datasets.for_indices(name, sorted(few)) for name, few in wanted.items()}


class _Runner:
    """One run; see `run`."""

    def __init__(
        self,
        planned: Iterable[Planned],
        folder: Path,
        workers: LocalWorkers,
        progress: Callable[[], object],
    ) -> None:
        self.workers = workers
        self._pending = deque(planned)
        self._folder, self._progress = folder, progress
        self._machine = lines.enter(folder, machine() | {"code": code()})
        self._images = _images(self._pending)
        self._running: dict[str, Planned] = {}
        self._deadlines: dict[str, float] = {}

    def run(self, until: float) -> None:
        while self._running or (self._pending and time.monotonic() < until):
            while self._pending and self.workers.free() > 0 and time.monotonic() < until:
                self._start(self._pending.popleft())
            for ended in self.workers.wait(POLL_SECONDS):
                self._settle(ended)
            self._end_hung()

    def _start(self, planned: Planned) -> None:
        self.workers.submit(task_of(planned, self._images[planned.cell.dataset]))
        self._running[planned.key] = planned
        self._deadlines[planned.key] = time.monotonic() + planned.cell.time_limit + GRACE_SECONDS

    def _settle(self, ended: Ended) -> None:
        planned = self._running.pop(ended.key)
        del self._deadlines[ended.key]
        line = line_of(planned, ended.outcome, ended.lost, self._machine)
        lines.append(self._folder, planned.stage, line)
        self._progress()

    def _end_hung(self) -> None:
        now = time.monotonic()
        for key, deadline in self._deadlines.items():
            if now > deadline:
                self.workers.abandon(key, f"no answer {GRACE_SECONDS:g} s after its time limit")
                self._deadlines[key] = now + GRACE_SECONDS  # time to die

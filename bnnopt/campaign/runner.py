"""Running a campaign: claim cells, give them to workers, keep what comes back."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bnnopt import __version__
from bnnopt.bounds import count_unstable
from bnnopt.campaign.cell import Cell, most_seconds
from bnnopt.campaign.spec import CampaignSpec
from bnnopt.campaign.store import LEASE_SECONDS, Store
from bnnopt.campaign.task import Task
from bnnopt.campaign.workers import Ended, Workers
from bnnopt.datasets.indexed import Images
from bnnopt.errors import StoreError

__all__ = ["GRACE_SECONDS", "Tally", "run_campaign"]

GRACE_SECONDS = 120.0
"""Beyond its time limit, what a cell may take before its worker counts as hung."""

POLL_SECONDS = 0.5
RIVAL_SECONDS = 2.0
"""How often to look whether another runner has finished, or died."""


@dataclass
class Tally:
    """How many of a spec's cells there are, done and failed.

    Parameters
    ----------
    total, done, failed : int
        Of the spec's cells.
    """

    total: int
    done: int = 0
    failed: int = 0


def run_campaign(
    spec: CampaignSpec,
    store: Store,
    workers: Workers,
    *,
    grace: float = GRACE_SECONDS,
    progress: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Run every cell of a spec that the store does not have yet, the longest first.

    Parameters
    ----------
    spec : CampaignSpec
        Which cells there are.
    store : Store
        Other runners may use it at the same time; the cells are shared out.
    workers : Workers
        Ended when the call ends.
    grace : float
        Seconds beyond its time limit after which a cell's worker counts as hung.
    progress : callable
        Called whenever the tally has changed.

    Returns
    -------
    Tally

    Raises
    ------
    StoreError
        If the store cannot be written; what is finished is in it.
    KeyboardInterrupt
        On Ctrl-C; what is finished is in the store, what is not is open again.
    """
    try:
        runner = _Runner(spec, store, workers, grace, progress)
        store.enter(machine())
        try:
            runner.run()
        finally:
            with suppress(StoreError):  # a full disk: the next runner sees that this one is gone
                store.leave()
    finally:
        workers.close()
    return runner.tally


def machine() -> dict[str, Any]:
    """What to remember of this machine."""
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "bnnopt": __version__,
    }


def _processor() -> str:
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _longest_first(
    spec: CampaignSpec, cells: list[Cell], images: Mapping[str, Images]
) -> list[Cell]:
    """Long ones left for the end would leave the other workers idle.

    Within a time limit, the effort grows with the first-layer neurons that the box can flip and
    with the number of weights.
    """
    effort: dict[tuple[str, float, int], int] = {}
    for key, network in spec.networks.items():
        weights = sum(layer.weight.size for layer in network.hidden)
        x = images[spec.dataset_of(network)].x(list(spec.images))
        for epsilon in spec.epsilons:
            counts = count_unstable(network, x, epsilon) * weights
            effort |= {(key, epsilon, i): n for i, n in zip(spec.images, counts, strict=True)}
    return sorted(
        cells,
        key=lambda cell: (-cell.time_limit, -effort[cell.network, cell.epsilon, cell.image]),
    )


class _Runner:
    """One run; see `run_campaign`."""

    def __init__(
        self,
        spec: CampaignSpec,
        store: Store,
        workers: Workers,
        grace: float,
        progress: Callable[[Tally], None],
    ) -> None:
        self._store, self._workers = store, workers
        self._grace, self._progress = grace, progress
        planned = list(spec.cells())
        images = spec.images_by_dataset()
        store.add(spec, planned, images)
        self._networks = {key: store.network_content(key) for key in spec.networks}
        cells = [plan.cell for plan in planned]
        self._cells = {cell.key: cell for cell in _longest_first(spec, cells, images)}
        self._pending = deque(self._cells)
        self._elsewhere: set[str] = set()
        self._deadlines: dict[str, float] = {}
        self._beaten = self._looked = time.monotonic()
        self.tally = Tally(len(self._cells))

    def run(self) -> None:
        """Until every cell is done or failed, here or by another runner."""
        self._look()
        while self._pending or self._deadlines or self._elsewhere:
            self._feed()
            for ended in self._workers.wait(POLL_SECONDS):
                self._settle(ended)
            self._end_hung()
            self._keep_alive()

    def _feed(self) -> None:
        """Give every free worker a cell."""
        free = self._workers.free()
        while free > 0 and self._pending:
            key = self._pending.popleft()
            if not self._store.claim(key):
                self._elsewhere.add(key)
                continue
            cell = self._cells[key]
            self._workers.submit(self._task(key, cell))
            seconds = most_seconds(cell.time_limit, cell.proof)
            self._deadlines[key] = time.monotonic() + seconds + self._grace
            free -= 1

    def _task(self, key: str, cell: Cell) -> Task:
        x, label = self._store.image(cell)
        return Task(key, cell, self._networks[cell.network], x, label)

    def _settle(self, ended: Ended) -> None:
        """Keep what a worker found, or note that it was lost."""
        del self._deadlines[ended.key]
        if ended.outcome is None:
            if self._store.lose(ended.key, ended.lost):
                self._pending.appendleft(ended.key)
                return
            self.tally.failed += 1
        elif ended.outcome.error:
            self._store.fail(ended.key, ended.outcome)
            self.tally.failed += 1
        else:
            self._store.finish(ended.key, ended.outcome)
            self.tally.done += 1
        self._progress(self.tally)

    def _end_hung(self) -> None:
        now = time.monotonic()
        for key, deadline in self._deadlines.items():
            if now > deadline:
                limit = self._cells[key].time_limit
                why = f"no answer {self._grace:g} s after its time limit of {limit:g} s"
                self._workers.abandon(key, why)
                self._deadlines[key] = now + self._grace  # time to die

    def _keep_alive(self) -> None:
        now = time.monotonic()
        if now - self._beaten > LEASE_SECONDS / 6:
            self._beaten = now
            self._store.beat()
        idle = not self._pending and self._elsewhere
        if idle and now - self._looked > RIVAL_SECONDS:
            self._look()

    def _look(self) -> None:
        """See what other runners have done, and take over from dead ones."""
        self._looked = time.monotonic()
        self._store.release_dead()
        states = self._store.states()
        mine = {key: states[key] for key in self._cells if key not in self._deadlines}
        self._elsewhere = {key for key, state in mine.items() if state == "claimed"}
        self._pending = deque(key for key, state in mine.items() if state == "open")
        counts = list(mine.values())
        self.tally.done, self.tally.failed = counts.count("done"), counts.count("failed")
        self._progress(self.tally)

"""Workers that are spawned processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for

from bnnopt.campaign.task import Outcome, Task, run_task
from bnnopt.campaign.workers import Ended
from bnnopt.errors import CampaignError, InputError
from bnnopt.processes import begin_worker, single_threaded

__all__ = ["LocalWorkers"]

RECYCLE_SHARE = 0.5
"""A worker that has held this share of its memory is replaced by a fresh one."""

END_SECONDS = 5.0


class LocalWorkers:
    """Spawned processes, started as they are needed, each with a share of the memory.

    Parameters
    ----------
    count : int
        At most so many at once.
    memory : int, optional
        Bytes that each may allocate; by default the machine's memory over `count`.
    work : callable
        What a worker does with a task; a function of a module.

    Raises
    ------
    InputError
        If `count` is not positive.
    """

    def __init__(
        self,
        count: int,
        memory: int | None = None,
        work: Callable[[Task], Outcome] = run_task,
    ) -> None:
        if count < 1:
            raise InputError(f"workers must be at least 1, not {count}")
        self._count = count
        self._memory = memory or _physical_memory() // count
        self._work = work
        self._idle: list[_Worker] = []
        self._busy: dict[str, _Worker] = {}
        self._abandoned: dict[str, str] = {}

    def free(self) -> int:
        """How many more tasks could start right now."""
        return self._count - len(self._busy)

    def submit(self, task: Task) -> None:
        """Start a task on an idle worker, or on a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.start(task):
                self._busy[task.key] = worker
                return
            worker.end()
        worker = _Worker(self._memory, self._work)
        if not worker.start(task):
            worker.end()
            raise CampaignError("a new worker process ended at once: is there memory for it?")
        self._busy[task.key] = worker

    def wait(self, seconds: float) -> list[Ended]:
        """Tasks that have ended; waits up to `seconds` for the first."""
        ready = wait_for([worker.connection for worker in self._busy.values()], seconds)
        ended = [key for key, worker in self._busy.items() if worker.connection in ready]
        return [self._settle(key) for key in ended]

    def _settle(self, key: str) -> Ended:
        worker = self._busy.pop(key)
        outcome = worker.outcome()
        if outcome is None:
            died = worker.end()
            return Ended(key, None, self._abandoned.pop(key, died))
        if outcome.peak_memory > RECYCLE_SHARE * self._memory:
            worker.end()
        else:
            self._idle.append(worker)
        return Ended(key, outcome)

    def abandon(self, key: str, why: str) -> None:
        """Kill the worker of a task."""
        self._abandoned[key] = why
        self._busy[key].kill()

    def close(self) -> None:
        """End every worker, a busy one in the middle of its task."""
        for worker in self._busy.values():
            worker.kill()
        for worker in (*self._busy.values(), *self._idle):
            worker.end()
        self._busy.clear()
        self._idle.clear()


class _Worker:
    """One process, and the pipe to it."""

    def __init__(self, memory: int, work: Callable[[Task], Outcome]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, memory, work), daemon=False)
        with single_threaded():
            self._process.start()
        # Only the worker holds its end, so that its death closes the pipe.
        other.close()

    def start(self, task: Task) -> bool:
        """Send a task; False if the worker is dead."""
        try:
            self.connection.send(task)
        except OSError:
            return False
        return self._process.is_alive()

    def outcome(self) -> Outcome | None:
        """What the worker sent; None if it died."""
        try:
            outcome: Outcome = self.connection.recv()
        except (EOFError, OSError):
            return None
        return outcome

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> str:
        """Make sure that the process is gone, and say how it went."""
        self.connection.close()
        self._process.join(END_SECONDS)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        code = self._process.exitcode or 0
        self._process.close()
        if code < 0:
            return f"its worker was ended by {signal.Signals(-code).name}"
        return f"its worker ended with exit code {code}"


def _serve(connection: Connection, memory: int, work: Callable[[Task], Outcome]) -> None:
    """A worker's life: tasks until the pipe closes."""
    begin_worker()
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    threading.Thread(target=_follow_parent, daemon=True).start()
    while True:
        try:
            connection.send(work(connection.recv()))
        except (EOFError, OSError):
            return


def _follow_parent() -> None:
    """End with the runner, even one that was killed in the middle of an attack."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return sys.maxsize

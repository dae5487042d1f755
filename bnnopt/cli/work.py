"""Running attacks one after the other, or on several processes; one that fails ends no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from bnnopt import api
from bnnopt.bounds import count_unstable
from bnnopt.campaign.single_threaded import single_threaded
from bnnopt.errors import BnnoptError, MissingDependencyError, SolverMissingError, UnknownNameError
from bnnopt.network import BinarizedNetwork
from bnnopt.result import AttackResult

__all__ = ["Failure", "Job", "attempt", "run_jobs"]

LOOK_SECONDS = 0.2
"""Between two looks at whether Ctrl-C came."""

LAST_SECONDS = 10.0
"""What workers may take to hand back their incumbents after Ctrl-C."""


@dataclass(frozen=True)
class Failure:
    """An image that brought no result.

    Parameters
    ----------
    image : int or None
    error : BnnoptError
    """

    image: int | None
    error: BnnoptError


@dataclass(frozen=True, eq=False)
class Job:
    """The arguments of one call of `bnnopt.attack`."""

    network: BinarizedNetwork
    image: npt.ArrayLike
    options: dict[str, Any]

    def having(self, **options: Any) -> Job:
        """The same job with other options."""
        return replace(self, options=self.options | options)

    @property
    def difficulty(self) -> int:
        """Grows with the time that an exact attack takes."""
        images = self.network.images(self.image)
        return int(count_unstable(self.network, images, self.options["epsilon"])[0])

    def run(self) -> AttackResult | Failure:
        """Attack."""
        found: AttackResult | Failure = attempt(
            self.options.get("index"), lambda: api.attack(self.network, self.image, **self.options)
        )
        return found


def attempt(image: int | None, work: Callable[[], Any]) -> Any:
    """What the work on one image gives, or its `Failure`.

    Raises
    ------
    BnnoptError
        If it would be the same for every image: an unknown name, or something not installed.
    """
    try:
        return work()
    except (UnknownNameError, SolverMissingError, MissingDependencyError):
        raise
    except BnnoptError as error:
        return Failure(image, error)
    except MemoryError:
        return Failure(image, BnnoptError("out of memory: use fewer --workers"))


def run_jobs(jobs: list[Job], workers: int) -> Iterator[AttackResult | Failure]:
    """Results as they come: in order with one worker; with more, the longest jobs begin.

    Ctrl-C with several workers ends what they do: their incumbents still come, marked as
    interrupted, and then KeyboardInterrupt is raised.
    """
    if workers == 1:
        yield from (job.run() for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker)
    try:
        with _noted_interrupts() as interrupted:
            jobs = sorted(jobs, key=lambda job: -job.difficulty)
            with single_threaded():
                futures = {pool.submit(_run_in_worker, job) for job in jobs}
            while futures and not interrupted.is_set():
                done, futures = wait(futures, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
            if interrupted.is_set():
                yield from _incumbents(futures)
                raise KeyboardInterrupt
        pool.shutdown()
    except BaseException:
        _end(pool)
        raise


@contextmanager
def _noted_interrupts() -> Iterator[threading.Event]:
    """Note Ctrl-C instead of raising it anywhere, so that no result is lost on its way."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def _incumbents(
    futures: set[Future[AttackResult | Failure]],
) -> Iterator[AttackResult | Failure]:
    """What the workers have so far; those that a terminal has told already are told again."""
    running = [future for future in futures if not future.cancel()]
    for process in multiprocessing.active_children():
        if process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
    done, _ = wait(running, LAST_SECONDS)
    for future in done:
        with suppress(BrokenProcessPool, KeyboardInterrupt):
            yield future.result()


def _end(pool: ProcessPoolExecutor) -> None:
    for process in multiprocessing.active_children():
        process.terminate()
    pool.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # between jobs
    # Pyomo makes a lock of multiprocessing; of this kind it is nothing that a terminated process
    # would leave behind in the system.
    multiprocessing.set_start_method("fork", force=True)


def _run_in_worker(job: Job) -> AttackResult | Failure:
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        return job.run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt_once(signum: int, frame: Any) -> None:
    """A terminal and the main process may both tell of one Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt

"""Worker processes: spawned, one thread each, ended by Ctrl-C without a loss."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["begin_worker", "products_on_one_thread", "run_on_workers", "single_threaded"]

Item = TypeVar("Item")
Result = TypeVar("Result")

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

LOOK_SECONDS = 0.2
"""Between two looks at whether Ctrl-C came."""

LAST_SECONDS = 10.0
"""What workers may take to hand back what they have after Ctrl-C."""


@contextmanager
def single_threaded() -> Iterator[None]:
    """Have processes that start now compute with one thread each, besides the solver's."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def products_on_one_thread() -> Iterator[None]:
    """Have numpy's and the kernel's matrix products take one thread.

    They are small, so that more threads wait for each other: twice the CPU time on two cores, and
    no less time. Where threads of one process do this at once, it may stay at one afterwards.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    """Made once: to find the libraries takes 12 ms."""
    return ThreadpoolController()


def begin_worker() -> None:
    """What a spawned process does first: it leaves Ctrl-C to whoever started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Pyomo makes a lock of multiprocessing; of this kind it has no name, so it is nothing that a
    # killed process would leave behind in the system.
    multiprocessing.set_start_method("fork", force=True)


def run_on_workers(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Results as they come, of work on each item; the first items begin.

    Ctrl-C interrupts the work under way: what it still returns comes, and then KeyboardInterrupt
    is raised.

    Parameters
    ----------
    work : callable
        Can be pickled, as the items and results can; KeyboardInterrupt ends it soon.
    items : iterable
    workers : int
        Processes.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=begin_worker)
    try:
        with _noted_interrupts() as interrupted:
            with single_threaded(), _without_main(work):
                futures = {pool.submit(_interruptible, work, item) for item in items}
            while futures and not interrupted.is_set():
                done, futures = wait(futures, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
            if interrupted.is_set():
                yield from _last_results(futures)
                raise KeyboardInterrupt
        pool.shutdown()
    except BaseException:
        _end(pool)
        raise


@contextmanager
def _without_main(work: Callable[..., Any]) -> Iterator[None]:
    """Have processes that start now leave the caller's script alone, unless work is in it.

    A spawned process runs it again otherwise, which a script must guard against.
    """
    main: Any = sys.modules.get("__main__")
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    if main is None or work.__module__ == "__main__":
        yield
        return
    for name in kept:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)


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


def _last_results(futures: set[Future[Result]]) -> Iterator[Result]:
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


def _interruptible(work: Callable[[Item], Result], item: Item) -> Result:
    """Do work in a worker, which Ctrl-C interrupts then, and not between."""
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        return work(item)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt_once(signum: int, frame: Any) -> None:
    """A terminal and the main process may both tell of one Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt

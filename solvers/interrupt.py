"""Run a solver so that Ctrl-C stops it gently instead of tearing the process down."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["run_interruptible"]

POLL_SECONDS = 0.2


def run_interruptible(work: Callable[[], None], stop: Callable[[], None]) -> bool:
    """Run `work` in a thread of its own while this one listens for Ctrl-C.

    A fresh thread for every solve also gives HiGHS, whose scheduler belongs to the thread, the
    number of threads that each solve asks for.

    Parameters
    ----------
    work : callable
        Blocks until the solver is done; must release the GIL meanwhile.
    stop : callable
        Asks the solver to stop soon; called from this thread on each Ctrl-C.

    Returns
    -------
    bool
        Whether Ctrl-C came.

    Raises
    ------
    Exception
        What `work` raised.
    """
    failure: list[BaseException] = []
    done = threading.Event()

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread below
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=guarded, name="solver", daemon=True)
    interrupted = False
    thread.start()
    # Not thread.join(): Ctrl-C during it makes Python 3.11 believe that the thread has ended.
    while not done.is_set():
        try:
            done.wait(POLL_SECONDS)
        except KeyboardInterrupt:
            interrupted = True
            stop()
    thread.join()
    if failure:
        raise failure[0]
    return interrupted

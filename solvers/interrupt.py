"""Run a solver so that Ctrl-C stops it gently instead of tearing the process down."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Self

__all__ = ["run_interruptible"]

POLL_SECONDS = 0.1
EARLY_POLL_SECONDS = 0.005
"""In the first moments, when a library may take Ctrl-C for itself; see `_CtrlC.listen`."""


def run_interruptible(work: Callable[[], None], stop: Callable[[], None]) -> bool:
    """Run `work` in a thread of its own while this one listens for Ctrl-C.

    A fresh thread for every solve also gives HiGHS, whose scheduler belongs to the thread, the
    number of threads that each solve asks for. `work` has ended when this returns or raises:
    nobody may touch a solver that runs.

    Parameters
    ----------
    work : callable
        Blocks until the solver is done; must release the GIL meanwhile.
    stop : callable
        Asks the solver to stop soon; called from this thread on Ctrl-C, and then again and
        again until the solver ends: some forget it if it comes too early.

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
    with _CtrlC() as ctrl_c:
        thread.start()
        began = time.perf_counter()
        # Not thread.join(): Ctrl-C during it makes Python 3.11 believe that the thread has ended.
        while not done.is_set():
            early = time.perf_counter() - began < 0.3
            try:
                done.wait(EARLY_POLL_SECONDS if early else POLL_SECONDS)
                ctrl_c.listen()
                if ctrl_c.came:
                    stop()
            except KeyboardInterrupt:  # from a handler that is not Python's own
                ctrl_c.came = True
        thread.join()
    if failure:
        raise failure[0]
    return ctrl_c.came


class _CtrlC:
    """Notes Ctrl-C rather than raise `KeyboardInterrupt`, which may strike anywhere.

    Only in the main thread, which alone may change that and alone gets Ctrl-C; and only where
    the handler is Python's own: whoever has set another wants it called.
    """

    def __init__(self) -> None:
        self.came = False
        self._ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *error: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def listen(self) -> None:
        """Take Ctrl-C, also from a library that has since taken it: Gurobi's prints a line."""
        if self._ours:
            signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True

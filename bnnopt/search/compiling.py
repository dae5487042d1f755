"""That functions are being compiled, shown on stderr while it lasts."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from numba.core import event
from tqdm import tqdm

__all__ = ["compiling_shown"]

NOTICE_SECONDS = 4.0
"""Loading the compiled kernel takes less than this."""

TICK_SECONDS = 0.5

NOTICE = "bnnopt: compiling the search kernel; this happens once and takes half a minute"


class _Line(event.Listener):  # type: ignore[misc]
    """Counts functions on stderr, from the first that is compiled and not loaded."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._done = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def on_start(self, _: event.Event) -> None:
        """A function is to be compiled."""
        if self._bar is None:
            self._bar = tqdm(
                desc="bnnopt: compiling the search kernel, once",
                unit=" functions",
                file=sys.stderr,
                leave=False,
                dynamic_ncols=True,
            )
            self._ticker.start()

    def on_end(self, _: event.Event) -> None:
        """It is compiled."""
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        """Take the line away."""
        self._done.set()
        if self._bar is not None:
            self._ticker.join()
            self._bar.close()

    def _tick(self) -> None:
        while not self._done.wait(TICK_SECONDS):
            if self._bar is not None:
                self._bar.refresh()


@cache
def _notice() -> None:
    """Once a process, however much is compiled."""
    logging.getLogger(__name__).warning(NOTICE)


@contextmanager
def compiling_shown() -> Iterator[None]:
    """A line of how many functions were compiled and for how long; off a terminal one notice."""
    if sys.stderr is not None and sys.stderr.isatty():
        line = _Line()
        try:
            with event.install_listener("numba:compile", line):
                yield
        finally:
            line.close()
        return
    notice = threading.Timer(NOTICE_SECONDS, _notice)
    notice.daemon = True
    notice.start()
    try:
        yield
    finally:
        notice.cancel()

"""A live line on stderr while attacks run."""

from __future__ import annotations

import sys
import threading
import time
from typing import Self

from tqdm import tqdm

__all__ = ["Progress"]

TICK_SECONDS = 0.5


class Progress:
    """Counts attacks and shows how long the present one has run; silent off a terminal.

    Parameters
    ----------
    total : int
        Attacks in all.
    time_limit : float or None
        Seconds an attack.
    """

    def __init__(self, total: int, time_limit: float | None) -> None:
        self._bar = tqdm(
            total=total, unit="image", file=sys.stderr, disable=None, dynamic_ncols=True
        )
        self._limit = "" if time_limit is None else f" of {time_limit:g}"
        self._since = time.perf_counter()
        self._done = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._ticker.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._ticker.join()
        self._bar.close()

    @property
    def is_live(self) -> bool:
        """Whether stderr is a terminal."""
        return not self._bar.disable

    def incumbent(self, image: int, seconds: float, objective: float) -> None:
        """An attack has found a better point."""
        self._bar.write(f"image {image}: {objective:g} after {seconds:.1f} s", file=sys.stderr)

    def step(self, line: str = "") -> None:
        """One attack is done; `line` says how it went, unless that comes later."""
        if not line:
            pass
        elif self.is_live:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr)
        self._since = time.perf_counter()
        self._bar.update()

    def _tick(self) -> None:
        while not self._done.wait(TICK_SECONDS):
            seconds = time.perf_counter() - self._since
            self._bar.set_postfix_str(f"{seconds:.0f}{self._limit} s")

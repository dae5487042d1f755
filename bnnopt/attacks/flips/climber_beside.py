"""Pattern search on a thread of its own, beside the trees of the same search."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, wait
from contextlib import contextmanager
from dataclasses import replace

from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.flips.pattern import Climber

__all__ = ["ClimberBeside"]


class ClimberBeside:
    """Climbs in a search of its own, which has the same clock.

    What either search finds, the other one learns when the climb and what ran beside it have both
    ended: so nothing depends on which was faster.

    Parameters
    ----------
    search : FlipSearch
    """

    def __init__(self, search: FlipSearch) -> None:
        self._search = search
        quiet = replace(search.limits, on_incumbent=None)
        self._own = FlipSearch(search.instance, quiet, search.findings.points)
        self._own.deadline = search.deadline
        self._climber = Climber(self._own)

    @contextmanager
    def climbing(self, pool: Executor) -> Iterator[None]:
        """Climb while the context's body runs, from the best point that either search has."""
        self._own.offer(self._search.findings.points)
        climb = pool.submit(self._climber.climb)
        try:
            yield
        finally:
            wait([climb])
            self._search.offer(self._own.findings.points)
            climb.result()

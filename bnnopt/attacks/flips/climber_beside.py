"""Pattern search on a thread of its own, beside the trees of the same search."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from copy import copy

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
        self._search, self._own = search, search.apart()
        self._climber = Climber(self._own)

    @contextmanager
    def climbing(self, pool: Executor) -> Iterator[None]:
        """Climb while the context's body runs, from the best point that either search has."""
        self._own.deadline = copy(self._search.deadline)  # what is spent meanwhile is not seen
        self._own.offer(self._search.findings.points)
        climbs: list[Future[None]] = []
        try:
            climbs.append(pool.submit(self._climber.climb))
            yield
        finally:
            wait(climbs)
            self._search.offer(self._own.findings.points)
            for climb in climbs:
                climb.result()

"""Pattern search: tabu search over the flips of the first layer (`bnnopt.search.walk`)."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.base import Limits
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.flip_attack import FlipAttack
from bnnopt.attacks.flip_search import FlipSearch
from bnnopt.instance import AttackInstance
from bnnopt.search.walk import Walk, new_walk, walk

__all__ = ["PatternAttack", "Walkers"]

FloatArray = npt.NDArray[np.float64]

SLICE = 20
"""Moves between two looks at the clock."""

IDLE_MOVES, IDLE_SHARE = 5000, 3.0
"""The search ends after this many moves, and this many times those so far, without success."""


class Walkers:
    """A walk for each target, sharing the best margin."""

    def __init__(self, search: FlipSearch) -> None:
        self._search = search
        seed = search.limits.seed
        self._walks: dict[int, Walk] = {
            target: new_walk(search.region, terms, seed, search.best)
            for target, terms in search.terms.items()
        }
        self.moves = 0
        self.improved_at = 0

    def run(self, moves: int) -> None:
        """Make this many moves, shared by the targets, unless the search is over before."""
        search, end = self._search, self.moves + moves
        while self.moves < end:
            for target, state in self._walks.items():
                if search.is_over:
                    return
                # A margin of another target counts; so do points that others found.
                state.value[0] = max(search.worth(target), state.value[0])
                found = walk(search.region, search.terms[target], state, SLICE)
                self.moves += SLICE
                if not found:
                    continue
                if search.offer(search.point(state.u)[None]):
                    self.improved_at = self.moves
                elif search.instance.domain == "pixels":
                    search.decide(target, np.flatnonzero(state.best))


class PatternAttack(FlipAttack):
    """Local search over reachable sign patterns: no proof, but near the best within a second.

    It ends at its time limit, or after thousands of moves that found nothing better.
    """

    method: ClassVar[str] = "pattern"

    def seek(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Walk until nothing better has come for long."""
        search = FlipSearch(instance, limits, starts, self.method)
        findings = search.findings
        with suppress(KeyboardInterrupt):
            findings.interrupted = True  # unless the loop ends by itself
            walkers = Walkers(search)
            while len(search.flips.neurons) and not search.is_over:
                walkers.run(SLICE)
                idle = walkers.moves - walkers.improved_at
                if idle > IDLE_MOVES + IDLE_SHARE * walkers.improved_at:
                    break
            findings.interrupted = False
        return findings

"""Pattern search: climbs over the flips of the first layer, from one point after another."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.findings import Findings, keep_going
from bnnopt.attacks.flips.flip_attack import FlipAttack
from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.flips.near_patterns import NearPatterns
from bnnopt.attacks.limits import Limits
from bnnopt.instance import AttackInstance
from bnnopt.search.reach import OPEN, REACHED

__all__ = ["Climber", "PatternAttack"]

FloatArray = npt.NDArray[np.float64]

TURNING = 10
"""Neurons of a neighbourhood."""

PATIENCE = 60
"""Neighbourhoods in a row without a better set that end a climb."""

IDLE_CLIMBS, IDLE_SHARE = 60, 3.0
"""The search ends after this many climbs, and this many times those so far, without success."""


class Climber:
    """Iterated local search from the best point that the search has, whoever found it.

    Parameters
    ----------
    search : FlipSearch
    spends : bool
        Whether its steps, a neighbourhood each, are what the search's effort counts.
    """

    def __init__(self, search: FlipSearch, *, spends: bool = False) -> None:
        self._search, self._spends = search, spends
        self._rng = np.random.default_rng(search.limits.seed)
        self._near = NearPatterns(search.space, list(search.terms.values()))
        self.climbs = 0
        self.improved_at = 0
        self.steps = 0

    def climb(self) -> None:
        """Move to better sets until `PATIENCE` neighbourhoods in a row have none."""
        search, near = self._search, self._near
        u = self._start()
        flipped, failures = search.space.pattern(u), 0
        self.climbs += 1
        while failures < PATIENCE and not search.is_over:
            distance = search.space.distance(u)
            status, found = near.better(self._rng, flipped, distance, TURNING)
            failures += 1
            self.steps += 1
            if self._spends:
                search.deadline.spend(1)
            if status == REACHED:
                flipped, failures = near.flipped, 0
                u = search.space.found(flipped, found)
            target = list(search.terms)[int(np.argmax(near.margin))]
            margin = float(near.margin.max()) * search.margins.unit
            if status in (OPEN, REACHED) and search.is_wanted(target, margin):
                point = u if status == REACHED else None
                if search.take(target, np.flatnonzero(near.flipped), point):
                    self.improved_at = self.climbs
            if status == OPEN:
                near.exclude()  # settled as far as it goes; not again

    def climb_on(self) -> None:
        """Climb until nothing better has come for long."""
        while self._search.num_flips and not self._search.is_over:
            self.climb()
            idle = self.climbs - self.improved_at
            if idle > IDLE_CLIMBS + IDLE_SHARE * self.improved_at:
                return

    def _start(self) -> FloatArray:
        """The best point at first, then points ever anew between it and the box's vertices."""
        space = self._search.space
        best = space.unit(self._search.findings.points[0])
        return best if self.climbs == 0 else space.near(best, self._rng)


class PatternAttack(FlipAttack):
    """Local search over reachable sign patterns: no proof, but near the best within a second.

    It ends at its time limit, or after sixty climbs or more that found nothing better.
    """

    method: ClassVar[str] = "pattern"

    def seek(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Climb until nothing better has come for long."""
        search = FlipSearch(instance, limits, starts)
        findings, climber = search.findings, Climber(search, spends=True)
        keep_going(findings, climber.climb_on)
        findings.iterations, findings.cut_off = climber.steps, search.deadline.passed
        return findings

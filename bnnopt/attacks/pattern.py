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
from bnnopt.search.tree import DONE, FOUND, PAUSED, advance
from bnnopt.search.tree_state import new_tree
from bnnopt.search.walk import Walk, new_walk, walk

__all__ = ["PatternAttack", "Walkers"]

FloatArray = npt.NDArray[np.float64]

SLICE = 20
"""Moves between two looks at the clock."""

FREE = (12, 30)
"""Neurons that an exact search near the best set may turn: least and most."""

NODES = 200
"""Of such a search."""

SEARCHES = 3
"""After each slice of moves."""

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
        self._random = np.random.default_rng(seed)
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

    def walk_and_search(self) -> None:
        """Make a slice of moves, and search near the best sets."""
        self.run(SLICE)
        for _ in range(SEARCHES):
            self._search_near()

    def _search_near(self) -> None:
        """Search, exactly but for a limit on nodes, the sets that differ from each best in few."""
        search = self._search
        k = len(search.flips.neurons)
        for target, state in self._walks.items():
            count = min(int(self._random.integers(*FREE, endpoint=True)), k)
            free = np.zeros(k, dtype=np.bool_)
            free[self._random.choice(k, count, replace=False)] = True
            tree = new_tree(search.region, search.terms[target], state.best & ~free, free)
            while not search.is_over:
                left = NODES - int(tree.nodes[0])
                code = advance(
                    search.region, search.terms[target], tree, search.worth(target), left
                )
                if code in (DONE, PAUSED):
                    break
                members = np.flatnonzero(tree.base).tolist()
                members += tree.flipped[1 : tree.depth[0] + 1].tolist()
                if code == FOUND and search.offer(search.point(tree.u)[None]):
                    state.best[:] = False
                    state.best[members] = True
                    self.improved_at = self.moves
                elif search.instance.domain == "pixels":
                    search.decide(target, members)


class PatternAttack(FlipAttack):
    """Local search over reachable sign patterns: no proof, but near the best within a second.

    A tabu walk, and small exact searches near the best pattern, in turn. It ends at its time
    limit, or after thousands of moves that found nothing better.
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
                walkers.walk_and_search()
                idle = walkers.moves - walkers.improved_at
                if idle > IDLE_MOVES + IDLE_SHARE * walkers.improved_at:
                    break
            findings.interrupted = False
        return findings

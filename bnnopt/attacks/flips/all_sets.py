"""Every set of a few free flips, for all targets at once.

Where the network is deep, bounds by functions end hardly any branch of a tree; where flips are free
(`bnnopt.search.space.CutSpace`), a set needs no more than to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.flips.pattern import Climber
from bnnopt.instance import AttackInstance
from bnnopt.search.descent import (
    NODES_A_VISIT,
    Descent,
    begin_descent,
    descend,
    is_over,
    new_descent,
)
from bnnopt.search.position import passes_sum_test, target_terms
from bnnopt.search.space import has_cuts_only

__all__ = ["AllSets"]

BoolArray = npt.NDArray[np.bool_]

MOST_FLIPS = 40
"""Beyond that, trees are no worse."""

LARGEST_SUM = 2**24
"""Whole numbers up to this are exact in single precision."""

NODES = 2**15
"""Visited between two looks at the clock."""


class AllSets:
    """The state of an enumeration.

    Parameters
    ----------
    search : FlipSearch
        One that `AllSets.serves`.
    """

    @staticmethod
    def may_serve(instance: AttackInstance) -> bool:
        """Whether the network is deep, and flips are free."""
        return instance.network.depth > 2 and has_cuts_only(instance)

    @staticmethod
    def serves(search: FlipSearch) -> bool:
        """Whether flips are free, few enough, and the network deep.

        And whether ranges are exact in single precision, of whatever flips exclude each other.
        """
        if not AllSets.may_serve(search.instance) or search.num_flips > MOST_FLIPS:
            return False
        terms = next(iter(search.terms.values()))
        largest = np.abs(terms.surplus) + np.abs(terms.change).sum(axis=0, dtype=np.float64)
        return bool(largest.max() <= LARGEST_SUM)

    def __init__(self, search: FlipSearch) -> None:
        self._search, self._targets = search, list(search.terms)
        self._terms = target_terms(list(search.terms.values()))
        self._excludes: BoolArray = search.space.pairs()
        first = min(int(np.ceil(np.log2(max(search.limits.threads, 1)))), search.num_flips)
        self._parts = [self._part(first, choices) for choices in range(1 << first)]
        self._map: Callable[..., Iterable[bool]] = map

    @property
    def nodes(self) -> int:
        """Visited so far, in those of a tree."""
        visited = sum(int(part.descent.nodes[0]) for part in self._parts)
        return -(-visited // NODES_A_VISIT)

    def _part(self, first: int, choices: int) -> _Part:
        """The sets with so many first flips made or not, as the bits of a number say."""
        search = self._search
        flipped = np.zeros(search.num_flips, dtype=bool)
        flipped[:first] = (choices >> np.arange(first)) & 1
        is_excluded = np.asarray(self._excludes[flipped].any(axis=0))
        rest = first + np.flatnonzero(~is_excluded[first:])
        descent = new_descent(search.region, self._terms, len(rest))
        if not is_excluded[flipped].any() and passes_sum_test(search.region, flipped):
            begin_descent(search.region, self._terms, descent, flipped, rest)
        return _Part(descent)

    def prove(self) -> None:
        """Visit all sets, as many at once as there are threads."""
        search = self._search
        for target in self._targets:
            if search.is_wanted(target, search.margin(target, ())):
                search.decide(target, ())
        Climber(search).climb()
        with ExitStack() as stack:
            if search.limits.threads > 1:
                pool = stack.enter_context(ThreadPoolExecutor(search.limits.threads))
                self._map = pool.map
            while self._open and not search.is_over:
                self._visit()

    @property
    def _open(self) -> list[_Part]:
        return [part for part in self._parts if part.pending or not is_over(part.descent)]

    def _visit(self) -> None:
        search, parts, before = self._search, self._open, self.nodes
        wanted = np.array([search.wanted_units(c) for c in self._targets])
        effort = search.deadline.effort_left
        budget = NODES if effort is None else min(NODES, effort * NODES_A_VISIT // len(parts) + 1)
        list(self._map(partial(self._go_on, wanted, budget), parts))
        search.deadline.spend(self.nodes - before)
        for part in parts:
            if part.pending:
                self._take(np.array(part.descent.flipped))
                part.pending = False

    def _go_on(self, wanted: npt.NDArray[np.float64], budget: int, part: _Part) -> None:
        """Go on in one part, to the next set that is wanted at most."""
        region, terms = self._search.region, self._terms
        part.pending = descend(region, terms, part.descent, self._excludes, wanted, budget)

    def _take(self, flipped: BoolArray) -> None:
        """Replay a set."""
        search, members = self._search, np.flatnonzero(flipped)
        point = search.space.found(flipped, np.zeros(0))
        for target in self._targets:
            if search.is_wanted(target, search.margin(target, members)):
                search.take(target, members, point)

    def bound(self) -> float:
        """No point of the box has a larger margin."""
        search = self._search
        claims = [search.best, *search.closed.values()]
        claims += [search.ruled_out(target) for target in self._targets]
        if self._open:
            claims += [search.largest_margin(target) for target in self._targets]
        return max(claims)

    def ruled_out(self) -> tuple[int, ...]:
        """Targets none of whose sets is a flip or could be one: once all were seen, for all."""
        if self._open or self._search.has_flip:
            return ()
        return tuple(c for c in self._targets if self._search.no_flip_to(c))


class _Part:
    """Some of the sets.

    Attributes
    ----------
    pending : bool
        Whether the descent has found a set that is not replayed yet.
    """

    def __init__(self, descent: Descent) -> None:
        self.descent, self.pending = descent, False

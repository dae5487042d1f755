"""Every set of a few free flips, one after the other, for all targets at once.

Where the network is deep, bounds end hardly any branch of a tree, and a set costs less than a
microsecond; where flips are free (`bnnopt.search.space.CutSpace`), no set needs more than that.
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
from bnnopt.search.position import Position, move_to, new_position, passes_sum_test, target_terms
from bnnopt.search.position import walk as walk_on
from bnnopt.search.space import CutSpace

__all__ = ["AllSets"]

BoolArray = npt.NDArray[np.bool_]

MOST_FLIPS = 30
"""A billion sets, some minutes."""

STEPS = 2**16
"""Sets between two looks at the clock."""

STEPS_A_NODE = 2**10
"""Sets that count as one node, in effort and in what is reported."""


class AllSets:
    """The state of an enumeration.

    Parameters
    ----------
    search : FlipSearch
        One that `AllSets.serves`.
    """

    @staticmethod
    def serves(search: FlipSearch) -> bool:
        """Whether flips are free, few enough, and the network deep."""
        is_deep = search.instance.network.depth > 2
        return is_deep and isinstance(search.space, CutSpace) and search.num_flips <= MOST_FLIPS

    def __init__(self, search: FlipSearch) -> None:
        self._search, self._order = search, np.arange(search.num_flips)
        self._targets = list(search.terms)
        self._terms = target_terms(list(search.terms.values()))
        self._pairs = search.space.pairs()
        count, sets = max(search.limits.threads, 1), 1 << search.num_flips
        ends = [sets * part // count for part in range(count + 1)]
        self._parts = [self._part(*ends[part : part + 2]) for part in range(count)]
        self._walked = 0
        self._map: Callable[..., Iterable[bool]] = map

    @property
    def nodes(self) -> int:
        """Thousands of sets seen."""
        return -(-self._walked // STEPS_A_NODE)

    def _part(self, first: int, end: int) -> _Part:
        """The sets from one step to another; the empty set, step 0, is the search's own."""
        position, step = new_position(self._terms), max(first, 1)
        before = (step - 1) ^ ((step - 1) >> 1)
        flipped = (before >> self._order) & 1 == 1
        move_to(self._search.region, self._terms, position, flipped)
        return _Part(position, step, end)

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
        return [part for part in self._parts if part.step < part.end]

    def _visit(self) -> None:
        search, parts = self._search, self._open
        before, wanted = self.nodes, np.array([search.worth(c) for c in self._targets])
        effort = search.deadline.effort_left
        steps = STEPS if effort is None else min(STEPS, max(effort, 1) * STEPS_A_NODE // len(parts))
        started = [part.step for part in parts]
        found = list(self._map(partial(self._walk, wanted, steps), parts))
        self._walked += sum(part.step - step for part, step in zip(parts, started, strict=True))
        search.deadline.spend(self.nodes - before)
        for part, is_found in zip(parts, found, strict=True):
            if is_found:
                self._take(part)

    def _walk(self, wanted: npt.NDArray[np.float64], steps: int, part: _Part) -> bool:
        """Go on in one part: whether a set is wanted, at which it stops."""
        end = min(part.step + max(steps, 1), part.end)
        region, terms = self._search.region, self._terms
        at = int(walk_on(region, terms, part.position, self._order, (part.step, end), wanted))
        part.step = min(at + 1, end)
        return at < end

    def _take(self, part: _Part) -> None:
        """Replay the set at which a part has stopped, if it is one."""
        search, position = self._search, part.position
        flipped = np.array(position.flipped)
        if (self._pairs & flipped & flipped[:, None]).any():
            return
        if not passes_sum_test(search.region, position):
            return
        point = search.space.found(flipped, np.zeros(0))
        margins = np.array(position.margin)
        for at in np.argsort(-margins, kind="stable"):
            target = self._targets[at]
            if search.is_wanted(target, float(margins[at]) * search.margins.unit):
                search.take(target, np.flatnonzero(flipped), point)

    def bound(self) -> float:
        """No point of the box has a larger margin."""
        search = self._search
        claims = [search.best, *search.closed.values()]
        claims += [search.ruled_out(target) for target in self._targets]
        if self._open:
            claims += [search.largest_margin(target) for target in self._targets]
        return max(claims)

    def is_without_flip(self) -> bool:
        """Whether all sets were seen, and none that stayed open would be a flip."""
        search = self._search
        return (
            not search.has_flip
            and not self._open
            and all(search.closed[c] < search.margins.least_flip(c) for c in self._targets)
        )


class _Part:
    """Steps from the next one to an end, and the position before the next one."""

    def __init__(self, position: Position, step: int, end: int) -> None:
        self.position, self.step, self.end = position, step, end

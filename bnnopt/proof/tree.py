"""The lines of a proof about one target: branches, functions, and leaves that are searched.

A node is left to the checker's own search where that sees few sets. If the function that it has
from above leaves too many, it gets one of its own; if that does, its flips are decided one by one,
the most useful first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.proof.cuts import Cuts, NoCutError
from bnnopt.proof.functions import fit, ordered, ranges_of, stated
from bnnopt.proof.leaves import DONE, FOUND, search
from bnnopt.proof.statement import Problem

__all__ = ["TargetTree"]

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

BITS = 14
"""The largest gain counts about 2^BITS in a function."""

OWN, INHERITED = 20_000, 1_000
"""Sets that a leaf may have: with a function of its own, which costs the checker about as much as
1,000 sets, and with one from above."""

MOST_SETS = 10**9
"""That the checker may have to see for one target: some quarters of an hour."""


@dataclass(frozen=True, eq=False)
class _Node:
    """A node of the tree, as ``check.Node``; the function is in terms of the flips in `kept`."""

    flipped: BoolArray
    kept: IntArray
    apart: BoolArray
    cuts: tuple[Array, ...]
    surplus: IntArray
    value: int
    single: IntArray
    pair: IntArray

    def beside(self, new: int, problem: Problem) -> _Node:
        """With a flip that is kept."""
        at = int(np.searchsorted(self.kept, new))
        stays = ~self.apart[new, self.kept]
        stays[at] = False
        flipped = self.flipped.copy()
        flipped[new] = True
        node = replace(
            self,
            flipped=flipped,
            surplus=self.surplus + problem.change[new],
            value=int(self.value + self.single[at]),
            single=self.single + self.pair[at],
            cuts=(),
        )._only(stays)
        for cut in self.cuts:
            node = node.with_cut(cut)
        return node

    def without(self, new: int) -> _Node:
        """Without it."""
        return self._only(self.kept != new)

    def _only(self, stays: BoolArray) -> _Node:
        return replace(
            self,
            kept=self.kept[stays],
            single=self.single[stays],
            pair=self.pair[np.ix_(stays, stays)],
        )

    def with_cut(self, cut: Array) -> _Node:
        """Where that holds, as ``check.Node.apply_cuts`` does it."""
        flips, stay = cut > 0, cut < 0
        inside = self.flipped.copy()
        inside[self.kept] = True
        if np.any(flips & ~inside) or np.any(stay & self.flipped):
            return self
        left = np.flatnonzero(flips & ~self.flipped)
        if len(left) not in (1, 2) or np.any(stay & inside):
            return replace(self, cuts=(*self.cuts, cut))
        if len(left) == 1:
            return self.without(left[0])
        apart = self.apart.copy()
        apart[left[0], left[1]] = apart[left[1], left[0]] = True
        return replace(self, apart=apart)


class TargetTree:
    """All sets of flips of one target.

    Parameters
    ----------
    problem : Problem
    cuts : Cuts
        Of the box.
    wanted : int
        The margin, in steps, that no set may have.
    """

    def __init__(self, problem: Problem, cuts: Cuts, wanted: int) -> None:
        self._problem, self._cuts, self._wanted = problem, cuts, wanted
        self._neurons = cuts.geometry.neurons
        largest = int(np.abs(problem.gain).max(initial=1))
        largest = max(largest, abs(problem.constant) >> BITS, abs(wanted) >> BITS)
        self._bits = BITS + 1 - largest.bit_length()
        self._goal = wanted << self._bits if self._bits >= 0 else wanted >> -self._bits
        self.sets = 0

    def lines(self) -> Iterator[str]:
        """From the root on."""
        yield from self._close(self._root())

    def compile(self) -> None:
        """Call what is compiled, whatever comes of it."""
        node, _ = self._with_function(self._root())
        self._search(node, node.flipped.copy(), OWN)

    def _root(self) -> _Node:
        k = len(self._problem.change)
        zeros, none = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=bool)
        pair = np.zeros((k, k), dtype=np.int64)
        surplus, apart = self._problem.surplus, self._cuts.apart
        return _Node(none, np.arange(k), apart, (), surplus, self._goal, zeros, pair)

    def _close(self, node: _Node) -> Iterator[str]:
        for limit in (INHERITED, OWN):
            if limit == OWN:
                if node.flipped.any():
                    for cut, line in self._cuts.beside(node.flipped, node.kept, node.apart):
                        node = node.with_cut(cut)
                        yield line
                node, line = self._with_function(node)
                yield line
            verdict = FOUND
            while verdict == FOUND:
                flipped = node.flipped.copy()
                verdict, chosen, sets = self._search(node, flipped, limit)
                if verdict == FOUND:
                    cut, line = self._cuts.of(flipped)
                    node = node.with_cut(cut)
                    yield line
            if verdict == DONE:
                break
        for new in chosen:
            yield f"branch {self._neurons[new]}"
            yield from self._close(node.beside(new, self._problem))
            node = node.without(new)
        self.sets += sets
        if self.sets > MOST_SETS:
            raise NoCutError(f"the checker would have to see more than {MOST_SETS} sets")
        yield "search"

    def _search(self, node: _Node, flipped: BoolArray, limit: int) -> tuple[int, IntArray, int]:
        """Whether the checker finds a set; which flips to decide so that it sees few; how many.

        `flipped`, the node's own, becomes the set found.
        """
        inside = node.apart[np.ix_(node.kept, node.kept)]
        order, alone, pairs, gains = ordered(node.single, node.pair, inside)
        cuts = np.array(node.cuts, dtype=np.int8).reshape(len(node.cuts), len(flipped))
        verdict, place, sets = search(
            self._problem, node.surplus, flipped, node.kept, self._wanted, self._goal,
            node.value, order, alone, pairs, gains, cuts, limit,
        )  # fmt: skip
        return verdict, node.kept[order[place:]][::-1], sets

    def _with_function(self, node: _Node) -> tuple[_Node, str]:
        problem, apart, kept = self._problem, node.apart, node.kept
        found = fit(problem, node.surplus, apart, kept, self._goal, self._bits)
        classes = np.zeros(len(kept), dtype=np.int64)
        low, high = ranges_of(problem, node.surplus, apart, kept, classes)
        value, single, pair = stated(problem, node.surplus, low, high, self._bits, found, kept)
        start, r = problem.start, len(node.surplus)
        deeper = [found[a:b] for a, b in pairwise(start[1:])][::-1]
        numbers = np.concatenate([*deeper, found[:r], found[start[-1] :]])
        line = f"function {self._bits} {' '.join(map(str, numbers.tolist()))}"
        return replace(node, value=int(value), single=single, pair=pair), line

"""The lines of a proof about one target: branches, functions, and leaves that are searched.

A node is left to the checker's own search where that sees few sets. If the function that it has from
above leaves too many, it gets one of its own; if that does, its flips are decided one by one, the
most useful first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.proof.functions import fit, ordered, ranges_of, stated
from bnnopt.proof.leaves import DONE, FOUND, search
from bnnopt.proof.statement import Problem

__all__ = ["TargetTree"]

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

BITS = 14
"""The largest gain counts about 2^BITS in a function."""

OWN, INHERITED = 6_000, 1_500
"""Sets that a leaf may have: with a function of its own, which costs the checker about as much as
1,500 sets, and with one from above."""


@dataclass(frozen=True, eq=False)
class _Node:
    """A node of the tree, as ``check.Node``; the function is in terms of the flips in `kept`."""

    flipped: BoolArray
    kept: IntArray
    surplus: IntArray
    value: int
    single: IntArray
    pair: IntArray

    def beside(self, at: int, problem: Problem, apart: BoolArray) -> _Node:
        """With the flip at a place of `kept`."""
        new = self.kept[at]
        stays = ~apart[new, self.kept]
        stays[at] = False
        flipped = self.flipped.copy()
        flipped[new] = True
        return _Node(
            flipped,
            self.kept[stays],
            self.surplus + problem.change[new],
            int(self.value + self.single[at]),
            (self.single + self.pair[at])[stays],
            self.pair[np.ix_(stays, stays)],
        )

    def without(self, at: int) -> _Node:
        """Without it."""
        stays = np.arange(len(self.kept)) != at
        return replace(
            self,
            kept=self.kept[stays],
            single=self.single[stays],
            pair=self.pair[np.ix_(stays, stays)],
        )


class TargetTree:
    """All sets of flips of one target.

    Parameters
    ----------
    problem : Problem
    apart : array of bool, shape (k, k)
        Which two flips exclude each other.
    wanted : int
        The margin, in steps, that no set may have.
    cuts : list of array of int8, shape (k,)
        Of more than two neurons; it grows.
    find_cut : callable
        Makes one of a set, an array of bool; whatever it raises ends the proof.
    neurons : array of int64, shape (k,)
    """

    def __init__(
        self,
        problem: Problem,
        apart: BoolArray,
        wanted: int,
        cuts: list[Array],
        find_cut: Callable[[BoolArray], Array],
        neurons: IntArray,
    ) -> None:
        self._problem, self._apart, self._wanted = problem, apart, wanted
        self._cuts, self._find_cut, self._neurons = cuts, find_cut, neurons
        largest = int(np.abs(problem.gain).max(initial=1))
        self._bits = BITS + 1 - largest.bit_length()
        self._goal = wanted << self._bits if self._bits >= 0 else wanted >> -self._bits
        self.sets = 0

    def lines(self) -> Iterator[str]:
        """From the root on."""
        k = len(self._problem.change)
        none = np.zeros(k, dtype=bool)
        zeros = np.zeros(k, dtype=np.int64)
        every = np.arange(k)
        start = _Node(none, every, self._problem.surplus, self._goal, zeros, np.zeros((k, k), np.int64))
        yield from self._close(start, OWN, is_own=False)

    def _close(self, node: _Node, limit: int, *, is_own: bool) -> Iterator[str]:
        order, done = self._try(node, limit)
        while not done:
            if not is_own:
                node, line = self._with_function(node)
                yield line
                is_own, limit = True, OWN
            else:
                at = int(order[-1])
                yield f"branch {self._neurons[node.kept[at]]}"
                beside = node.beside(at, self._problem, self._apart)
                yield from self._close(beside, INHERITED, is_own=False)
                node = node.without(at)
            order, done = self._try(node, limit)
        yield "search"

    def _try(self, node: _Node, limit: int) -> tuple[IntArray, bool]:
        """The order of a node's flips, and whether its search sees at most so many sets."""
        inside = self._apart[np.ix_(node.kept, node.kept)]
        order, alone, pairs, gains = ordered(node.single, node.pair, inside)
        while True:
            flipped = node.flipped.copy()
            cuts = np.array(self._cuts, dtype=np.int8).reshape(len(self._cuts), len(flipped))
            verdict, sets = search(
                self._problem, node.surplus, flipped, node.kept, self._wanted, self._goal,
                node.value, order, alone, pairs, gains, cuts, limit,
            )  # fmt: skip
            if verdict != FOUND:
                break
            self._cuts.append(self._find_cut(flipped))
        if verdict == DONE:
            self.sets += sets
        return order, verdict == DONE

    def _with_function(self, node: _Node) -> tuple[_Node, str]:
        problem, apart, kept = self._problem, self._apart, node.kept
        found = fit(problem, node.surplus, apart, kept, self._goal, self._bits)
        classes = np.zeros(len(kept), dtype=np.int64)
        low, high = ranges_of(problem, node.surplus, apart, kept, classes)
        value, single, pair = stated(problem, node.surplus, low, high, self._bits, found, kept)
        start, r = problem.start, len(node.surplus)
        deeper = [found[a:b] for a, b in zip(start[1:-1], start[2:], strict=True)][::-1]
        numbers = np.concatenate([*deeper, found[:r], found[start[-1] :]])
        line = f"function {self._bits} {' '.join(map(str, numbers.tolist()))}"
        return replace(node, value=int(value), single=single, pair=pair), line

"""The trees of one target: one, or with several threads some for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.search.open_sets import open_bound
from bnnopt.search.problem import MarginTerms
from bnnopt.search.split import hand_over, split
from bnnopt.search.tree import DONE, FOUND, FULL, PAUSED, UNCLEAR, advance
from bnnopt.search.tree_state import Tree, deepened, new_tree
from bnnopt.search.workspace import new_workspace

__all__ = ["Mapping", "TargetTrees"]

Mapping = Callable[[Callable[[Tree], int], Iterable[Tree]], Iterable[int]]
"""What `map` does, or what threads make of it."""

PAIRS = 200_000
"""Visits times squared unstable neurons between two looks at the clock; a visit costs as much."""

PARTS = 3
"""Trees a thread, where there are several threads: so they end a round at about the same time."""

LONGEST_ROUND = 4
"""By how much rounds of several trees grow as long as these find nothing."""


class TargetTrees:
    """A search for sets of one target that are worth a margin.

    Parameters
    ----------
    search : FlipSearch
        Gets what is found.
    target : int
    terms : MarginTerms
        Of the target.
    floor : float
        Sets of smaller margins are not sought, even if the search wants them; a value of the
        target's lattice where it has one.

    Attributes
    ----------
    trees : list of Tree
        Empty when all sets are visited or ruled out.
    """

    def __init__(
        self, search: FlipSearch, target: int, terms: MarginTerms, floor: float = -np.inf
    ) -> None:
        self._search, self._target, self._terms, self._floor = search, target, terms, floor
        self.trees: list[Tree] = [new_tree(search.region, terms)]
        self._past_nodes = 0
        self._round = 1

    @property
    def nodes(self) -> int:
        """Visited so far."""
        return self._past_nodes + int(sum(tree.nodes[0] for tree in self.trees))

    @property
    def wanted(self) -> float:
        """The margin from which on sets are sought."""
        return max(self._search.wanted(self._target), self._floor)

    def visit(self, nodes: int, mapped: Mapping) -> None:
        """Visit so many nodes or a few more, unless all are visited or the search is over."""
        search, trees = self._search, self.trees
        end = self.nodes + nodes
        while trees and self.nodes < end and not search.is_over:
            before = self.nodes
            codes = list(mapped(self._advance, trees))
            search.deadline.spend(self.nodes - before)
            visited = list(zip(trees, codes, strict=True))
            for tree, code in visited:
                if code in (FOUND, UNCLEAR):
                    point = search.space.found(tree.found, tree.u) if code == FOUND else None
                    search.take(self._target, np.flatnonzero(tree.found), point)
                    tree.pending[0] = False
            is_quiet = all(code == PAUSED for code in codes) and len(codes) > 1
            self._round = min(2 * self._round, LONGEST_ROUND) if is_quiet else 1
            self._past_nodes += int(sum(tree.nodes[0] for tree, code in visited if code == DONE))
            trees[:] = [
                deepened(tree) if code == FULL else tree for tree, code in visited if code != DONE
            ]
            self._share()

    def _advance(self, tree: Tree) -> int:
        search, terms = self._search, self._terms
        work = max(search.num_flips**2, terms.change.size // 16, 1)
        visits = max(PAIRS // work, 1) * self._round
        effort = search.deadline.effort_left
        if effort is not None:  # of all the trees that advance at once
            visits = min(visits, -(-effort // len(self.trees)))
        space = new_workspace(search.region, terms)
        return int(advance(search.region, terms, tree, space, self._worth, visits))

    @property
    def _worth(self) -> float:
        return self._search.units(self._target, self.wanted)

    def _share(self) -> None:
        """Split trees until each thread has its share."""
        most = PARTS * self._search.limits.threads if self._search.limits.threads > 1 else 1
        for tree in list(self.trees):
            while len(self.trees) < most:
                other = split(tree, self._worth)
                if other is None:
                    break
                self.trees.append(other)
                hand_over(tree, other)

    def open_bound(self) -> float:
        """A bound on the margins of the target's sets that are not visited.

        Among those that are sought: any set may have less than `wanted`.
        """
        bounds = (open_bound(self._terms, tree) for tree in self.trees)
        most = max(bounds, default=-np.inf) * self._search.margins.unit
        return min(most, self._search.largest_margin(self._target))

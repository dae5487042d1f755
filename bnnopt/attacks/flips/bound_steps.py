"""Bounds on the best margin, one below the other: what the last one takes is mostly the proof."""

from __future__ import annotations

import numpy as np

from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.flips.target_trees import Mapping, TargetTrees
from bnnopt.search.problem import MarginTerms

__all__ = ["BoundSteps"]

FIRST_SHARE, LARGEST_SHARE = 0.125, 0.5
"""Of the way from what is proved to what is wanted: the first step, and the largest."""

GROWTH, CHANGE = 2.0, 2.0
"""By how much a step should exceed the last one in nodes; by how much its length may differ."""


class BoundSteps:
    """Trees that seek sets of more than is wanted, which end soon: then no set has so much.

    A tree that goes to its end bounds the margin by what it sought; one that stops says hardly
    more than its root does, as it is visited in depth. So the margin that is sought falls step by
    step.

    Parameters
    ----------
    search : FlipSearch
        Gets what is found. It seeks the largest margin.
    terms : dict of int to MarginTerms
        Of its targets.

    Attributes
    ----------
    ceiling : dict of int to float
        No set of a target has a larger margin, but those that the search knows or has left open.
    """

    def __init__(self, search: FlipSearch, terms: dict[int, MarginTerms]) -> None:
        self._search, self._terms = search, terms
        self.ceiling = {target: search.largest_margin(target) for target in terms}
        self._steps: dict[int, TargetTrees] = {}
        self._drops: dict[int, float] = {}
        self._last: dict[int, int] = {}
        self._past_nodes = 0

    @property
    def nodes(self) -> int:
        """Visited so far."""
        return self._past_nodes + sum(trees.nodes for trees in self._steps.values())

    def visit(self, target: int, known: float, nodes: int, mapped: Mapping) -> None:
        """Go on with the steps of a target by so many nodes or a few more.

        Parameters
        ----------
        target : int
        known : float
            A bound on the margins of its sets.
        nodes : int
        mapped : callable
        """
        if target not in self._steps:
            floor = self._next(target, min(known, self.ceiling[target]))
            if floor <= self._search.wanted(target):
                return  # which the search itself seeks
            terms = self._terms[target]
            self._steps[target] = TargetTrees(self._search, target, terms, floor)
        trees = self._steps[target]
        trees.visit(nodes, mapped)
        if not trees.trees:
            self._end(target)

    def _next(self, target: int, known: float) -> float:
        """The next margin to seek."""
        way = known - self._search.wanted(target)
        drop = min(self._drops.get(target, FIRST_SHARE * way), LARGEST_SHARE * way)
        self._drops[target] = drop
        return self._search.at_least(target, known - drop)

    def _end(self, target: int) -> None:
        """Note what a step has proved, and adapt the length of the next."""
        trees = self._steps.pop(target)
        self._past_nodes += trees.nodes
        proved = self._search.below(target, trees.wanted)
        self.ceiling[target] = min(self.ceiling[target], proved)
        if target in self._last:
            grown = max(trees.nodes, 1) / max(self._last[target], 1)
            change = np.log(GROWTH) / np.log(grown) if grown > 1.0 else CHANGE
            self._drops[target] *= float(np.clip(change, 1.0 / CHANGE, CHANGE))
        self._last[target] = trees.nodes

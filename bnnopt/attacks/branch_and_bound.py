"""Branch and bound over the flips of the first layer (`bnnopt.search.tree`): exact, no MILP."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.base import Limits
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.flip_attack import FlipAttack
from bnnopt.attacks.flip_search import FlipSearch
from bnnopt.attacks.pattern import Climber
from bnnopt.instance import AttackInstance
from bnnopt.search.problem import MarginTerms, without_idle
from bnnopt.search.tree import DONE, FOUND, UNCLEAR, advance
from bnnopt.search.tree_state import Tree, new_tree

__all__ = ["BranchAndBound"]

FloatArray = npt.NDArray[np.float64]

NODES = 2000
"""Visited before pattern search has its turn."""

PAIRS = 200_000
"""Visits times squared unstable neurons between two looks at the clock; a visit costs as much."""

FEW, CLIMBS = 40, 30
"""Unstable neurons up to which the tree comes before any climb; climbs in turn with its visits."""


class BranchAndBound(FlipAttack):
    """Depth-first search over flip sets with certificates, intervals and a quadratic bound.

    A set is ruled out by a certificate or by a bound on its margin and that of all its
    supersets only (docs/search.md).
    """

    method: ClassVar[str] = "bab"

    def seek(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Prove the best margin, or that there is no flip."""
        search = FlipSearch(instance, limits, starts, self.method)
        run = _Run(search)
        with suppress(KeyboardInterrupt):
            search.findings.interrupted = True  # unless the search ends by itself
            run.prove()
            search.findings.interrupted = False
        search.findings.bound = run.bound()
        search.findings.iterations = run.nodes
        return search.findings


class _Run:
    """The trees of one instance, one a target."""

    def __init__(self, search: FlipSearch) -> None:
        self._search = search
        self._terms: dict[int, MarginTerms] = {
            target: without_idle(terms) for target, terms in search.terms.items()
        }
        self._trees: dict[int, Tree] = {}
        self._finished: set[int] = set()

    @property
    def nodes(self) -> int:
        return int(sum(tree.nodes[0] for tree in self._trees.values()))

    def prove(self) -> None:
        search = self._search
        for target in search.terms:
            self._check_root(target)
        climber = Climber(search)
        if len(search.flips.neurons) > FEW:
            climber.climb()
        for target, terms in self._terms.items():
            self._trees[target] = new_tree(search.region, terms)
        for target in self._trees:  # easy ones end here, and all get a bound
            self._visit(target)
        for target in sorted(self._trees, key=self._open_bound):
            while target not in self._finished and not search.is_over:
                if climber.climbs <= CLIMBS:
                    climber.climb()
                self._visit(target)

    def _check_root(self, target: int) -> None:
        """The set without flips, the centre of the box, which no tree visits."""
        search = self._search
        margin = search.margin(target, ())
        if margin >= search.worth(target):
            search.decide(target, ())

    def _visit(self, target: int) -> None:
        """Advance one tree by some nodes."""
        search, tree = self._search, self._trees[target]
        terms = self._terms[target]
        end = tree.nodes[0] + NODES
        visits = max(PAIRS // max(len(search.flips.neurons), 1) ** 2, 1)
        while tree.nodes[0] < end and not search.is_over:
            budget = min(int(end - tree.nodes[0]), visits)
            code = advance(search.region, terms, tree, search.worth(target), budget)
            if code == DONE:
                self._finished.add(target)
                return
            if code in (FOUND, UNCLEAR):
                search.take(target, np.flatnonzero(tree.found), tree.u if code == FOUND else None)

    def _open_bound(self, target: int) -> float:
        """A bound on the sets that a tree has not visited."""
        terms = self._terms[target]
        tree = self._trees.get(target)
        if target in self._finished:
            return -np.inf
        if tree is None or tree.nodes[0] == 0:
            return float(terms.constant + np.maximum(terms.gain, 0.0).sum())
        at = max(int(tree.position[0]), 0)
        return float(tree.reach[0, at])

    def bound(self) -> float:
        """No point of the box has a larger margin."""
        search = self._search
        claims = [search.best, search.closed]
        for target in search.terms:
            claims += [search.ruled_out(target), self._open_bound(target)]
        return max(claims)

"""Branch and bound over the flips of the first layer (`bnnopt.search.tree`): exact, no MILP."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import chain, count
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.findings import Findings, keep_going
from bnnopt.attacks.flips.all_sets import AllSets
from bnnopt.attacks.flips.cheap_problem import CheapProblem, is_cheap
from bnnopt.attacks.flips.cheapest import cheapest_sets
from bnnopt.attacks.flips.flip_attack import FlipAttack
from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.flips.pattern import Climber
from bnnopt.attacks.limits import Limits
from bnnopt.bounds import interval_bounds, margin_bound
from bnnopt.instance import AttackInstance
from bnnopt.search.bound import margin_of
from bnnopt.search.problem import MarginTerms
from bnnopt.search.split import hand_over, split
from bnnopt.search.terms import without_idle
from bnnopt.search.tree import DONE, FOUND, FULL, UNCLEAR, advance
from bnnopt.search.tree_state import Tree, deepened, new_tree
from bnnopt.search.warm_up import warm_up, warm_up_cheap_sets, warm_up_sets
from bnnopt.search.workspace import new_workspace

__all__ = ["BranchAndBound"]

FloatArray = npt.NDArray[np.float64]

NODES = 2000
"""Visited before pattern search has its turn."""

PAIRS = 200_000
"""Visits times squared unstable neurons between two looks at the clock; a visit costs as much."""

LARGEST_TREE = 2**24
"""Most changes, flips times neurons of the second layer, with which trees are searched."""

TREE_FIRST = 40
"""Unstable neurons up to which the tree comes before any climb of pattern search."""

CLIMBS, LATER = 20, 3
"""Climbs in turn with visits of the tree; after those, one in so many visits."""


class BranchAndBound(FlipAttack):
    """Depth-first search over flip sets with certificates, intervals and a quadratic bound.

    A set is ruled out by a certificate or by a bound on its margin and that of all its
    supersets only (docs/search.md).
    """

    method: ClassVar[str] = "bab"

    def compile_kernel(self, instance: AttackInstance) -> None:
        """Compile trees too, and what only searches over free flips call."""
        warm_up()
        if AllSets.may_serve(instance):
            warm_up_sets()
        if is_cheap(instance):
            warm_up_cheap_sets()

    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Search the box; for distances of free flips, all sets in the order of their cost."""
        problem = CheapProblem.of(instance) if is_cheap(instance) else None
        if problem is None:
            return super().run(instance, limits, starts)
        return cheapest_sets(instance, problem, limits, starts)

    def seek(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Prove the best margin, or that there is no flip."""
        search = FlipSearch(instance, limits, starts)
        if not _has_tree(search):
            return _without_tree(search)
        run = AllSets(search) if AllSets.serves(search) else _Run(search)
        findings = keep_going(search.findings, run.prove)
        findings.bound, findings.ruled_out = run.bound(), run.ruled_out()
        findings.no_flip = not search.has_flip and len(findings.ruled_out) == len(search.terms)
        findings.iterations, findings.cut_off = run.nodes, search.deadline.passed
        return findings


def _has_tree(search: FlipSearch) -> bool:
    """Whether all flips are known, and their changes small enough for trees."""
    changes = next(iter(search.terms.values())).change.size
    return search.space.is_complete and changes <= LARGEST_TREE


def _without_tree(search: FlipSearch) -> Findings:
    """Pattern search, and the bound of interval arithmetic."""
    instance, climber = search.instance, Climber(search, spends=True)
    findings = keep_going(search.findings, climber.climb_on)
    unstable = len(interval_bounds(instance)[0].unstable)
    findings.notes.append(
        f"no tree: {unstable} neurons of the first layer can flip, too many for a proof by search"
    )
    findings.bound = max(search.best, *(margin_bound(instance, c) for c in instance.targets))
    findings.iterations, findings.cut_off = climber.steps, True
    return findings


class _Run:
    """The trees of one instance: for each target one, with several threads up to one a thread."""

    def __init__(self, search: FlipSearch) -> None:
        self._search = search
        self._terms: dict[int, MarginTerms] = {
            target: without_idle(terms) for target, terms in search.terms.items()
        }
        self._trees: dict[int, list[Tree]] = {
            target: [new_tree(search.region, terms)] for target, terms in self._terms.items()
        }
        self._past_nodes = 0
        self._map: Callable[..., Iterable[int]] = map

    @property
    def nodes(self) -> int:
        """Visited by all trees."""
        trees = chain.from_iterable(self._trees.values())
        return self._past_nodes + int(sum(tree.nodes[0] for tree in trees))

    def prove(self) -> None:
        """Visit all trees to their ends, as many at once as there are threads."""
        with ExitStack() as stack:
            if self._search.limits.threads > 1:
                # Its end leaves no visit running, so that bounds can be read.
                pool = stack.enter_context(ThreadPoolExecutor(self._search.limits.threads))
                self._map = pool.map
            self._prove()

    def _prove(self) -> None:
        search = self._search
        for target in search.terms:
            self._check_root(target)
        climber = Climber(search)
        if search.num_flips > TREE_FIRST:
            climber.climb()
        for target in self._trees:  # easy ones end here, and all get a bound
            self._visit(target)
        turns = count()
        for target in sorted(self._trees, key=self._open_bound):
            while self._trees[target] and not search.is_over:
                turn = next(turns)
                if turn < CLIMBS or turn % LATER == 0:
                    climber.climb()
                self._visit(target)

    def _check_root(self, target: int) -> None:
        """The set without flips, which no tree visits."""
        search = self._search
        if search.is_wanted(target, search.margin(target, ())):
            search.decide(target, ())

    def _visit(self, target: int) -> None:
        """Advance the trees of one target by some nodes."""
        search, trees = self._search, self._trees[target]
        end = self.nodes + NODES
        while trees and self.nodes < end and not search.is_over:
            before = self.nodes
            codes = list(self._map(partial(self._advance, target), trees))
            search.deadline.spend(self.nodes - before)
            visited = list(zip(trees, codes, strict=True))
            for tree, code in visited:
                if code in (FOUND, UNCLEAR):
                    point = search.space.found(tree.found, tree.u) if code == FOUND else None
                    search.take(target, np.flatnonzero(tree.found), point)
                    tree.pending[0] = False
            self._past_nodes += int(sum(tree.nodes[0] for tree, code in visited if code == DONE))
            trees[:] = [
                deepened(tree) if code == FULL else tree for tree, code in visited if code != DONE
            ]
            self._share(target)

    def _advance(self, target: int, tree: Tree) -> int:
        search = self._search
        terms, worth = self._terms[target], search.wanted_units(target)
        work = max(search.num_flips**2, terms.change.size // 16, 1)
        visits = max(PAIRS // work, 1)
        effort = search.deadline.effort_left
        if effort is not None:  # of all the trees that advance at once
            visits = min(visits, -(-effort // len(self._trees[target])))
        space = new_workspace(search.region, terms)
        return int(advance(search.region, terms, tree, space, worth, visits))

    def _share(self, target: int) -> None:
        """Split trees until there is one a thread."""
        trees, worth = self._trees[target], self._search.wanted_units(target)
        for tree in list(trees):
            while len(trees) < self._search.limits.threads:
                other = split(tree, worth)
                if other is None:
                    break
                trees.append(other)
                hand_over(tree, other)

    def _open_bound(self, target: int) -> float:
        """A bound on the margins of a target's sets that are not visited."""
        terms, most = self._terms[target], -np.inf
        for tree in self._trees[target]:
            if tree.reach.shape[1] == 0:
                continue  # nothing can flip
            root = int(tree.root[0])
            most = max(most, float(tree.reach[root, max(int(tree.position[root]), 0)]))
            if tree.pending[0]:
                most = max(most, float(margin_of(terms, _surplus(terms, tree))))
        return min(most * self._search.margins.unit, self._search.largest_margin(target))

    def bound(self) -> float:
        """No point of the box has a larger margin."""
        search = self._search
        claims = [search.best, *search.closed.values()]
        for target in search.terms:
            claims += [search.ruled_out(target), self._open_bound(target)]
        return max(claims)

    def ruled_out(self) -> tuple[int, ...]:
        """Targets whose trees have ended, none of whose sets is a flip or could be one."""
        return tuple(
            c for c, trees in self._trees.items() if not trees and self._search.no_flip_to(c)
        )


def _surplus(terms: MarginTerms, tree: Tree) -> FloatArray:
    """Of the second layer, at the set that a tree has found."""
    surplus: FloatArray = terms.surplus + terms.change[tree.found].sum(axis=0)
    return surplus

"""Branch and bound over the flips of the first layer (`bnnopt.search.tree`): exact, no MILP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from itertools import count
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.findings import Findings, keep_going
from bnnopt.attacks.flips.all_sets import AllSets
from bnnopt.attacks.flips.bound_steps import BoundSteps
from bnnopt.attacks.flips.cheap_problem import CheapProblem, is_cheap
from bnnopt.attacks.flips.cheapest import cheapest_sets
from bnnopt.attacks.flips.climber_beside import ClimberBeside
from bnnopt.attacks.flips.flip_attack import FlipAttack
from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.flips.pattern import Climber
from bnnopt.attacks.flips.target_trees import Mapping, TargetTrees
from bnnopt.attacks.limits import Limits
from bnnopt.bounds import interval_bounds, margin_bound
from bnnopt.instance import AttackInstance
from bnnopt.search.terms import without_idle
from bnnopt.search.warm_up import warm_up, warm_up_cheap_sets, warm_up_sets

__all__ = ["BranchAndBound"]

FloatArray = npt.NDArray[np.float64]

NODES = 2000
"""Visited before pattern search has its turn."""

LARGEST_TREE = 2**24
"""Most changes, flips times neurons of the second layer, with which trees are searched."""

TREE_FIRST = 40
"""Unstable neurons up to which the tree comes before any climb of pattern search."""

CLIMBS, LATER = 20, 3
"""Climbs in turn with visits of the tree; after those, one in so many visits."""

BOUND_STEPS = 4
"""Visits for each of a step that lowers the bound."""


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
        findings.bound = min([run.bound(), *(bound for _, bound in findings.bounds)])
        findings.ruled_out = run.ruled_out()
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
    """The trees of one instance, and bounds on what they have not visited."""

    def __init__(self, search: FlipSearch) -> None:
        self._search = search
        terms = {target: without_idle(terms) for target, terms in search.terms.items()}
        self._trees = {c: TargetTrees(search, c, terms[c]) for c in terms}
        self._steps = BoundSteps(search, terms)
        self._pool: ThreadPoolExecutor | None = None

    @cached_property
    def _climber(self) -> Climber:
        """Which easy instances never need."""
        return Climber(self._search)

    @cached_property
    def _climber_beside(self) -> ClimberBeside:
        return ClimberBeside(self._search)

    @property
    def _map(self) -> Mapping:
        return map if self._pool is None else self._pool.map

    @property
    def nodes(self) -> int:
        """Visited by all trees."""
        return sum(trees.nodes for trees in self._trees.values()) + self._steps.nodes

    def prove(self) -> None:
        """Visit all trees to their ends, as many at once as there are threads."""
        with ExitStack() as stack:
            if self._search.limits.threads > 1:
                # Its end leaves no visit running, so that bounds can be read.
                pool = ThreadPoolExecutor(self._search.limits.threads)
                self._pool = stack.enter_context(pool)
            self._prove()

    def _prove(self) -> None:
        search = self._search
        for target in search.terms:
            self._check_root(target)
        if search.num_flips > TREE_FIRST:
            self._climber.climb()
        for target in self._trees:  # easy ones end here, and all get a bound
            self._visit(target)
        turns = count()
        for target in sorted(self._trees, key=self._bound_of):
            while self._is_open(target) and not search.is_over:
                turn = next(turns)
                if turn < CLIMBS or turn % LATER == 0:
                    self._climb_and_visit(target, waits=turn < CLIMBS)
                else:
                    self._visit(target)
                if turn % BOUND_STEPS == BOUND_STEPS - 1 and not search.instance.sought.needs_flip:
                    self._lower_bound()

    def _check_root(self, target: int) -> None:
        """The set without flips, which no tree visits."""
        search = self._search
        if search.is_wanted(target, search.margin(target, ())):
            search.decide(target, ())

    def _climb_and_visit(self, target: int, *, waits: bool) -> None:
        """Climb before a visit, or with threads beside it.

        Where any flip will do, early climbs are what finds it, and `waits` for them.
        """
        if self._pool is None or (waits and self._search.instance.sought.needs_flip):
            self._climber.climb()
            self._visit(target)
        else:
            with self._climber_beside.climbing(self._pool):
                self._visit(target)

    def _visit(self, target: int) -> None:
        """Advance the trees of one target by some nodes."""
        self._trees[target].visit(NODES, self._map)
        self._note_bound()

    def _lower_bound(self) -> None:
        """Lower the bound of the target that has the largest."""
        is_open = [c for c in self._trees if self._is_open(c)]
        if is_open:
            target = max(is_open, key=self._bound_of)
            self._steps.visit(target, self._bound_of(target), NODES, self._map)
            self._note_bound()

    def _is_open(self, target: int) -> bool:
        """Whether sets are left that the search wants."""
        is_worth_it = self._steps.ceiling[target] >= self._search.wanted(target)
        return is_worth_it and bool(self._trees[target].trees)

    def _bound_of(self, target: int) -> float:
        """A bound on the margins of a target's sets that are not visited."""
        return min(self._trees[target].open_bound(), self._steps.ceiling[target])

    def _note_bound(self) -> None:
        self._search.note_bound(self.bound())

    def bound(self) -> float:
        """No point of the box has a larger margin."""
        search = self._search
        claims = [search.best, *search.closed.values()]
        for target in search.terms:
            claims += [search.ruled_out(target), self._bound_of(target)]
        return max(claims)

    def ruled_out(self) -> tuple[int, ...]:
        """Targets of which no set is left that is a flip or could be one."""
        return tuple(c for c in self._trees if not self._is_open(c) and self._search.no_flip_to(c))

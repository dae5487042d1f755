"""The smallest L0 or L1 distance of a flip where flips are free: all sets, in order of their cost.

So too any flip within a budget of few sets.
Where the network is deep, no bound ends a branch of a tree early, and sets of a few flips are
looked at one and all (`bnnopt.search.cheap_sets`). A beam has looked for a flip before, so that
what is left is mostly the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings, keep_going
from bnnopt.attacks.flips.beam import seek_by_beam
from bnnopt.attacks.flips.cheap_problem import CheapProblem
from bnnopt.attacks.limits import Limits
from bnnopt.instance import AttackInstance
from bnnopt.search.cheap_sets import visit_sets
from bnnopt.search.cheap_walk import Walk, begin_walk, new_walk

__all__ = ["cheapest_sets"]

FloatArray = npt.NDArray[np.float64]

SETS = 2**22
"""Visited between two looks at the clock: about a quarter of a second."""

SETS_A_VISIT, SCORES_A_VISIT = 2**12, 2**6
"""How many take as long as a node of a tree, which effort and reports count."""

BEAM, WIDE_BEAM = 32, 512
"""Sets of one cost that a beam keeps: at first, and before levels of many sets."""

MANY = 2**27
"""Sets visited before the wide beam has its turn."""


def cheapest_sets(
    instance: AttackInstance, problem: CheapProblem, limits: Limits, starts: FloatArray
) -> Findings:
    """Look for the least cost of a flip.

    Parameters
    ----------
    instance : AttackInstance
        Its goal is the distance, or any flip, with which the search ends.
    problem : CheapProblem
        Of the instance.
    limits : Limits
    starts : array of float, shape (count, n)

    Returns
    -------
    Findings
        With a proved lower bound on the distance, if that is the goal.
    """
    search = _Search(instance, problem, limits, starts)
    return keep_going(search.result, search.run)


class _Search:
    """The state of a search.

    Parameters
    ----------
    instance, problem, limits, starts
        As for `cheapest_sets`.
    """

    def __init__(
        self, instance: AttackInstance, problem: CheapProblem, limits: Limits, starts: FloatArray
    ) -> None:
        self._problem, self._limits, self._deadline = problem, limits, Deadline(limits)
        is_flipped = problem.is_flip(instance.levels)
        costs = [problem.cost(z) for z in starts if problem.is_flip(z)]
        self._takes_any = not instance.sought.stages
        self._best = min(costs, default=problem.most + 1)
        self._open = problem.most + 1
        self._spent = 0.0
        self._map: Callable[..., Iterable[bool]] = map
        if is_flipped or (costs and self._takes_any):  # nothing is left to look for
            self._best = 0
        self.result = Findings(starts, iterations=0)
        self._rule_out(min(self._best - 1, 0))

    def run(self) -> None:
        """Fill the findings."""
        if self._best == 0:
            return
        with ExitStack() as stack:
            if self._limits.threads > 1:
                pool = stack.enter_context(ThreadPoolExecutor(self._limits.threads))
                self._map = pool.map
            self._run()

    def _run(self) -> None:
        problem = self._problem
        self._beam(BEAM)
        sums, visited, is_wide = np.cumsum(problem.flips.cost), 0, False
        above = 0
        while above < self._best - 1 and above < sums[-1]:
            if visited > MANY and not is_wide:
                is_wide = True
                self._beam(WIDE_BEAM)
            most = min(above + problem.step, self._best - 1)
            size = int(np.searchsorted(sums, most, side="right"))
            visited = self._visit(above, most, size)
            if self.result.cut_off:
                return
            above = min(most, self._best - 1)
            self._rule_out(above)
        self._rule_out(max(self._best - 1, 0))
        self.result.no_flip = self._best > problem.most and self._open > problem.most

    def _rule_out(self, cost: int) -> None:
        """No set of so little cost is a flip, but for those that stay open."""
        if not self._takes_any:
            self.result.goal_bounds = [self._problem.distance(min(cost + 1, self._open))]

    def _spend(self, visits: float) -> bool:
        """Count visits; whether a limit is reached."""
        before, self._spent = int(self._spent), self._spent + visits
        self._deadline.spend(int(self._spent) - before)
        self.result.iterations = int(np.ceil(self._spent))
        self.result.cut_off = self._deadline.passed
        return self.result.cut_off

    def _beam(self, width: int) -> None:
        def is_over(scored: int) -> bool:
            return self._spend(scored / SCORES_A_VISIT)

        cost, point = seek_by_beam(self._problem, width, self._best, is_over)
        if point is not None:
            self._keep(point, cost)

    def _visit(self, above: int, most: int, size: int) -> int:
        """Visit all sets of a range of costs; a limit may end it. Returns how many there were."""
        if not size:
            return 0
        parts = self._limits.threads
        walks = [new_walk(self._problem.flips, size) for _ in range(parts)]
        for part, walk in enumerate(walks):
            begin_walk(walk, part)
        while walks_left := [walk for walk in walks if walk.depth[0] >= 0]:
            effort = self._deadline.effort_left
            budget = SETS if effort is None else min(SETS, effort * SETS_A_VISIT // parts + 1)
            before = sum(int(walk.visited[0]) for walk in walks)
            top = min(most, self._best - 1)
            if top <= above:
                break
            go_on = partial(self._go_on, above, top, budget)
            for walk, is_found in zip(walks_left, list(self._map(go_on, walks_left)), strict=True):
                if is_found:
                    self._take(walk.members[: walk.depth[0] + 1].tolist())
            visited = sum(int(walk.visited[0]) for walk in walks)
            if self._spend((visited - before) / SETS_A_VISIT):
                break
        return sum(int(walk.visited[0]) for walk in walks)

    def _go_on(self, above: int, most: int, budget: int, walk: Walk) -> bool:
        problem, parts = self._problem, self._limits.threads
        return visit_sets(
            problem.terms, problem.flips, walk, above, most, parts, problem.wanted, budget
        )

    def _take(self, members: list[int]) -> None:
        """Replay a set."""
        z, cost = self._problem.point(members), int(self._problem.flips.cost[members].sum())
        if not self._problem.is_flip(z):
            return
        if not self._problem.is_admissible(z):
            self._open = min(self._open, cost)
        elif cost < self._best:
            self._keep(z, cost)

    def _keep(self, z: FloatArray, cost: int) -> None:
        """A flip that costs less than those before."""
        self._best = 0 if self._takes_any else cost
        self.result.points = np.vstack([self.result.points, z])
        self._limits.tell(self._deadline.elapsed, self._problem.margin(z))

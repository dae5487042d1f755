"""A beam over sets of flips, cost after cost: a cheap flip, soon and without a proof."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.flips.cheap_problem import CheapProblem
from bnnopt.search.cheap_sets import score_each
from bnnopt.search.cheap_walk import new_walk

__all__ = ["seek_by_beam"]

FloatArray = npt.NDArray[np.float64]
Members = tuple[int, ...]

BREADTH = 128
"""Flips that a beam adds to its sets: the cheapest, and those that cost no more than they do."""

ROUNDS = 64
"""Times that a beam may go through all sets that it keeps of one cost, and those flips."""


def seek_by_beam(
    problem: CheapProblem, width: int, best: int, is_over: Callable[[int], bool]
) -> tuple[int, FloatArray | None]:
    """Look for a flip that costs less than another.

    Of all sets of a cost (in steps of a level), those of the largest margins are kept; each gets
    one flip more.

    Parameters
    ----------
    problem : CheapProblem
    width : int
        Sets of a cost that are kept.
    best : int
        What the cheapest known flip costs.
    is_over : callable
        Told how many sets have been scored since the last call, says whether to end.

    Returns
    -------
    (best, point)
        The least cost, and its levels, shape (n,); None if none was found.
    """
    cost = problem.flips.cost
    end = int(np.searchsorted(cost, cost[min(BREADTH, len(cost)) - 1], side="right"))
    room, score, point = new_walk(problem.flips, 1), np.zeros(end), None
    levels: dict[int, dict[Members, tuple[float, int]]] = {0: {(): (0.0, 0)}}
    left = ROUNDS * width
    while levels and left > 0:
        kept = levels.pop(min(levels))
        for members in sorted(kept, key=lambda m: (-kept[m][0], m))[:width]:
            spent, left = kept[members][1], left - 1
            allowed = int(np.searchsorted(cost[:end], best - spent))
            if not allowed or is_over(allowed):
                continue
            score_each(
                problem.terms,
                problem.flips,
                room,
                np.array(members, dtype=np.int64),
                allowed,
                score,
            )
            first = int(np.argmax(score[:allowed] >= problem.wanted.min()))
            if score[first] >= problem.wanted.min():
                z = problem.point((*members, first))
                if problem.is_flip(z) and problem.is_admissible(z):
                    best, point = spent + int(cost[first]), z
            for i in np.argsort(-score[:allowed], kind="stable")[:width]:
                total = spent + int(cost[i])
                if np.isfinite(score[i]) and total < best:
                    level = levels.setdefault(-(-total // problem.step), {})
                    level[tuple(sorted((*members, int(i))))] = (float(score[i]), total)
    return best, point

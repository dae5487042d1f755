"""Compiling the kernel, once a machine: before any clock runs, and not in silence.

What each kind of search calls is compiled when one is prepared.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from bnnopt.search.bound import margin_of
from bnnopt.search.cache import run_though_unsaved
from bnnopt.search.cheap_sets import score_each, visit_sets
from bnnopt.search.cheap_walk import begin_walk, cheap_flips, new_walk
from bnnopt.search.compiling import compiling_shown
from bnnopt.search.descent import begin_descent, descend, is_over, new_descent
from bnnopt.search.neighbourhood import better_set
from bnnopt.search.position import exclude, new_position, passes_sum_test, target_terms
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.region import free_region
from bnnopt.search.tree import advance
from bnnopt.search.tree_state import new_tree
from bnnopt.search.workspace import new_workspace

__all__ = [
    "compile_by_running",
    "warm_up",
    "warm_up_cheap_sets",
    "warm_up_near",
    "warm_up_sets",
]


@cache
def warm_up_near() -> None:
    """Compile what pattern search calls, or load it from numba's cache, by running it."""
    compile_by_running(_search_near)


@cache
def warm_up() -> None:
    """Likewise what branch and bound calls: pattern search, and trees."""
    warm_up_near()
    compile_by_running(_search_tree)


@cache
def warm_up_sets() -> None:
    """Likewise what looks at all sets of free flips, besides."""
    compile_by_running(_search_sets)


@cache
def warm_up_cheap_sets() -> None:
    """Likewise for `bnnopt.search.cheap_sets`, which few instances take."""
    compile_by_running(_visit_one_set)


def compile_by_running(work: Callable[[], None]) -> None:
    """Do work that compiles functions, and show it where they are not in numba's cache."""
    with compiling_shown():
        run_though_unsaved(work)


def _problem() -> tuple[Region, MarginTerms]:
    """One neuron that can flip."""
    region = free_region(np.zeros((1, 1), dtype=np.bool_), np.zeros((1, 0)), np.zeros(0))
    one = np.ones((1, 1), dtype=np.float32)
    terms = MarginTerms(
        surplus=one[0],
        change=one,
        weight=np.zeros(0),
        needed=np.zeros(1),
        gain=np.ones(1),
        constant=0.0,
        start=np.array([0, 1]),
        block=np.zeros(1, dtype=np.int64),
        step=1.0,
    )
    return region, terms


def _search_near() -> None:
    region, terms = _problem()
    targets = target_terms([terms])
    position = new_position(targets)
    no, moving = np.zeros((1, 1), dtype=np.bool_), np.zeros(1, dtype=np.int64)
    better_set(region, targets, position, no[0], moving, no, np.ones(1), 1, True, np.zeros(0))
    exclude(position)
    margin_of(terms, terms.surplus)


def _search_tree() -> None:
    region, terms = _problem()
    advance(region, terms, new_tree(region, terms), new_workspace(region, terms), 0.0, 1)


def _search_sets() -> None:
    region, terms = _problem()
    targets, no = target_terms([terms]), np.zeros((1, 1), dtype=np.bool_)
    descent = new_descent(region, targets, 1)
    passes_sum_test(region, no[0])
    begin_descent(region, targets, descent, no[0], np.zeros(1, dtype=np.int64))
    descend(region, targets, descent, no, np.zeros(1), 1)
    is_over(descent)


def _visit_one_set() -> None:
    terms, one = target_terms([_problem()[1]]), np.ones(1, dtype=np.int64)
    surplus = new_position(terms).surplus
    flips = cheap_flips(terms, surplus, one, one, np.zeros((1, 0)), np.zeros(0))
    walk = new_walk(flips, 1)
    begin_walk(walk, 0)
    visit_sets(terms, flips, walk, 0, 1, 1, np.zeros(1), 1)
    score_each(terms, flips, walk, one[:0], 1, np.zeros(1))

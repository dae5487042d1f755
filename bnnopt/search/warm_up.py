"""Compiling the kernel, once a machine: before any clock runs, and not in silence."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache

import numpy as np

from bnnopt.search.cache import run_though_unsaved
from bnnopt.search.cheap_sets import score_each, visit_sets
from bnnopt.search.cheap_walk import begin_walk, cheap_flips, new_walk
from bnnopt.search.neighbourhood import better_set
from bnnopt.search.position import exclude, move_to, new_position, target_terms
from bnnopt.search.problem import MarginTerms
from bnnopt.search.region import free_region
from bnnopt.search.tree import advance
from bnnopt.search.tree_state import new_tree
from bnnopt.search.workspace import new_workspace

__all__ = ["compile_by_running", "warm_up", "warm_up_cheap_sets"]

NOTICE_SECONDS = 4.0
"""Loading the compiled kernel takes less than this."""


@cache
def warm_up() -> None:
    """Compile the kernel, or load it from numba's cache, by running it on one neuron."""
    compile_by_running(_run_on_one_neuron)


@cache
def warm_up_cheap_sets() -> None:
    """Likewise for `bnnopt.search.cheap_sets`, which few instances take."""
    compile_by_running(_visit_one_set)


def compile_by_running(work: Callable[[], None]) -> None:
    """Do work that compiles functions, with a notice where they are not in numba's cache."""
    notice = threading.Timer(
        NOTICE_SECONDS,
        logging.getLogger(__name__).warning,
        ["bnnopt: compiling the search kernel; this happens once and takes a minute or two"],
    )
    notice.daemon = True
    notice.start()
    try:
        run_though_unsaved(work)
    finally:
        notice.cancel()


def _terms_of_one_neuron() -> MarginTerms:
    one = np.ones((1, 1), dtype=np.float32)
    return MarginTerms(
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


def _run_on_one_neuron() -> None:
    no, zero = np.zeros((1, 1), dtype=np.bool_), np.zeros((1, 1), dtype=np.int64)
    region, terms = free_region(no, np.zeros((1, 0)), np.zeros(0)), _terms_of_one_neuron()
    advance(region, terms, new_tree(region, terms), new_workspace(region, terms), 0.0, 1)
    targets = target_terms([terms])
    position = new_position(targets)
    move_to(targets, position, no[0])
    better_set(region, targets, position, zero[0], no, np.ones(1), 1, True, np.zeros(0))
    exclude(position)


def _visit_one_set() -> None:
    terms, one = target_terms([_terms_of_one_neuron()]), np.ones(1, dtype=np.int64)
    surplus = new_position(terms).surplus
    flips = cheap_flips(terms, surplus, one, one, np.zeros((1, 0)), np.zeros(0))
    walk = new_walk(flips, 1)
    begin_walk(walk, 0)
    visit_sets(terms, flips, walk, 0, 1, 1, np.zeros(1), 1)
    score_each(terms, flips, walk, one[:0], 1, np.zeros(1))

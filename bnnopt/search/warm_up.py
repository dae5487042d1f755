"""Compiling the kernel, once a machine: before any clock runs, and not in silence."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache

import numpy as np

from bnnopt.search.cache import run_though_unsaved
from bnnopt.search.neighbourhood import better_set
from bnnopt.search.place import exclude, move_to, new_place, worth_of
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.tree import advance
from bnnopt.search.tree_state import new_tree

__all__ = ["compile_by_running", "warm_up"]

NOTICE_SECONDS = 4.0
"""Loading the compiled kernel takes less than this."""


@cache
def warm_up() -> None:
    """Compile the kernel, or load it from numba's cache, by running it on one neuron."""
    compile_by_running(_run_on_one_neuron)


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


def _run_on_one_neuron() -> None:
    one = np.ones((1, 1))
    region = Region(one, np.ones(1), np.ones(1), np.ones(1), 1.0, 0, 0.0)
    small = one.astype(np.float32)
    terms = MarginTerms(small[0], small, np.zeros((0, 1, 1)), np.zeros((0, 1)), np.ones(1), 0.0)
    advance(region, terms, new_tree(region, terms), 0.0, 1)
    worth = worth_of([terms])
    place = new_place(worth)
    no, zero = np.zeros((1, 1), dtype=np.bool_), np.zeros((1, 1), dtype=np.int64)
    move_to(region, worth, place, no[0])
    better_set(region, worth, place, zero[0], no, np.ones(1), 1, True, np.zeros(1))
    exclude(place)

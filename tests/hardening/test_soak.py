"""Hundreds of attacks in one process take no more memory than a few."""

from __future__ import annotations

import gc
import itertools

import pytest

import bnnopt
from tests.helpers import random_image, random_network

psutil = pytest.importorskip("psutil")

METHODS = ("bab", "bab", "bab", "bab", "milp", "bab", "bab", "bab", "bab", "pattern")
WARM_UP, ATTACKS = 50, 450
MOST_GROWTH = 8 * 2**20
"""Bytes; far less than what a model an attack by the MILP takes."""


def test_five_hundred_attacks_leave_the_memory_flat() -> None:
    network = random_network(1, inputs=8, widths=(6, 4), levels=255)
    methods = itertools.cycle(METHODS)

    def attack(count: int) -> None:
        for number, method in zip(range(count), methods, strict=False):
            image = random_image(network, number)
            bnnopt.attack(network, image, 0.1, method=method, time_limit=60)

    attack(WARM_UP)
    gc.collect()
    process = psutil.Process()
    memory, files, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
    attack(ATTACKS)
    gc.collect()
    assert process.memory_info().rss - memory < MOST_GROWTH
    assert process.num_fds() <= files
    assert process.num_threads() <= threads

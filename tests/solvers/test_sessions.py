"""What a session holds is freed with it."""

from __future__ import annotations

import gc
import weakref

import pytest

import solvers
from tests.solvers.models import knapsack


@pytest.mark.parametrize("name", [info.name for info in solvers.available() if info.available])
def test_a_session_that_is_dropped_is_freed(name: str) -> None:
    solver = solvers.get(name)
    with solver.session(knapsack()) as session:
        session.solve()
    left = solver.session(knapsack())  # nobody closes it
    left.solve()
    kept = [weakref.ref(session), weakref.ref(left)]
    del session, left
    gc.collect()
    assert [reference() for reference in kept] == [None, None]

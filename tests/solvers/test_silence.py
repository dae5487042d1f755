"""Standard output belongs to whoever calls: no solver may write to it, whatever it is asked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import solvers

INSTALLED = [info.name for info in solvers.available() if info.available]

SCRIPT = """
import os, signal, sys, threading
from dataclasses import replace
import numpy as np
import solvers
from solvers import SolveOptions
from tests.solvers.models import knapsack

adapter = solvers.get(sys.argv[1])
easy, hard = (solvers.compile_model(knapsack(**kind)) for kind in ({}, {"items": 200, "rows": 40}))
for model in (easy, replace(easy, integer=np.zeros_like(easy.integer))):
    adapter.session(model).close()
    with adapter.session(model) as session:
        for options in ({}, {"cutoff": 1e6}, {"seed": 3}, {"node_limit": 1}, {"time_limit": 5}):
            session.solve(SolveOptions(**options))
        session.set_objective(np.ones(easy.num_columns))
        session.set_variable_bounds([0], 1, 1)
        session.set_row_bounds([0], 0, 50)
        session.solve()
        for start in (np.zeros(easy.num_columns), np.full(easy.num_columns, np.nan), np.ones(12)):
            session.set_start(start)
            session.solve()
with adapter.session(hard) as session:
    ended = [session.solve(SolveOptions(time_limit=0.5))]
    for _ in range(2):
        # Late enough for every solver to have begun; Ctrl-C before that is Python's to raise.
        threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        ended.append(session.solve(SolveOptions(time_limit=300)))
sys.stderr.write(" ".join(result.termination.value for result in ended))
"""


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("solver", INSTALLED)
def test_a_solver_writes_nothing_to_the_standard_output(solver: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, solver], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert done.stderr == "time_limit interrupted interrupted"

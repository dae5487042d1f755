"""A solver that was stopped, by a limit or by Ctrl-C, has proved nothing but its bound."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

import solvers
from solvers import CompiledModel, SolveOptions, Termination
from tests.solvers.models import knapsack

INSTALLED = [info.name for info in solvers.available() if info.available]
every_solver = pytest.mark.parametrize("solver", INSTALLED)
with_node_limit = pytest.mark.parametrize(
    "solver", [name for name in INSTALLED if solvers.get(name).capabilities.node_limit]
)

MEDIUM = {"items": 100, "rows": 20, "seed": 1}
"""A knapsack that no solver finishes within 60 nodes."""


def refuted(model: CompiledModel, result: solvers.SolveResult, point: float) -> bool:
    """Whether `point`, the objective of a feasible point, refutes what a result claims."""
    sign = -1.0 if model.maximize else 1.0
    if result.termination in (Termination.INFEASIBLE, Termination.UNBOUNDED):
        return True
    below = result.bound is not None and sign * result.bound > sign * point + 1e-4 * abs(point)
    worse = result.objective is not None and sign * result.objective > sign * point + 1e-3
    return below or (worse and result.termination is Termination.OPTIMAL)


@every_solver
@pytest.mark.parametrize("maximise", [True, False])
def test_a_solve_stopped_at_any_moment_claims_nothing_false(solver: str, maximise: bool) -> None:
    model = solvers.compile_model(knapsack(items=35, rows=10, seed=1, maximise=maximise))
    best = solvers.get("highs").solve(model)
    assert best.objective is not None
    limits: list[dict[str, Any]] = [{"time_limit": 0.001 * 2**power} for power in range(9)]
    if solvers.get(solver).capabilities.node_limit:
        limits += [{"node_limit": nodes} for nodes in (1, 2, 5, 20)]
    for limit in limits:
        for relaxed in (False, True):
            integer = np.zeros_like(model.integer) if relaxed else model.integer
            with solvers.get(solver).session(replace(model, integer=integer)) as session:
                result = session.solve(SolveOptions(**limit))
            assert result.termination is not Termination.ERROR, (limit, result)
            if relaxed and result.termination is Termination.OPTIMAL:
                result = replace(result, termination=Termination.TIME_LIMIT)
            assert not refuted(model, result, best.objective), (limit, relaxed, result)


CTRL_C = """
import os, random, signal, sys
import solvers
from solvers import SolveOptions
from tests.solvers.models import knapsack

signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
model = solvers.compile_model(knapsack(items=200, rows=40, seed=1))
random.seed(0)
for _ in range(12):
    try:
        with solvers.get(sys.argv[1]).session(model) as session:
            signal.setitimer(signal.ITIMER_REAL, 10 ** random.uniform(-3, 0))
            result = session.solve(SolveOptions(time_limit=300))
            print(result.termination.value, result.bound is None or result.bound >= 0)
    except KeyboardInterrupt:
        print("raised", True)
"""


@every_solver
@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_ctrl_c_at_any_moment_stops_the_solver_before_its_session_closes(
    solver: str, tmp_path: Path
) -> None:
    # KeyboardInterrupt may come just as the solver starts: to free one that runs would crash.
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C, solver],
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        timeout=200,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line]
    assert done.returncode == 0, done.stderr
    assert set(lines) <= {"interrupted True", "raised True", "Interrupt request received"}
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@with_node_limit
@pytest.mark.parametrize("nodes", [1, 10, 60])
@pytest.mark.parametrize("gap", [1e-6, 0.2])
def test_within_a_node_limit_two_runs_are_the_same(solver: str, nodes: int, gap: float) -> None:
    compiled = solvers.compile_model(knapsack(**MEDIUM))
    options = SolveOptions(node_limit=nodes, seed=5, relative_gap=gap)
    first, second = (solvers.get(solver).solve(compiled, options) for _ in range(2))
    for result in (first, second):
        assert result.termination in (Termination.NODE_LIMIT, Termination.OPTIMAL)
        assert result.termination is Termination.NODE_LIMIT or gap > 1e-3
    assert first.termination is second.termination
    assert (first.objective, first.bound, first.nodes) == (
        second.objective,
        second.bound,
        second.nodes,
    )
    assert first.bound is not None
    with solvers.get(solver).session(compiled) as session:
        assert session.solve(replace(options, node_limit=3)).nodes is not None


@with_node_limit
def test_a_solve_that_ends_within_its_node_limit_is_finished(solver: str) -> None:
    result = solvers.solve(knapsack(), solver, node_limit=10_000)
    assert result.termination is Termination.OPTIMAL
    none = solvers.solve(knapsack(), solver, node_limit=10_000, cutoff=1e6)
    assert none.termination is Termination.INFEASIBLE


def unbounded_unless_cut_off() -> Any:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(domain=pyo.Integers, bounds=(0, None))
    model.y = pyo.Var(domain=pyo.NonNegativeReals)
    model.r = pyo.Constraint(expr=model.x + model.y >= 3)
    model.o = pyo.Objective(expr=model.x + 2 * model.y)
    return model


@every_solver
def test_a_cutoff_that_nothing_meets_is_not_called_unbounded(solver: str) -> None:
    model = unbounded_unless_cut_off()
    for cutoff, ending in ((2.0, Termination.INFEASIBLE), (7.0, Termination.OPTIMAL)):
        assert solvers.solve(model, solver, cutoff=cutoff).termination is ending


@every_solver
@pytest.mark.parametrize("margin", [0.5, 15.0])
def test_a_gap_does_not_pass_for_a_proof_that_the_cutoff_is_unreached(
    solver: str, margin: float
) -> None:
    # With a wide gap, a solver may stop at a start that is worse than the cutoff.
    compiled = solvers.compile_model(knapsack(items=35, rows=10, seed=1))
    best = solvers.get("highs").solve(compiled)
    assert best.objective is not None
    assert best.values is not None
    poor = best.values.array.copy()
    poor[int(np.argmax(poor))] = 0.0
    with solvers.get(solver).session(compiled) as session:
        session.set_start(poor)
        options = SolveOptions(cutoff=best.objective - margin, relative_gap=0.5)
        result = session.solve(options)
    assert result.termination is not Termination.INFEASIBLE
    assert result.message or result.termination is Termination.OPTIMAL


def many_terms() -> Any:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(300), domain=pyo.Binary)
    model.r = pyo.Constraint(
        range(300), rule=lambda m, i: sum((i + j) % 7 * m.x[j] for j in range(300)) <= 300
    )
    model.o = pyo.Objective(expr=sum(model.x.values()), sense=pyo.maximize)
    return model


def test_a_compilation_is_stopped_within_a_few_thousand_terms() -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 5

    model = many_terms()
    with pytest.raises(solvers.CompilationStoppedError):
        solvers.compile_model(model, stop)
    assert len(asked) == 5
    asked[:] = [1] * 10
    whole = solvers.compile_model(model, stop)
    assert len(asked) > 20
    same = solvers.compile_model(model)
    assert (whole.matrix != same.matrix).nnz == 0
    assert whole.column_names == same.column_names
    assert np.array_equal(whole.row_upper, same.row_upper)


def test_ctrl_c_during_a_compilation_is_raised() -> None:
    def ctrl_c() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solvers.compile_model(many_terms(), ctrl_c)


@every_solver
def test_a_time_limit_over_before_the_solver_starts_gives_an_empty_result(solver: str) -> None:
    result = solvers.solve(many_terms(), solver, time_limit=1e-4)
    assert result.termination is Termination.TIME_LIMIT
    assert (result.values, result.bound, result.objective) == (None, None, None)
    assert result.raw_status == "the time was up before the solver started"
    assert result.wall_time > 0


@every_solver
def test_a_time_limit_shorter_than_compiling_plus_loading_is_kept_to_the_end(solver: str) -> None:
    model = many_terms()
    for limit in (0.02, 0.05, 0.1):
        result = solvers.solve(model, solver, time_limit=limit)
        assert result.termination in (Termination.TIME_LIMIT, Termination.OPTIMAL), result
        assert result.termination is Termination.OPTIMAL or not result.message


INTERRUPTED_WRITING = """
import sys
import solvers
from solvers import cbc
from tests.solvers.models import knapsack

def lines(*args):
    yield "NAME\\n" * 5000
    raise KeyboardInterrupt

cbc.mps_lines = lines
try:
    solvers.solve(knapsack(), "cbc")
except KeyboardInterrupt:
    print("raised")
"""


@pytest.mark.skipif("cbc" not in INSTALLED, reason="CBC is not installed")
def test_ctrl_c_while_cbcs_model_is_written_leaves_no_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WRITING],
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        check=True,
    )
    assert (done.stdout, done.stderr) == ("raised\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_after_a_solve_ctrl_c_is_pythons_again() -> None:
    for solver in INSTALLED:
        solvers.solve(knapsack(), solver)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

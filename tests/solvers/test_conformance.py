"""What every adapter must do; a third party's adapter is tested as soon as it is installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from scipy.optimize import LinearConstraint, milp

import solvers
from solvers import SolveOptions, Termination
from tests.solvers.models import KNOWN, knapsack, random_milp

INSTALLED = [info for info in solvers.available() if info.available]
pytestmark = pytest.mark.parametrize("solver", [info.name for info in INSTALLED])

HARD = {"items": 200, "rows": 40, "seed": 1}
"""A knapsack that none of the solvers can finish in minutes."""


def capability(solver: str, name: str) -> bool:
    return bool(getattr(solvers.get(solver).capabilities, name))


def right_side(result: solvers.SolveResult, maximise: bool, optimum: float | None = None) -> bool:
    """Whether the bound is on the right side of the objective, and of the optimum if known."""
    if result.bound is None:
        return True
    sign = -1.0 if maximise else 1.0
    values = [value for value in (result.objective, optimum) if value is not None]
    return all(sign * result.bound <= sign * value + 1e-5 * max(1, abs(value)) for value in values)


@pytest.mark.parametrize("case", KNOWN)
def test_a_known_model_ends_as_it_must(solver: str, case: str) -> None:
    known = KNOWN[case]()
    result = solvers.solve(known.model, solver)
    assert result.termination.value == known.termination, (result.raw_status, result.message)
    assert result.has_solution == (known.objective is not None)
    if known.objective is None:
        assert result.objective is None
        return
    assert result.objective == pytest.approx(known.objective, abs=1e-5)
    assert result.bound == pytest.approx(known.objective, abs=1e-4)
    objectives = list(known.model.component_data_objects(pyo.Objective))
    if objectives:
        assert pyo.value(objectives[0]) == pytest.approx(known.objective, abs=1e-5)


@pytest.mark.parametrize("seed", range(50))
def test_a_random_milp_has_the_optimum_of_enumeration(solver: str, seed: int) -> None:
    model, optimum = random_milp(seed)
    result = solvers.solve(model, solver)
    if optimum is None:
        assert result.termination is Termination.INFEASIBLE
        return
    assert result.termination is Termination.OPTIMAL, (result.raw_status, result.message)
    assert result.objective == pytest.approx(optimum, abs=1e-5)
    assert right_side(result, model.value.sense == pyo.maximize, optimum)
    assert result.raw_status


@pytest.mark.parametrize("maximise", [True, False])
def test_at_a_time_limit_the_incumbent_is_kept_and_the_bound_is_sound(
    solver: str, maximise: bool
) -> None:
    limit = 1.5
    began = time.perf_counter()
    model = knapsack(**HARD, maximise=maximise)
    building = time.perf_counter() - began
    result = solvers.solve(model, solver, time_limit=limit)
    assert result.termination is Termination.TIME_LIMIT
    assert time.perf_counter() - began - building <= limit + 20.0  # a gross overrun, on any machine
    assert result.has_solution
    assert result.bound is not None
    assert right_side(result, maximise)
    assert result.gap is not None
    assert result.gap > 0
    # A longer run's point is a witness that the bound must not exclude.
    witness = solvers.solve(knapsack(**HARD, maximise=maximise), "highs", time_limit=3)
    assert right_side(result, maximise, witness.objective)


def test_a_time_limit_before_any_point_leaves_none_and_no_claim(solver: str) -> None:
    result = solvers.solve(knapsack(**HARD), solver, time_limit=0.02)
    assert result.termination in (Termination.TIME_LIMIT, Termination.OPTIMAL)
    if not result.has_solution:
        assert result.objective is None
        assert result.trace == []


def test_a_bound_at_a_limit_never_excludes_the_true_optimum(solver: str) -> None:
    for seed in range(6):
        for maximise in (True, False):
            model = knapsack(items=35, rows=10, seed=seed, maximise=maximise)
            optimum = true_optimum(model)
            for options in ({"node_limit": 1}, {"time_limit": 0.05}, {"relative_gap": 0.05}):
                result = solvers.solve(model, solver, **options)  # type: ignore[arg-type]
                assert result.termination is not Termination.ERROR, result.message
                assert right_side(result, maximise, optimum), (seed, options, result)


def true_optimum(model: Any) -> float:
    """By SciPy's solver, apart from this layer."""
    compiled = solvers.compile_model(model)
    sign = -1.0 if compiled.maximize else 1.0
    solved = milp(
        sign * compiled.objective,
        constraints=LinearConstraint(compiled.matrix, compiled.row_lower, compiled.row_upper),
        integrality=compiled.integer.astype(int),
        bounds=(0, 1),
        options={"mip_rel_gap": 0},
    )
    return float(sign * solved.fun)


def test_gaps_mean_the_same_everywhere(solver: str) -> None:
    model = knapsack(items=60, rows=10, seed=3)
    result = solvers.solve(model, solver, relative_gap=0.1, time_limit=60)
    assert result.termination is Termination.OPTIMAL
    assert result.gap is not None
    assert result.objective is not None
    assert result.gap <= 0.1 * abs(result.objective) + 1e-4
    wide = solvers.solve(model, solver, absolute_gap=100.0, time_limit=60)
    assert wide.termination is Termination.OPTIMAL
    assert wide.gap is not None
    assert wide.gap <= 100.0 + 1e-4


@pytest.mark.parametrize("maximise", [True, False])
def test_a_cutoff_hides_what_is_not_better(solver: str, maximise: bool) -> None:
    sign = 1.0 if maximise else -1.0
    optimum = solvers.solve(knapsack(maximise=maximise), "highs").objective
    assert optimum is not None
    loose = solvers.solve(knapsack(maximise=maximise), solver, cutoff=optimum - 10 * sign)
    assert loose.termination is Termination.OPTIMAL
    assert loose.objective == pytest.approx(optimum)
    for cutoff in (optimum, optimum + 5 * sign):
        none = solvers.solve(knapsack(maximise=maximise), solver, cutoff=cutoff)
        assert none.termination is Termination.INFEASIBLE
        assert not none.has_solution
        assert right_side(none, maximise, optimum)


def test_the_trace_improves_and_ends_in_the_point(solver: str) -> None:
    result = solvers.solve(knapsack(items=60, rows=10, seed=3), solver, time_limit=3)
    assert result.has_solution
    times, values = zip(*result.trace, strict=True)
    assert list(values) == sorted(values)
    assert values[-1] == result.objective
    assert all(0 <= when <= result.wall_time for when in times)


def test_a_warm_start_is_accepted_and_used(solver: str) -> None:
    if not capability(solver, "warm_start"):
        pytest.skip(f"{solver} takes no starting point")
    compiled = solvers.compile_model(knapsack(**HARD))
    good = solvers.get("highs").solve(compiled, SolveOptions(time_limit=2.0))
    assert good.values is not None
    assert good.objective is not None
    with solvers.get(solver).session(compiled) as session:
        session.set_start(good.values.array)
        warm = session.solve(SolveOptions(time_limit=1.0))
    assert warm.objective is not None
    assert warm.objective >= good.objective - 1e-6


def test_a_partial_or_infeasible_start_does_no_harm(solver: str) -> None:
    compiled = solvers.compile_model(knapsack())
    optimum = solvers.get("highs").solve(compiled).objective
    partial = np.full(compiled.num_columns, np.nan)
    partial[:3] = 0.0
    for start in (partial, np.ones(compiled.num_columns), np.full(compiled.num_columns, 0.5)):
        with solvers.get(solver).session(compiled) as session:
            session.set_start(start)
            result = session.solve()
        assert result.termination is Termination.OPTIMAL
        assert result.objective == pytest.approx(optimum)


def test_a_model_made_of_arrays_is_solved_like_the_one_from_pyomo(solver: str) -> None:
    compiled = solvers.compile_model(knapsack())
    expected = solvers.get(solver).solve(compiled).objective
    arrays = replace(compiled, variables=(), constraints=())
    result = solvers.get(solver).solve(arrays)
    assert result.objective == pytest.approx(expected)
    assert result.values is not None
    assert list(result.values) == [f"x{column}" for column in range(arrays.num_columns)]
    assert result.values["x3"] == result.values.array[3]
    assert arrays.row_names[0] == "r0"


def test_a_resolve_after_changes_equals_a_fresh_solve(solver: str) -> None:
    rng = np.random.default_rng(0)
    compiled = solvers.compile_model(knapsack(items=10, rows=3))
    with solvers.get(solver).session(compiled) as session:
        for step in range(8):
            values = rng.integers(-5, 20, compiled.num_columns).astype(float)
            session.set_objective(values, constant=float(step))
            columns = rng.choice(compiled.num_columns, 3, replace=False)
            low = rng.integers(0, 2, 3).astype(float)
            session.set_variable_bounds(columns, low, np.ones(3))
            row = int(rng.integers(compiled.num_rows))
            kind = step % 4
            activity = float(compiled.matrix[[row]].sum())
            lower = [-np.inf, 0.1 * activity, 0.1 * activity, -np.inf][kind]
            upper = [0.5 * activity, np.inf, 0.6 * activity, 0.7 * activity][kind]
            session.set_row_bounds([row], lower, upper)
            again = session.solve()
            with solvers.get("highs").session(compiled) as fresh:
                fresh.set_objective(values, constant=float(step))
                every = np.arange(compiled.num_columns)
                fresh.set_variable_bounds(every, session.lower, session.upper)
                rows = np.arange(compiled.num_rows)
                fresh.set_row_bounds(rows, session.row_lower, session.row_upper)
                expected = fresh.solve()
            assert again.termination is expected.termination
            if expected.objective is not None:
                assert again.objective == pytest.approx(expected.objective, abs=1e-5)


def test_a_resolve_starts_its_clock_and_its_options_afresh(solver: str) -> None:
    compiled = solvers.compile_model(knapsack(**HARD))
    with solvers.get(solver).session(compiled) as session:
        for _ in range(2):
            began = time.perf_counter()
            result = session.solve(SolveOptions(time_limit=1.0))
            assert result.termination is Termination.TIME_LIMIT
            assert time.perf_counter() - began >= 0.5  # a clock left running would end it at once
        one = session.solve(SolveOptions(node_limit=1, time_limit=20))
        assert one.termination is Termination.NODE_LIMIT
    easy = solvers.compile_model(knapsack())
    with solvers.get(solver).session(easy) as session:
        assert session.solve(SolveOptions(cutoff=1e6)).termination is Termination.INFEASIBLE
        assert session.solve().termination is Termination.OPTIMAL


def test_two_sessions_at_once_do_not_disturb_each_other(solver: str) -> None:
    models = [knapsack(items=15, seed=seed) for seed in range(2)]
    expected = [solvers.solve(model, "highs").objective for model in models]
    found: list[float | None] = [None, None]
    adapter = solvers.get(solver)
    with adapter.session(models[0]) as first, adapter.session(models[1]) as second:

        def work(index: int, session: solvers.Session) -> None:
            for _ in range(3):
                found[index] = session.solve(SolveOptions(seed=index)).objective

        threads = [
            threading.Thread(target=work, args=(index, session))
            for index, session in enumerate((first, second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == pytest.approx(expected)


def test_the_same_seed_gives_the_same_run(solver: str) -> None:
    runs = [
        solvers.solve(knapsack(items=40, rows=10, seed=2), solver, seed=7, node_limit=20)
        for _ in range(2)
    ]
    assert runs[0].objective == runs[1].objective
    assert runs[0].bound == runs[1].bound
    assert runs[0].nodes == runs[1].nodes
    for seed in (0, 1, 2**31 - 1):
        result = solvers.solve(knapsack(), solver, seed=seed)
        assert result.termination is Termination.OPTIMAL


def test_threads_are_honoured_or_refused(solver: str) -> None:
    expected = solvers.solve(knapsack(), "highs").objective
    for threads in (2, 1, 2):
        if capability(solver, "threads"):
            result = solvers.solve(knapsack(), solver, threads=threads)
            assert result.objective == pytest.approx(expected)
        elif threads > 1:
            with pytest.raises(solvers.UnsupportedOptionError, match="one thread"):
                solvers.solve(knapsack(), solver, threads=threads)


def test_values_are_read_by_name_and_by_variable(solver: str) -> None:
    model = KNOWN["odd names"]().model
    result = solvers.solve(model, solver)
    assert result.values is not None
    assert result.values[model.x["ü€"]] == pytest.approx(0)
    assert result.values["x[a b]"] == pytest.approx(1)
    assert len(result.values) == 10
    assert dict(result.values)["x['1']"] == pytest.approx(1)


def test_the_log_is_silent_unless_asked_for(solver: str, capfd: pytest.CaptureFixture[str]) -> None:
    solvers.solve(knapsack(), solver)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    solvers.solve(knapsack(), solver, log=True)
    captured = capfd.readouterr()
    assert captured.out + captured.err != ""


SCRIPT = """
import sys, solvers
from tests.solvers.models import knapsack
model = knapsack(items=200, rows=40, seed=1)
print("ready", flush=True)
result = solvers.solve(model, sys.argv[1], time_limit=300)
print(result.termination.value, result.has_solution, result.bound is not None, flush=True)
"""


def start_script(solver: str, folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, solver],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
        process_group=0,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(2.0)
    return process


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_ctrl_c_stops_the_solve_and_returns_the_incumbent(solver: str, tmp_path: Path) -> None:
    process = start_script(solver, tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    # Gurobi's own handler prints a line of its own before.
    assert (out.splitlines()[-1], err, process.returncode) == ("interrupted True True", "", 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_a_killed_process_leaves_no_child_and_no_file(solver: str, tmp_path: Path) -> None:
    process = start_script(solver, tmp_path)
    mark = f"TMPDIR={tmp_path}"
    assert processes_with(mark)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (processes_with(mark) or list(tmp_path.iterdir())):
        time.sleep(0.05)
    assert processes_with(mark) == []
    assert list(tmp_path.iterdir()) == []


def processes_with(mark: str) -> list[str]:
    """Processes of this machine with `mark` in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and folder.name != str(os.getpid()):
            try:
                if mark.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text())
            except OSError:
                continue
    return found

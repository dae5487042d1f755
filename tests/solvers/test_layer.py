"""What the layer itself promises, whatever the solver."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import numpy as np
import pyomo.environ as pyo
import pytest

import solvers
from solvers import (
    Capabilities,
    CompiledModel,
    ModelError,
    Outcome,
    Session,
    SolveOptions,
    Solver,
    Termination,
    registry,
)
from tests.solvers.models import knapsack


class PuppetSession(Session):
    """Reports whatever its solver was told to."""

    def _load(self) -> None:
        self.pushed: list[str] = []

    def _push_objective(self) -> None:
        self.pushed.append("objective")

    def _push_columns(self, columns: Any) -> None:
        self.pushed.append("columns")

    def _push_rows(self, rows: Any) -> None:
        self.pushed.append("rows")

    def _run(self, options: SolveOptions) -> Outcome:
        assert isinstance(self.solver, Puppet)
        says = self.solver.says
        return Outcome(**says.pop(0) if isinstance(says, list) else says)

    def _close(self) -> None:
        self.pushed.append("closed")


class Puppet(Solver):
    name: ClassVar[str] = "puppet"
    package: ClassVar[str] = "solvers"
    install: ClassVar[str] = "pip install puppet"
    licence: ClassVar[str] = "MIT"
    capabilities: ClassVar[Capabilities] = Capabilities(False, False, False, False, False)
    says: ClassVar[dict[str, Any] | list[dict[str, Any]]] = {}
    """What each run reports; a list has one for each."""

    def _open(self, model: CompiledModel) -> Session:
        return PuppetSession(self, model)


@pytest.fixture
def puppet(monkeypatch: pytest.MonkeyPatch) -> type[Puppet]:
    """A third party's adapter, registered by entry point like the others."""
    entry = EntryPoint("puppet", f"{__name__}:Puppet", registry.GROUP)
    entries = registry._entries() | {"puppet": entry}
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    return Puppet


def say(monkeypatch: pytest.MonkeyPatch, **outcome: Any) -> solvers.SolveResult:
    """Solve a knapsack of three items, minimised, with the puppet."""
    monkeypatch.setattr(Puppet, "says", outcome)
    return solvers.solve(knapsack(items=3, rows=1, maximise=False), "puppet")


def test_an_entry_point_is_all_that_a_new_solver_needs(
    puppet: type[Puppet], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {info.name: info for info in solvers.available()}["puppet"]
    assert (info.available, info.licence) == (True, "MIT")
    result = say(monkeypatch, termination=Termination.OPTIMAL, values=np.zeros(3), bound=0.0)
    assert (result.termination, result.objective) == (Termination.OPTIMAL, 0.0)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0.5, 0, 0], "integrality"),
        ([1, 1, 1], "the row"),
        ([2, 0, 0], "a bound"),
        ([np.nan, 0, 0], "not a number"),
    ],
)
def test_a_point_that_violates_the_model_is_dropped(
    puppet: type[Puppet], monkeypatch: pytest.MonkeyPatch, values: list[float], why: str
) -> None:
    result = say(monkeypatch, termination=Termination.OPTIMAL, values=np.array(values), bound=-1e9)
    assert result.termination is Termination.ERROR, why
    assert not result.has_solution
    assert "violates" in result.message
    assert result.violation > 0


def test_a_bound_that_excludes_the_solvers_own_point_is_dropped(
    puppet: type[Puppet], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = say(monkeypatch, termination=Termination.TIME_LIMIT, values=np.zeros(3), bound=5.0)
    assert result.termination is Termination.ERROR
    assert result.bound is None
    assert "excludes" in result.message


@pytest.mark.parametrize("bound", [None, -50.0])
def test_an_optimum_that_its_bound_does_not_prove_is_no_optimum(
    puppet: type[Puppet], monkeypatch: pytest.MonkeyPatch, bound: float | None
) -> None:
    result = say(monkeypatch, termination=Termination.OPTIMAL, values=np.zeros(3), bound=bound)
    assert result.termination is Termination.ERROR
    assert "does not prove" in result.message


def test_an_optimum_without_a_point_is_none(
    puppet: type[Puppet], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = say(monkeypatch, termination=Termination.OPTIMAL, bound=0.0)
    assert result.termination is Termination.ERROR
    assert "gives no point" in result.message


def claimed(start: Any, options: SolveOptions | None = None) -> solvers.SolveResult:
    """What becomes of the puppet's claim where a start is known; (0, 0, 0) is feasible, at 0."""
    with Puppet().session(knapsack(items=3, rows=1, maximise=False)) as session:
        session.set_start(start)
        return session.solve(options)


@pytest.mark.parametrize("says", [{"termination": Termination.INFEASIBLE}, {"bound": 5.0}])
def test_a_claim_that_the_starting_point_refutes_is_an_error(
    puppet: type[Puppet], monkeypatch: pytest.MonkeyPatch, says: dict[str, Any]
) -> None:
    says = {"termination": Termination.TIME_LIMIT} | says
    monkeypatch.setattr(Puppet, "says", says)
    result = claimed(np.zeros(3))
    assert result.termination is Termination.ERROR
    assert result.bound is None
    assert "the starting point" in result.message
    # A start that is infeasible, or incomplete, refutes nothing; nor one beyond the cutoff.
    for start, options in (
        (np.ones(3), None),
        ([0.0, np.nan, 0.0], None),
        (np.zeros(3), SolveOptions(cutoff=-1.0)),
    ):
        assert claimed(start, options).termination is says["termination"]


@pytest.mark.parametrize("ended", [Termination.OPTIMAL, Termination.TIME_LIMIT])
def test_a_bound_is_never_beyond_the_cutoff(
    puppet: type[Puppet], monkeypatch: pytest.MonkeyPatch, ended: Termination
) -> None:
    # Solvers drop what is beyond the cutoff, so that what they search next has a higher bound.
    monkeypatch.setattr(Puppet, "says", {"termination": ended, "values": np.zeros(3), "bound": 0.0})
    result = claimed(np.zeros(3), SolveOptions(cutoff=-40.0))
    assert not result.has_solution
    assert result.bound == -40.0
    expected = Termination.INFEASIBLE if ended is Termination.OPTIMAL else ended
    assert result.termination is expected


def test_an_optimum_within_its_gap_but_beyond_the_cutoff_does_not_prove_infeasible(
    puppet: type[Puppet], monkeypatch: pytest.MonkeyPatch
) -> None:
    says = {"termination": Termination.OPTIMAL, "values": np.zeros(3), "bound": -90.0}
    monkeypatch.setattr(Puppet, "says", says)
    result = claimed(None, SolveOptions(cutoff=-40.0, absolute_gap=100.0))
    assert (result.termination, result.bound) == (Termination.ERROR, -90.0)
    assert "smaller gap" in result.message


EITHER: dict[str, Any] = {"termination": None, "raw_status": "either"}
POINT: dict[str, Any] = {"termination": Termination.OPTIMAL, "values": np.zeros(3), "bound": 0.0}


@pytest.mark.parametrize(
    ("says", "cutoff", "ending"),
    [
        ([EITHER, POINT], None, Termination.UNBOUNDED),
        ([EITHER, POINT | {"termination": Termination.TIME_LIMIT}], None, Termination.UNBOUNDED),
        ([EITHER, {"termination": Termination.INFEASIBLE}], None, Termination.INFEASIBLE),
        ([EITHER, EITHER], None, Termination.INFEASIBLE),
        ([EITHER, {"termination": Termination.TIME_LIMIT}], None, Termination.TIME_LIMIT),
        ([EITHER, POINT | {"values": np.full(3, 0.5)}], None, Termination.ERROR),
        ([EITHER, {"termination": Termination.OPTIMAL}], None, Termination.ERROR),
        # Infeasible because of the cutoff is not unbounded.
        ([EITHER, POINT], -1.0, Termination.INFEASIBLE),
        ([EITHER, EITHER, POINT], -1.0, Termination.UNBOUNDED),
    ],
)
def test_infeasible_or_unbounded_is_told_apart_by_a_point(
    puppet: type[Puppet],
    monkeypatch: pytest.MonkeyPatch,
    says: list[dict[str, Any]],
    cutoff: float | None,
    ending: Termination,
) -> None:
    monkeypatch.setattr(Puppet, "says", list(says))
    result = claimed(None, SolveOptions(cutoff=cutoff))
    assert result.termination is ending
    assert result.raw_status.startswith("either")
    assert bool(result.message) == (ending is Termination.ERROR)


def test_the_objective_is_back_after_a_run_without_it_that_failed(
    puppet: type[Puppet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Puppet, "says", [dict(EITHER)])
    with Puppet().session(knapsack(items=3, rows=1)) as session:
        cost = session.cost.copy()
        with pytest.raises(IndexError):  # the puppet has nothing more to say
            session.solve()
        assert np.array_equal(session.cost, cost)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("Solve error", "smaller constants"),
        ("Unknown", "smaller constants"),
        ("Stopped on difficulties", "smaller constants"),
        ("NUMERIC", "smaller constants"),
        ("Memory limit reached", "fewer threads"),
        ("memlimit", "fewer threads"),
        ("MEM_LIMIT", "fewer threads"),
        ("Not Set", "another solver"),
        ("", "another solver"),
    ],
)
def test_an_error_says_what_happened_and_what_to_try(
    puppet: type[Puppet], monkeypatch: pytest.MonkeyPatch, status: str, advice: str
) -> None:
    result = say(monkeypatch, termination=Termination.ERROR, raw_status=status)
    assert result.message.startswith("puppet")
    assert status in result.message
    assert advice in result.message
    assert "\n" not in result.message


def test_an_unsupported_option_is_an_error(puppet: type[Puppet]) -> None:
    with pytest.raises(solvers.UnsupportedOptionError, match="one thread"):
        solvers.solve(knapsack(), "puppet", threads=2)
    session = puppet().session(knapsack())
    with pytest.raises(solvers.UnsupportedOptionError, match="one thread"):
        session.solve(SolveOptions(threads=2))
    with pytest.raises(solvers.UnsupportedOptionError, match="no node limit"):
        session.solve(SolveOptions(node_limit=5))


def test_a_session_is_closed_even_after_an_error(puppet: type[Puppet]) -> None:
    with pytest.raises(RuntimeError), puppet().session(knapsack()) as session:
        raise RuntimeError
    assert isinstance(session, PuppetSession)
    assert session.pushed == ["closed"]


@pytest.mark.parametrize(
    "options",
    [
        {"time_limit": 0},
        {"time_limit": -1},
        {"time_limit": float("nan")},
        {"threads": 0},
        {"seed": -1},
        {"seed": 2**31},
        {"relative_gap": -0.1},
        {"absolute_gap": float("inf")},
        {"cutoff": float("nan")},
        {"node_limit": 0},
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(solvers.UnsupportedOptionError, match=next(iter(options))):
        SolveOptions(**options)


def test_an_unknown_solver_is_named_with_the_nearest() -> None:
    with pytest.raises(solvers.UnknownSolverError, match="did you mean 'highs'"):
        solvers.get("higs")


@pytest.mark.parametrize("name", ["highs", "cbc", "gurobi", "scip"])
def test_a_missing_solver_says_the_pip_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = solvers.get(name)
    monkeypatch.setattr(type(adapter), "package", "no_such_package")
    monkeypatch.setattr("shutil.which", lambda name: None)
    info = adapter.describe()
    assert not info.available
    assert "pip install" in info.reason
    with pytest.raises(solvers.SolverUnavailableError, match="pip install"):
        adapter.solve(knapsack())


def test_a_broken_installation_is_reported_and_hides_no_other_solver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "broken_solver.py").write_text("raise OSError('libbroken.so is missing')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint("broken", "broken_solver:Adapter", registry.GROUP)
    entries = registry._entries() | {"broken": entry}
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    found = {info.name: info for info in solvers.available()}
    assert not found["broken"].available
    assert "libbroken.so" in found["broken"].reason
    assert found["highs"].available
    with pytest.raises(solvers.SolverUnavailableError, match=r"libbroken\.so"):
        solvers.get("broken")
    monkeypatch.setattr("solvers.highs.Highs.package", "broken_solver")
    monkeypatch.setattr(
        "solvers.highs._HighsSession._load", lambda self: __import__("broken_solver")
    )
    with pytest.raises(solvers.SolverUnavailableError, match="installation does not work"):
        solvers.solve(knapsack(), "highs")


@pytest.mark.skipif("GRB_LICENSE_FILE" in os.environ, reason="a full licence has no limit")
def test_a_model_over_gurobis_limited_licence_says_so_with_its_size() -> None:
    pytest.importorskip("gurobipy")
    small = solvers.solve(knapsack(items=20), "gurobi")
    assert small.termination is Termination.OPTIMAL
    with pytest.raises(solvers.ModelTooLargeError, match="2100 variables and 2 rows") as caught:
        solvers.solve(knapsack(items=2100, rows=2), "gurobi", time_limit=5)
    assert "\n" not in str(caught.value)


def test_looking_for_solvers_imports_none() -> None:
    import subprocess
    import sys

    code = (
        "import sys, solvers; solvers.available(); "
        "print(sorted({'highspy', 'gurobipy', 'pyscipopt', 'cbcbox'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def quadratic() -> Any:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.r = pyo.Constraint(expr=model.x**2 <= 0.5)
    model.o = pyo.Objective(expr=model.x)
    return model


def two_objectives() -> Any:
    model = knapsack()
    model.second = pyo.Objective(expr=model.x[0])
    return model


def semicontinuous_set() -> Any:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(domain=pyo.Set(initialize=[1, 4, 9.5]))
    model.o = pyo.Objective(expr=model.x)
    return model


@pytest.mark.parametrize("build", [quadratic, two_objectives, semicontinuous_set])
def test_a_model_that_is_no_milp_is_refused(build: Any) -> None:
    with pytest.raises(ModelError):
        solvers.compile_model(build())


def test_changes_that_do_not_fit_are_refused() -> None:
    with solvers.get("highs").session(knapsack()) as session:
        for change in (
            lambda: session.set_objective([1.0]),
            lambda: session.set_objective(np.full(12, np.nan)),
            lambda: session.set_variable_bounds([12], 0, 1),
            lambda: session.set_variable_bounds([-1], 0, 1),
            lambda: session.set_row_bounds([4], 0, 1),
            lambda: session.set_row_bounds([0], np.nan, 1),
            lambda: session.set_start([1.0]),
            lambda: session.set_start(np.full(12, np.inf)),
        ):
            with pytest.raises(ModelError):
                change()


def test_a_compiled_model_keeps_pyomos_rows_columns_and_names() -> None:
    model = pyo.ConcreteModel(name="m")
    model.x = pyo.Var([1, 2], bounds=(0, 4))
    model.b = pyo.Var(domain=pyo.Binary)
    model.r = pyo.Constraint(expr=(1, model.x[1] + 2 * model.x[2] + 1, 5))
    model.e = pyo.Constraint(expr=model.b == model.x[1])
    model.skip = pyo.Constraint(expr=model.b >= 5)
    model.skip.deactivate()
    model.o = pyo.Objective(expr=3 - model.x[2], sense=pyo.maximize)
    compiled = solvers.compile_model(model)
    assert compiled.maximize
    assert compiled.constant == 3
    assert (compiled.num_columns, compiled.num_rows) == (3, 2)
    x1, x2, b = compiled.columns([model.x[1], model.x[2], model.b])
    assert compiled.column("x[2]") == x2
    row, equation = compiled.rows([model.r, model.e])
    dense = compiled.matrix.toarray()
    assert dense[row, [x1, x2, b]].tolist() == [1, 2, 0]
    assert (compiled.row_lower[row], compiled.row_upper[row]) == (0, 4)
    assert compiled.row_lower[equation] == compiled.row_upper[equation] == 0
    assert compiled.objective[[x1, x2, b]].tolist() == [0, -1, 0]
    assert compiled.integer[[x1, x2, b]].tolist() == [False, False, True]
    assert compiled.row_names[row] == "r"
    with pytest.raises(KeyError):
        compiled.column("nothing")


def test_duals_of_a_linear_program_prove_its_optimum() -> None:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(0, None))
    model.r = pyo.ConstraintList()
    model.r.add(model.x[0] + 2 * model.x[1] <= 4)
    model.r.add(3 * model.x[0] + model.x[1] <= 6)
    model.o = pyo.Objective(expr=model.x[0] + model.x[1], sense=pyo.maximize)
    result = solvers.solve(model, "highs")
    assert result.duals is not None
    assert result.duals @ [4, 6] == pytest.approx(result.objective) == pytest.approx(2.8)
    assert min(result.duals) > 0

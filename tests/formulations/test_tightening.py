"""Bounds by linear programs, against other linear programs and against all whole points."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import product
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_array

import solvers
from bnnopt.formulations.tightening import ProgramBudget, linear_ranges


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_ranges_are_those_of_the_relaxation_rounded_to_whole_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, limits = rng.integers(-2, 3, (4, 5)), rng.integers(0, 4, 4)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(5), domain=pyo.Binary)
    model.rows = pyo.ConstraintList()
    for row, limit in zip(matrix.tolist(), limits.tolist(), strict=True):
        if any(row):
            model.rows.add(sum(a * x for a, x in zip(row, model.x.values(), strict=True)) <= limit)
    model.obj = pyo.Objective(expr=model.x[0])
    chosen = [model.x[i] for i in (3, 0, 1)]
    coefficients = rng.integers(-3, 4, (3, 3)).astype(float)
    rows = csr_array(coefficients)
    lower, upper = linear_ranges(model, chosen, rows, ProgramBudget())
    points = np.array(list(product((0, 1), repeat=5)))
    points = points[(points @ matrix.T <= limits).all(axis=1)]
    for row, low, high in zip(coefficients, lower, upper, strict=True):
        cost = np.zeros(5)
        cost[[3, 0, 1]] = row
        ends = [
            sign * linprog(sign * cost, A_ub=matrix, b_ub=limits, bounds=[(0, 1)] * 5).fun
            for sign in (1, -1)
        ]
        assert low == np.ceil(ends[0] - 1e-4)
        assert high == np.floor(ends[1] + 1e-4)
        assert low <= (points @ cost).min()
        assert high >= (points @ cost).max()
    least = np.minimum(coefficients, 0.0).sum(axis=1).tolist()
    most = np.maximum(coefficients, 0.0).sum(axis=1).tolist()
    for spent in (ProgramBudget(seconds=0.0), ProgramBudget(programs=0)):
        low, high = linear_ranges(model, chosen, rows, spent)
        assert (low.tolist(), high.tolist()) == (least, most)
    # Three programs: both sides of the first, one of the second.
    low, high = linear_ranges(model, chosen, rows, ProgramBudget(programs=3))
    assert low.tolist() == [lower[0], *least[1:]]
    assert high.tolist() == [upper[0], upper[1], most[2]]


def test_a_budget_of_programs_is_spent_after_so_many_or_so_long() -> None:
    budget = ProgramBudget(programs=2)
    assert not budget.is_spent
    assert budget.take().time_limit is None
    assert not budget.is_spent
    budget.take()
    assert budget.is_spent
    assert not ProgramBudget().is_spent
    assert ProgramBudget(seconds=0.0).is_spent
    limit = ProgramBudget(seconds=50.0).take().time_limit
    assert limit is not None
    assert 0.0 < limit <= 50.0


@pytest.mark.parametrize(("off", "most"), [(2e-5, 2.0), (-2e-5, 2.0), (-3e-4, 1.0)])
def test_an_optimum_a_little_below_a_whole_number_counts_as_it(off: float, most: float) -> None:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(3), domain=pyo.Binary)
    model.row = pyo.Constraint(expr=sum(model.x.values()) <= 2.0 + off)
    model.back = pyo.Constraint(expr=sum(model.x.values()) >= 1.0 - off)
    lower, upper = linear_ranges(
        model, model.x.values(), csr_array(np.ones((1, 3))), ProgramBudget()
    )
    assert upper.tolist() == [most]
    assert lower.tolist() == [3.0 - most]


@pytest.mark.parametrize(
    ("termination", "bound"),
    [("time_limit", 0.0), ("error", None), ("infeasible", None), ("optimal", None)],
)
def test_a_program_that_was_not_solved_says_nothing(termination: str, bound: float | None) -> None:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), domain=pyo.Binary)
    model.row = pyo.Constraint(expr=model.x[0] + model.x[1] <= 1)

    class Stopped:
        def session(self, _: Any) -> Any:
            return nullcontext(self)

        def set_objective(self, _: Any) -> None:
            pass

        def solve(self, _: Any) -> Any:
            return solvers.SolveResult(solvers.Termination(termination), bound=bound)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solvers, "get", lambda _: Stopped())
        lower, upper = linear_ranges(
            model, model.x.values(), csr_array([[1.0, -1.0]]), ProgramBudget()
        )
    assert (lower.tolist(), upper.tolist()) == ([-1.0], [1.0])

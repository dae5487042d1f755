"""Small Pyomo models whose optimum is known, for the conformance suite."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pyomo.environ as pyo


@dataclass
class Known:
    """A model, and what solving it must give."""

    model: Any
    termination: str
    objective: float | None = None


def knapsack(items: int = 12, rows: int = 4, seed: int = 0, maximise: bool = True) -> Any:
    """A multi-dimensional knapsack; hard to prove from about 100 items on."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 100, (rows, items)).tolist()
    values = rng.integers(1, 100, items).tolist()
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(items), domain=pyo.Binary)
    model.fits = pyo.Constraint(
        range(rows),
        rule=lambda m, i: sum(weights[i][j] * m.x[j] for j in range(items)) <= sum(weights[i]) // 3,
    )
    worth = sum(values[j] * model.x[j] for j in range(items))
    model.worth = pyo.Objective(
        expr=worth if maximise else -worth,
        sense=pyo.maximize if maximise else pyo.minimize,
    )
    return model


def random_milp(seed: int) -> tuple[Any, float | None]:
    """A random MILP over a few integers and one continuous variable, and its optimum.

    The optimum comes from enumeration of the integers; None if it is infeasible.
    """
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 5)), int(rng.integers(0, 5))
    low, high = rng.integers(-3, 1, n), rng.integers(0, 4, n)
    matrix = rng.integers(-4, 5, (m, n))
    slope = rng.integers(-3, 4, m)
    centre = rng.integers(-5, 6, m).astype(float)
    kind = rng.integers(0, 4, m)
    lower = np.where((kind == 0) | (kind == 2), centre - 2, -np.inf)
    upper = np.where((kind == 1) | (kind == 2), centre + 2, np.inf)
    lower[kind == 3] = upper[kind == 3] = centre[kind == 3]
    cost, y_cost, constant = rng.integers(-5, 6, n), float(rng.integers(-3, 4)), 0.5 * seed
    maximise = bool(rng.integers(0, 2))
    model = pyo.ConcreteModel()
    model.x = pyo.Var(
        range(n), domain=pyo.Integers, bounds=lambda _, j: (int(low[j]), int(high[j]))
    )
    model.y = pyo.Var(bounds=(-1.5, 2.5))
    model.rows = pyo.ConstraintList()
    for i in range(m):
        body = sum(int(matrix[i, j]) * model.x[j] for j in range(n)) + int(slope[i]) * model.y
        if not np.any(matrix[i]) and slope[i] == 0:
            continue
        if lower[i] == upper[i]:
            model.rows.add(body == lower[i])
        else:
            model.rows.add(
                (
                    lower[i] if np.isfinite(lower[i]) else None,
                    body,
                    upper[i] if np.isfinite(upper[i]) else None,
                )
            )
    value = sum(int(cost[j]) * model.x[j] for j in range(n)) + y_cost * model.y + constant
    model.value = pyo.Objective(expr=value, sense=pyo.maximize if maximise else pyo.minimize)
    sign = -1.0 if maximise else 1.0
    best = np.inf
    for x in product(*(range(a, b + 1) for a, b in zip(low, high, strict=True))):
        span = _interval(matrix @ np.array(x), slope, lower, upper)
        if span is not None:
            best = min(
                best, *(sign * (float(cost @ np.array(x)) + y_cost * y + constant) for y in span)
            )
    return model, None if best == np.inf else sign * best


def _interval(
    activity: np.ndarray, slope: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> tuple[float, float] | None:
    """The range of y that the rows leave, given the integers' part of them."""
    low, high = -1.5, 2.5
    for a, s, lo, up in zip(activity, slope, lower, upper, strict=True):
        if s == 0:
            if not lo - 1e-9 <= a <= up + 1e-9:
                return None
            continue
        ends = sorted(((lo - a) / s, (up - a) / s))
        low, high = max(low, ends[0]), min(high, ends[1])
    return (low, high) if low <= high + 1e-9 else None


def _free() -> Known:
    model = pyo.ConcreteModel()
    model.x, model.y = pyo.Var(), pyo.Var()
    model.a = pyo.Constraint(expr=model.x + model.y >= -3)
    model.b = pyo.Constraint(expr=model.x - model.y == 1)
    model.o = pyo.Objective(expr=2 * model.x + model.y)
    return Known(model, "optimal", -4.0)


def _range() -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(domain=pyo.Integers, bounds=(-9, 9))
    model.y = pyo.Var(bounds=(0, 0.5))
    model.r = pyo.Constraint(expr=(-2.5, model.x + model.y, 1.25))
    model.o = pyo.Objective(expr=model.x, sense=pyo.minimize)
    return Known(model, "optimal", -3.0)


def _fixed() -> Known:
    model = pyo.ConcreteModel()
    model.x, model.y = pyo.Var(bounds=(0, 10)), pyo.Var(bounds=(2, 2))
    model.z = pyo.Var(domain=pyo.Binary)
    model.x.fix(4)
    model.r = pyo.Constraint(expr=model.x + model.y + 3 * model.z <= 8)
    model.o = pyo.Objective(expr=model.x + model.y + model.z, sense=pyo.maximize)
    return Known(model, "optimal", 6.0)


def _no_objective() -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(domain=pyo.Integers, bounds=(1, 5))
    model.r = pyo.Constraint(expr=2 * model.x == 6)
    return Known(model, "optimal", 0.0)


def _constant_objective() -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(domain=pyo.Integers, bounds=(1, 5))
    model.r = pyo.Constraint(expr=2 * model.x >= 3)
    model.o = pyo.Objective(expr=7.5 + 0 * model.x, sense=pyo.maximize)
    return Known(model, "optimal", 7.5)


def _no_rows(sense: Any, optimum: float) -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(3), domain=pyo.Integers, bounds=(-2, 4))
    model.o = pyo.Objective(expr=1 + model.x[0] - 2 * model.x[1] + 0.5 * model.x[2], sense=sense)
    return Known(model, "optimal", optimum)


def _no_variables() -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.x.fix(1)
    model.o = pyo.Objective(expr=3 * model.x)
    return Known(model, "optimal", 3.0)


def _unused_variable() -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(domain=pyo.Integers, bounds=(0, 3))
    model.idle = pyo.Var(domain=pyo.Integers, bounds=(5, 6))
    model.o = pyo.Objective(expr=model.x, sense=pyo.maximize)
    return Known(model, "optimal", 3.0)


def _infeasible_linear() -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.y = pyo.Var(bounds=(0, 1))
    model.r = pyo.Constraint(expr=model.x + model.y >= 3)
    model.o = pyo.Objective(expr=model.x)
    return Known(model, "infeasible")


def _infeasible_integer() -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(4), domain=pyo.Binary)
    model.r = pyo.Constraint(expr=2 * sum(model.x[i] for i in range(4)) == 5)
    model.o = pyo.Objective(expr=model.x[0])
    return Known(model, "infeasible")


def _trivially_infeasible() -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.x.fix(0)
    model.r = pyo.Constraint(expr=model.x >= 1)
    model.o = pyo.Objective(expr=model.x)
    return Known(model, "infeasible")


def _crossed_bounds() -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(domain=pyo.Integers, bounds=(0.2, 0.8))
    model.o = pyo.Objective(expr=model.x)
    return Known(model, "infeasible")


def _unbounded(integer: bool, sense: Any) -> Known:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(domain=pyo.Integers if integer else pyo.Reals)
    model.y = pyo.Var(domain=pyo.NonNegativeReals)
    model.r = pyo.Constraint(expr=model.x - model.y <= 2)
    model.o = pyo.Objective(expr=model.x if sense == pyo.maximize else -model.x, sense=sense)
    return Known(model, "unbounded")


def _infeasible_though_unbounded_relaxed() -> Known:
    """The relaxation is unbounded, the integers are infeasible."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(domain=pyo.Integers, bounds=(0, 1))
    model.y = pyo.Var(domain=pyo.NonNegativeReals)
    model.r = pyo.Constraint(expr=2 * model.x == 1)
    model.o = pyo.Objective(expr=model.y, sense=pyo.maximize)
    return Known(model, "infeasible")


def _big_m() -> Known:
    """A switch with a big constant: x may be positive only if z is on, which costs 1."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1e5))
    model.z = pyo.Var(range(3), domain=pyo.Binary)
    model.s = pyo.Constraint(range(3), rule=lambda m, i: m.x <= 1e5 * m.z[i] + 10 * i)
    model.r = pyo.Constraint(expr=model.x >= 15)
    model.o = pyo.Objective(expr=sum(model.z[i] for i in range(3)) + 1e-3 * model.x)
    return Known(model, "optimal", 2.015)


def _odd_names() -> Known:
    model = pyo.ConcreteModel(name="mödel with 'quotes' and spaces")
    names = ["a b", "c,d", "e:f", "'g'", "h\ti", "ü€", "1", "MARKER", "<=", "x" * 300]
    model.x = pyo.Var(names, domain=pyo.Binary)
    model.r = pyo.Constraint(names, rule=lambda m, n: m.x[n] <= (0 if n in ("c,d", "ü€") else 1))
    model.o = pyo.Objective(expr=sum(model.x.values()), sense=pyo.maximize)
    return Known(model, "optimal", 8.0)


KNOWN = {
    "free variables and an equation": _free,
    "a range": _range,
    "fixed variables": _fixed,
    "no objective": _no_objective,
    "a constant objective": _constant_objective,
    "no rows, minimised": lambda: _no_rows(pyo.minimize, -10.0),
    "no rows, maximised": lambda: _no_rows(pyo.maximize, 11.0),
    "no variables": _no_variables,
    "an unused variable": _unused_variable,
    "an infeasible linear program": _infeasible_linear,
    "an infeasible integer program": _infeasible_integer,
    "a trivially infeasible model": _trivially_infeasible,
    "bounds without an integer between": _crossed_bounds,
    "unbounded, minimised": lambda: _unbounded(False, pyo.minimize),
    "unbounded, maximised": lambda: _unbounded(False, pyo.maximize),
    "unbounded, integer": lambda: _unbounded(True, pyo.maximize),
    "infeasible with an unbounded relaxation": _infeasible_though_unbounded_relaxed,
    "a big constant": _big_m,
    "odd names": _odd_names,
}

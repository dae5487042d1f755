"""Goals and budgets as pieces of a model: each adds its own variables and rows.

They need ``p``, the perturbation in levels, and ``margin`` in units of
`bnnopt.margins.Margins.unit`, whichever formulation has them. Distances are in [0, 1] units in
expressions, in levels in variables.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from bnnopt.goal import Stage
from bnnopt.instance import AttackInstance

__all__ = ["add_budgets", "demand_flip", "hold_stage", "set_stage"]

TOLERANCE = 1e-6
"""Relative slack when a first stage is held for the second, above the solvers' tolerances."""


def add_budgets(model: Any, instance: AttackInstance) -> None:
    """State the instance's limits on changed pixels (L0) and on the sum of changes (L1).

    Parameters
    ----------
    model : pyomo ConcreteModel
        With variables ``p``.
    instance : AttackInstance
        Whose `max_pixels` and `max_l1` are stated.
    """
    if instance.max_pixels is not None:
        model.max_pixels = pyo.Constraint(
            expr=_distance(model, instance, "l0") <= instance.max_pixels
        )
    if instance.max_l1 is not None:
        most = instance.l1_levels / instance.network.levels
        model.max_l1 = pyo.Constraint(expr=_distance(model, instance, "l1") <= most)


def demand_flip(model: Any, instance: AttackInstance) -> None:
    """Only points at which the target that counts has the margin of its smallest flip.

    Where margins have no lattice, a closed model cannot say "above 0", and has 0 as well.

    Parameters
    ----------
    model : pyomo ConcreteModel
        With an expression ``margin``.
    instance : AttackInstance
        Whose targets and rule of ties say what a flip is.
    """
    margins = instance.of_margins
    least = {c: margins.least_flip(c) / margins.unit for c in instance.targets}
    if model.component("t") is None:
        (needed,) = (least[c] for c in model.reaching_targets)
    else:
        needed = pyo.quicksum(least[c] * model.t[c] for c in model.t)
    model.flip = pyo.Constraint(expr=model.margin >= needed)


def set_stage(model: Any, instance: AttackInstance, stage: Stage | None) -> None:
    """Make a stage the model's objective; none makes it a question of feasibility.

    Parameters
    ----------
    model : pyomo ConcreteModel
        Its objective is replaced.
    instance : AttackInstance
        Whose distances are meant.
    stage : Stage or None
        Of its goal.
    """
    if model.component("objective") is not None:
        model.del_component("objective")
    if stage is None:
        model.objective = pyo.Objective(expr=0.0, sense=pyo.maximize)
        return
    paid = pyo.quicksum(
        weight * _distance(model, instance, name) for name, weight in stage.distances.items()
    )
    if stage.is_maximised:
        # A stage with a margin is in its unit too, distances and all.
        expression = model.margin if stage.margin == 1.0 else stage.margin * model.margin
        if stage.distances:
            expression = expression - paid / instance.of_margins.unit
        model.objective = pyo.Objective(expr=expression, sense=pyo.maximize)
    else:
        model.objective = pyo.Objective(expr=paid, sense=pyo.minimize)


def hold_stage(model: Any, stage: Stage, value: float) -> None:
    """Keep the value that a stage has reached, for the next one.

    Parameters
    ----------
    model : pyomo ConcreteModel
        Its objective is still that stage.
    stage : Stage
        The one that was solved.
    value : float
        What was reached, in the objective's unit.
    """
    slack = TOLERANCE * max(1.0, abs(value))
    expression = model.objective.expr
    if stage.is_maximised:
        model.held = pyo.Constraint(expr=expression >= value - slack)
    else:
        model.held = pyo.Constraint(expr=expression <= value + slack)


def _distance(model: Any, instance: AttackInstance, name: str) -> Any:
    """The expression of a distance; its variables are added when it is first asked for."""
    add = {"linf": _add_largest, "l1": _add_moved, "l0": _add_changed}[name]
    if model.component(name) is None:
        model.add_component(name, pyo.Expression(expr=add(model, instance)))
    return model.component(name)


def _add_largest(model: Any, instance: AttackInstance) -> Any:
    levels = float(instance.network.levels)
    most = max((max(p.ub, -p.lb) for p in model.p.values()), default=0.0)
    model.largest = pyo.Var(bounds=(0.0, most), doc="largest change, in levels")
    index = list(model.p)
    model.largest_rise = pyo.Constraint(index, rule=lambda m, i: m.p[i] <= m.largest)
    model.largest_fall = pyo.Constraint(index, rule=lambda m, i: -m.p[i] <= m.largest)
    return model.largest / levels


def _add_moved(model: Any, instance: AttackInstance) -> Any:
    levels, index = float(instance.network.levels), list(model.p)
    model.moved = pyo.Var(
        index,
        bounds=lambda m, i: (0.0, max(m.p[i].ub, -m.p[i].lb)),
        doc="size of a change, in levels",
    )
    model.moved_rise = pyo.Constraint(index, rule=lambda m, i: m.p[i] <= m.moved[i])
    model.moved_fall = pyo.Constraint(index, rule=lambda m, i: -m.p[i] <= m.moved[i])
    return pyo.quicksum(model.moved.values()) / levels


def _add_changed(model: Any, instance: AttackInstance) -> Any:
    index = list(model.p)
    model.changed = pyo.Var(index, domain=pyo.Binary, doc="whether a pixel changes")
    model.changed_rise = pyo.Constraint(index, rule=lambda m, i: m.p[i] <= m.p[i].ub * m.changed[i])
    model.changed_fall = pyo.Constraint(index, rule=lambda m, i: m.p[i] >= m.p[i].lb * m.changed[i])
    return pyo.quicksum(model.changed.values())

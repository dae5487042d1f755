"""The objective (1) as an expression of a model: the margin of one target, or of the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

__all__ = ["Margin", "add_margin"]


@dataclass(frozen=True)
class Margin:
    """The margin of one target: a linear expression, and bounds on it."""

    expression: Any
    lower: float
    upper: float


def add_margin(model: Any, margins: dict[int, Margin]) -> None:
    """Set ``model.margin``, in its unit; of several targets, a binary selects what counts.

    ``model.m`` is then at most the margin of the selected target, whatever it is for the others.
    """
    # One that is below another wherever a point lies is never the best.
    floor = max(margin.lower for margin in margins.values())
    margins = {c: margin for c, margin in margins.items() if margin.upper >= floor}
    model.reaching_targets = list(margins)
    if len(margins) == 1:
        (margin,) = margins.values()
        model.margin = pyo.Expression(expr=margin.expression)
        model.largest_margin = margin.upper
        return
    smallest = min(margin.lower for margin in margins.values())
    largest = max(margin.upper for margin in margins.values())
    model.m = pyo.Var(bounds=(smallest, largest))
    model.t = pyo.Var(list(margins), domain=pyo.Binary)
    model.one_target = pyo.Constraint(expr=pyo.quicksum(model.t.values()) == 1)
    model.selected = pyo.Constraint(
        list(margins),
        rule=lambda m, c: (
            m.m <= margins[c].expression + (largest - margins[c].lower) * (1 - m.t[c])
        ),
    )
    model.margin = pyo.Expression(expr=model.m)
    model.largest_margin = largest

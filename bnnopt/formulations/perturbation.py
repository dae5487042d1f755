"""Problem (10) of the paper: a perturbation that meets most targets of the first layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from bnnopt.formulations.goals import add_budgets
from bnnopt.instance import AttackInstance

__all__ = ["perturbation_model"]

DEPTH = 1e-3
"""Levels below its threshold at which a neuron counts as off in the continuous domain; more than
the rounding of levels to the grid can move a sum of a thousand pixels."""


def perturbation_model(instance: AttackInstance, target: npt.NDArray[np.int8]) -> Any:
    """State (10): maximise the number of first-layer targets that are met within the budget.

    Parameters
    ----------
    instance : AttackInstance
    target : array of int8, shape (width,)
        +1 or -1; 0 where anything will do.

    Returns
    -------
    pyomo ConcreteModel
        ``p[i]``, the perturbation in levels (whole ones in the pixel domain), and binary
        ``met[j]`` for each j with a target, 1 only if it is met.
    """
    layer, image = instance.network.hidden[0], instance.levels
    low, high = instance.point_box
    low, high = low - image, high - image
    is_whole = instance.domain == "pixels"
    model = pyo.ConcreteModel(name="perturbation")
    model.p = pyo.Var(
        range(instance.network.num_inputs),
        domain=pyo.Integers if is_whole else pyo.Reals,
        bounds=lambda _, i: (low[i], high[i]),
    )
    model.met = pyo.Var(np.flatnonzero(target).tolist(), domain=pyo.Binary)
    model.reach = pyo.ConstraintList()
    pixels = list(model.p.values())
    off = 1.0 if is_whole else DEPTH
    for j, met in model.met.items():
        sign = float(target[j])
        weight = sign * layer.weight[j].astype(np.float64)
        needed = sign * (float(layer.threshold[j]) - layer.weight[j] @ image)
        needed += 0.0 if sign > 0 else off
        # weight @ p >= needed if met, and at least its minimum over the box if not.
        least = float(np.where(weight > 0, low, -high).sum())
        terms = LinearExpression(
            linear_vars=[*pixels, met],
            linear_coefs=[*weight.tolist(), -max(float(needed) - least, 0.0)],
        )
        model.reach.add(terms >= least)
    add_budgets(model, instance)
    model.score = pyo.Objective(expr=pyo.quicksum(model.met.values()), sense=pyo.maximize)
    return model

"""Problem (10) of the paper: a perturbation that meets most targets of the first layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from scipy.sparse import csr_array

from bnnopt.formulations.goals import add_budgets
from bnnopt.formulations.rows import divided, row_factors, vector, weighted_sum
from bnnopt.instance import AttackInstance
from bnnopt.network import GRID

__all__ = ["perturbation_model"]

FloatArray = npt.NDArray[np.float64]

DEPTH = 1e-3
"""Levels below its threshold at which a neuron counts as off in the continuous domain, at least."""


def perturbation_model(instance: AttackInstance, target: npt.NDArray[np.int8]) -> Any:
    """State (10): maximise the number of first-layer targets that are met within the budget.

    Parameters
    ----------
    instance : AttackInstance
        Whose budget and first layer count.
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
    neurons = np.flatnonzero(target)
    model.met = pyo.Var(neurons.tolist(), domain=pyo.Binary)
    model.reach = pyo.ConstraintList()
    pixels, sign = vector(model.p.values()), target[neurons].astype(np.float64)
    rows = divided(layer.rows(neurons), sign)
    needed = sign * layer.threshold[neurons] - rows @ image
    needed[sign < 0] += _depths(rows, is_whole)[sign < 0]
    factor = row_factors(rows, is_whole=is_whole)
    rows, needed = divided(rows, factor), needed / factor
    if is_whole:
        needed = np.ceil(needed)
    # rows @ p >= needed if met, and at least their minimum over the box if not.
    least = rows @ ((low + high) / 2.0) - abs(rows) @ ((high - low) / 2.0)
    for row, met in enumerate(model.met.values()):
        others = [(met, -max(needed[row] - least[row], 0.0))]
        terms = weighted_sum(rows, row, pixels, others)
        if terms.linear_vars:
            model.reach.add(terms >= least[row])
    add_budgets(model, instance)
    model.score = pyo.Objective(expr=pyo.quicksum(model.met.values()), sense=pyo.maximize)
    return model


def _depths(rows: csr_array, is_whole: bool) -> FloatArray:
    """How far below its threshold a sum is off: more than rounding to the grid can move it."""
    if is_whole:
        return np.ones(rows.shape[0])
    return np.asarray(np.maximum(DEPTH, abs(rows).sum(axis=1) / GRID))

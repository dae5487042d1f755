"""Problem (9) of the paper: inputs of a layer that meet as many of its targets as possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from bnnopt.network import HiddenLayer

__all__ = ["target_model"]


def target_model(
    layer: HiddenLayer, target: npt.NDArray[np.int8], incumbent: npt.NDArray[np.int8]
) -> Any:
    """State (9) for one layer beyond the first.

    Maximises the number of met targets; among equals, the inputs nearest to the incumbent's in
    L0 distance (section 4.4). A target counts ``width + 1``, so that all distances together never
    outweigh one. Rows are one-sided, since a target only ever rewards; sums are two apart, so a
    neuron is off iff its sum is at most threshold - 2.

    Parameters
    ----------
    layer : HiddenLayer
        Its inputs are ±1.
    target : array of int8, shape (out,)
        +1 or -1; 0 where anything will do.
    incumbent : array of int8, shape (in,)
        The present activations, ±1.

    Returns
    -------
    pyomo ConcreteModel
        Binary ``h[i]`` (1 for +1) and ``met[j]`` for each j with a target.
    """
    width = len(incumbent)
    model = pyo.ConcreteModel(name="target")
    model.h = pyo.Var(range(width), domain=pyo.Binary)
    wanted = np.flatnonzero(target).tolist()
    model.met = pyo.Var(wanted, domain=pyo.Binary)
    model.reach = pyo.ConstraintList()
    inputs = list(model.h.values())
    for j in wanted:
        sign = float(target[j])
        weight = sign * layer.weight[j].astype(np.float64)
        needed = sign * float(layer.threshold[j]) + (0.0 if sign > 0 else 2.0)
        # weight @ (2 h - 1) >= needed if met, and >= -width, which always holds, if not.
        slack = max(needed + width, 0.0)
        terms = LinearExpression(
            constant=-float(weight.sum()) - needed + slack,
            linear_vars=[*inputs, model.met[j]],
            linear_coefs=[*(2.0 * weight).tolist(), -slack],
        )
        model.reach.add(terms >= 0)
    on = incumbent > 0
    distance = LinearExpression(
        constant=float(on.sum()),
        linear_vars=inputs,
        linear_coefs=np.where(on, -1.0, 1.0).tolist(),
    )
    model.score = pyo.Objective(
        expr=(width + 1) * pyo.quicksum(model.met.values()) - distance, sense=pyo.maximize
    )
    return model

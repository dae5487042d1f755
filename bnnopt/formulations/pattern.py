"""The point of a sign pattern: as far from every first-layer threshold as the box allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from bnnopt.instance import AttackInstance

__all__ = ["slack_model"]


def slack_model(instance: AttackInstance, signs: npt.NDArray[np.int8]) -> Any:
    """A linear program that maximises the smallest slack of a first-layer sign pattern.

    ``signs[j] * (weight[j] @ z - threshold[j]) >= slack`` for every unstable neuron j, with the
    levels z in the instance's `point_box`. A positive optimum is a point strictly inside the
    pattern, which every arithmetic decides alike (design of exactness: docs/mathematics.md).

    Parameters
    ----------
    instance : AttackInstance
    signs : array of int8, shape (width of layer 1,)
        +1 or -1; 0 where the pattern says nothing.

    Returns
    -------
    pyomo ConcreteModel
        Variables ``z[i]``, i from 0, and ``slack``.
    """
    layer = instance.network.hidden[0]
    low, high = instance.point_box
    model = pyo.ConcreteModel(name="pattern")
    model.z = pyo.Var(range(instance.network.num_inputs), bounds=lambda _, i: (low[i], high[i]))
    # A slack beyond half a level adds nothing, and a bounded one keeps the program bounded.
    model.slack = pyo.Var(bounds=(None, 0.5))
    model.signs = pyo.ConstraintList()
    levels = list(model.z.values())
    for j in np.flatnonzero(signs).tolist():
        sign = float(signs[j])
        terms = LinearExpression(
            constant=-sign * float(layer.threshold[j]),
            linear_vars=[*levels, model.slack],
            linear_coefs=[*(sign * layer.weight[j].astype(np.float64)).tolist(), -1.0],
        )
        model.signs.add(terms >= 0)
    model.largest_slack = pyo.Objective(expr=model.slack, sense=pyo.maximize)
    return model

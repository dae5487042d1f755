"""Problem (9) of the paper: inputs of a layer that meet as many of its targets as possible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from bnnopt.formulations.rows import reach, vector, weighted_sum
from bnnopt.network import HiddenLayer

__all__ = ["open_target_model", "target_model"]

SignArray = npt.NDArray[np.int8]


def target_model(layer: HiddenLayer, target: SignArray, incumbent: SignArray) -> Any:
    """State (9) for one layer beyond the first.

    Maximises the number of met targets; among equals, the inputs nearest to the incumbent's in
    L0 distance (section 4.4). A target counts ``width + 1``, so that all distances together never
    outweigh one.

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
        As `open_target_model`'s, with the tie-break in its objective.
    """
    width = len(incumbent)
    wanted = [(j, int(target[j])) for j in np.flatnonzero(target).tolist()]
    model = open_target_model(layer, np.zeros(width, dtype=np.int8), wanted)
    on = incumbent > 0
    distance = LinearExpression(
        constant=float(on.sum()),
        linear_vars=list(model.h.values()),
        linear_coefs=np.where(on, -1.0, 1.0).tolist(),
    )
    model.score.set_value((width + 1) * pyo.quicksum(model.met.values()) - distance)
    return model


def open_target_model(
    layer: HiddenLayer, inputs: SignArray, sides: Iterable[tuple[int, int]], number: int = 1
) -> Any:
    """(9) for any target among some sides; its objective counts all of them.

    Rows are one-sided, since a target only ever rewards. Sums have one parity: with the inputs as
    0 or 1, ``weight @ (2 h - 1) >= threshold`` is ``weight @ h >= needed`` for a whole number
    `needed`, and a neuron is off iff the activity is at most ``needed - 1``.

    Parameters
    ----------
    layer : HiddenLayer
        Its inputs are ±1.
    inputs : array of int8, shape (in,)
        +1 or -1 for an input that cannot change; 0 for a variable.
    sides : iterable of (int, int)
        (j, sign): that neuron j of the layer is +1 or -1 can be asked for.
    number : int
        Of the layer that the inputs are the activations of, from 1.

    Returns
    -------
    pyomo ConcreteModel
        Binary ``h[number, i]`` (1 for +1), and ``met[j, sign]``, 1 only if neuron j has that
        sign; no rows in ``conflicts`` yet.
    """
    free = np.flatnonzero(inputs == 0)
    model = pyo.ConcreteModel(name="target")
    model.h = pyo.Var([(number, i) for i in free.tolist()], domain=pyo.Binary)
    model.met = pyo.Var(list(sides), domain=pyo.Binary)
    model.reach = pyo.ConstraintList()
    weights = layer.columns(free)
    base = layer.pre_activation(inputs[None].astype(np.float64))[0] - weights.sum(axis=1)
    needed = np.ceil((layer.threshold - base) / 2.0)
    lower, upper = reach(weights)
    variables = vector(model.h.values())
    for (j, sign), met in model.met.items():
        # activity >= lower and activity <= upper, which always hold, where the target is not met.
        slack = needed[j] - lower[j] if sign > 0 else upper[j] - (needed[j] - 1.0)
        limit = lower[j] if sign > 0 else upper[j]
        terms = weighted_sum(weights, j, variables, [(met, -sign * max(slack, 0.0))])
        if terms.linear_vars:
            model.reach.add(terms >= limit if sign > 0 else terms <= limit)
    model.conflicts = pyo.ConstraintList(doc="flips that no point of the box has together")
    model.score = pyo.Objective(expr=pyo.quicksum(model.met.values()), sense=pyo.maximize)
    return model

"""The points of a sign pattern: as far from every first-layer threshold as the box allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from bnnopt.instance import AttackInstance

__all__ = ["pattern_model"]

FloatArray = npt.NDArray[np.float64]

SLACK = 0.5
"""Levels; a slack beyond half a level adds nothing in the continuous domain."""


def pattern_model(
    instance: AttackInstance,
    neurons: npt.NDArray[np.int64],
    *,
    box: tuple[FloatArray, FloatArray] | None = None,
    max_l1: float = np.inf,
    whole: bool = False,
) -> Any:
    """A linear program that maximises the smallest slack over the rows of a sign pattern.

    Row ``side[j, 1]`` says ``weight[j] @ z - slack >= threshold[j]`` (neuron j is on), and
    ``side[j, -1]`` says ``-weight[j] @ z - slack >= -threshold[j]`` (off; a level lower in the
    pixel domain, where that is exact). Whoever solves it relaxes the rows that a pattern does
    not want. A positive optimum is a point strictly inside the pattern, which every arithmetic
    decides alike; a negative one says that the pattern has no point (docs/mathematics.md).

    Parameters
    ----------
    instance : AttackInstance
    neurons : array of int64
        First-layer neurons with rows.
    box : pair of arrays, shape (n,), optional
        Bounds on the levels z; the instance's `point_box` if not given.
    max_l1 : float
        Largest sum of changes, in levels.
    whole : bool
        Whether z takes whole levels only, which makes it a MILP.

    Returns
    -------
    pyomo ConcreteModel
        Variables ``z[i]``, i from 0, and ``slack``.
    """
    layer = instance.network.hidden[0]
    low, high = instance.point_box if box is None else box
    model = pyo.ConcreteModel(name="pattern")
    pixels = range(instance.network.num_inputs)
    model.z = pyo.Var(
        pixels,
        domain=pyo.Integers if whole else pyo.Reals,
        bounds=lambda _, i: (low[i], high[i]),
    )
    pixels_only = instance.domain == "pixels"
    # Deep points survive the rounding of their few fractional pixels; whole ones need no depth.
    depth = 0.0 if whole else SLACK * (len(neurons) if pixels_only else 1.0)
    model.slack = pyo.Var(bounds=(None, depth))
    levels = list(model.z.values())
    index = neurons.tolist()
    # Both sides of a neuron share its dense row.
    model.sum = pyo.Var(index)

    def pre_activation(model: Any, j: int) -> Any:
        weight = layer.weight[j].astype(np.float64)
        terms = LinearExpression(
            linear_vars=[*levels, model.sum[j]], linear_coefs=[*weight.tolist(), -1.0]
        )
        return terms == 0.0

    def side(model: Any, j: int, sign: int) -> Any:
        threshold = float(layer.threshold[j])
        needed = threshold if sign > 0 else -threshold + float(pixels_only)
        return sign * model.sum[j] - model.slack >= needed

    model.pre_activation = pyo.Constraint(index, rule=pre_activation)
    model.side = pyo.Constraint(index, (1, -1), rule=side)
    if np.isfinite(max_l1):
        _limit_l1(model, instance.levels, max_l1)
    model.largest_slack = pyo.Objective(expr=model.slack, sense=pyo.maximize)
    return model


def _limit_l1(model: Any, image: FloatArray, max_l1: float) -> None:
    model.moved = pyo.Var(model.z.index_set(), bounds=(0.0, None))
    model.rise = pyo.Constraint(
        model.z.index_set(), rule=lambda m, i: m.moved[i] >= m.z[i] - image[i]
    )
    model.fall = pyo.Constraint(
        model.z.index_set(), rule=lambda m, i: m.moved[i] >= image[i] - m.z[i]
    )
    model.l1 = pyo.Constraint(expr=pyo.quicksum(model.moved.values()) <= max_l1)

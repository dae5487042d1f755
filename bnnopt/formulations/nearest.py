"""The point of a sign pattern that is nearest to the image, written in arrays like `pattern`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, eye_array, hstack, vstack

from bnnopt.formulations.pattern import pattern_units
from bnnopt.instance import AttackInstance
from bnnopt.network import GRID
from solvers import CompiledModel

__all__ = ["nearest_model", "nearest_point"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DEPTH = 1e-3
"""Levels, over `pattern_units`, by which a point is inside its pattern: more than what rounding to
the grid moves a sum of a thousand levels."""


def nearest_model(
    instance: AttackInstance, name: str, neurons: IntArray, signs: FloatArray
) -> CompiledModel:
    """A linear program for the least change with which first-layer neurons have these signs.

    With z the levels and x the image's, for the sum of changes (L1) it is the plain one, over how
    far each level rises and falls. For the largest change t it is stated in u = (z - x) / t and
    1 / t, which is maximised: so it needs no rows for ``|z - x| <= t``, only for levels that may
    fall or rise less far.

    Parameters
    ----------
    instance : AttackInstance
        Whose `point_box` has the point that is sought.
    name : {"linf", "l1"}
        The distance.
    neurons : array of int64, shape (k,)
        Of the first layer.
    signs : array of float, shape (k,)
        Their activations, ±1.

    Returns
    -------
    solvers.CompiledModel
        Its solution is read by `nearest_point`.
    """
    weight = csr_array(instance.network.hidden[0].rows(neurons) * signs[:, None])
    # How far the sums of the image are from where each neuron has its sign.
    threshold = signs * instance.network.hidden[0].threshold[neurons]
    lack = threshold + DEPTH * pattern_units(instance, neurons) - weight @ instance.levels
    return (
        _least_sum(instance, weight, lack)
        if name == "l1"
        else _least_change(instance, weight, lack)
    )


def nearest_point(instance: AttackInstance, name: str, values: FloatArray) -> FloatArray:
    """The levels, shape (n,), of a solution of `nearest_model`.

    Parameters
    ----------
    instance, name
        As for `nearest_model`.
    values : array of float, shape (columns,)
        Of the program's columns.
    """
    n = instance.network.num_inputs
    change = values[:n] - values[n:] if name == "l1" else values[:n] / values[n]
    return instance.levels + change


def _least_sum(instance: AttackInstance, weight: csr_array, lack: FloatArray) -> CompiledModel:
    low, high = instance.point_box
    n = len(low)
    return _program(
        matrix=csr_array(hstack([weight, -weight])),
        row_lower=lack,
        objective=-np.ones(2 * n),
        lower=np.zeros(2 * n),
        upper=np.concatenate([high - instance.levels, instance.levels - low]),
    )


def _least_change(instance: AttackInstance, weight: csr_array, lack: FloatArray) -> CompiledModel:
    low, high = instance.point_box
    n, most = len(low), instance.epsilon * instance.network.levels
    fall, rise = instance.levels - low, high - instance.levels
    # Levels that are stopped short of what is allowed, though not at once.
    falls, rises = (np.flatnonzero((way > 0) & (way < most - 2 / GRID)) for way in (fall, rise))
    unit = csr_array(eye_array(n))
    needs = hstack([weight, csr_array(-lack[:, None])])
    stops_low = hstack([unit[falls], csr_array(fall[falls, None])])
    stops_high = hstack([-unit[rises], csr_array(rise[rises, None])])
    matrix = vstack([needs, stops_low, stops_high])
    return _program(
        matrix=csr_array(matrix),
        row_lower=np.zeros(len(lack) + len(falls) + len(rises)),
        objective=np.eye(1, n + 1, n)[0],
        lower=np.append(np.where(fall > 0, -1.0, 0.0), 1.0 / most),
        upper=np.append(np.where(rise > 0, 1.0, 0.0), np.inf),
    )


def _program(
    matrix: csr_array,
    row_lower: FloatArray,
    objective: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
) -> CompiledModel:
    return CompiledModel(
        name="nearest",
        maximize=True,
        objective=objective,
        constant=0.0,
        matrix=matrix,
        row_lower=row_lower,
        row_upper=np.full(len(row_lower), np.inf),
        lower=lower,
        upper=upper,
        integer=np.zeros(len(objective), dtype=bool),
    )

r"""The paper's MILP, equations (1) to (8), on the folded network.

Everything is in levels, so weights and first-layer thresholds are whole numbers. The affine map of
batch normalization, which the paper applies to the pre-activation, is a threshold here: ``a`` is
the distance to it, in the first layer over the unit of the row's weights (`bnnopt.row_units`), and
``h = 1`` iff ``a >= 0``.

- A deeper layer's sums are integers of one parity. Its threshold T has it too
  (`HiddenLayer.canonical`), 2 beyond the last sum where the neuron is never on, and may be moved
  anywhere into (T - 2, T] without changing the network. The model takes T - 1, where ``a`` is
  never 0.
- In the pixel domain the first layer's sums are integers too, and the model takes T - 1/2.
- In the continuous domain the first layer's ``a`` can be 0, where (4) and (5) allow ``h = 0``
  though sign(0) = +1. The model then contains every point of the network and more: its bound
  is sound, while a point that uses the ambiguity must be repaired. A neuron whose sum nothing
  changes gets a lower threshold where it is on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from scipy.sparse import csr_array

from bnnopt.bounds import LayerBounds, interval_bounds
from bnnopt.formulations.margin import Margin, add_margin
from bnnopt.formulations.rows import divided, vector, weighted_sum
from bnnopt.formulations.stopping import NO_LIMITS, BuildLimits
from bnnopt.instance import AttackInstance
from bnnopt.row_units import row_units

__all__ = ["paper_model"]

FloatArray = npt.NDArray[np.float64]


def paper_model(instance: AttackInstance, limits: BuildLimits = NO_LIMITS) -> Any:
    """Build the model.

    Parameters
    ----------
    instance : AttackInstance
        What is asked.
    limits : BuildLimits
        An attack's, which building is part of; none if not given.

    Returns
    -------
    pyomo ConcreteModel
        Variables ``p[i]`` (in levels, i from 0), ``a[l, j]`` and ``h[l, j]`` (l from 1, j from
        0) with their rows ``sums[l, j]``, ``on[l, j]`` and ``off[l, j]``, and the logits
        ``a[D + 1, c]`` of the source and the targets, in units of `bnnopt.margins.Margins.unit`;
        the expression ``margin`` is (1). It has no objective yet.
    """
    network = instance.network
    model = pyo.ConcreteModel(name="attack")
    low, high = instance.box
    model.p = pyo.Var(
        range(network.num_inputs),
        domain=pyo.Integers if instance.domain == "pixels" else pyo.Reals,
        bounds=lambda _, i: (low[i] - instance.levels[i], high[i] - instance.levels[i]),
        doc="perturbation (6)",
    )
    neurons = [(l, j) for l, width in enumerate(network.widths, 1) for j in range(width)]
    layers = interval_bounds(instance)
    model.h = pyo.Var(neurons, domain=pyo.Binary, doc="activation (7)")
    classes = [instance.source, *instance.targets]
    logits = [(network.depth + 1, c) for c in classes]
    model.a = pyo.Var(neurons + logits, doc="pre-activation (8), as the distance to the threshold")
    model.sums = pyo.Constraint(pyo.Any, doc="(2) and (3)")
    for index, layer in enumerate(network.hidden):
        limits.check()
        rows = layer.rows(np.arange(layer.shape[0]))
        unit = row_units(rows) if index == 0 else np.ones(len(layer.threshold))
        threshold = _threshold(instance, index, layers[index])
        low, high = layers[index].lower - threshold, layers[index].upper - threshold
        variables = [model.a[index + 1, j] for j in range(len(threshold))]
        for a, least, most in zip(variables, low / unit, high / unit, strict=True):
            a.setlb(least)
            a.setub(most)
        sums = divided(rows, unit)
        _add_sums(model, instance, index, sums, -threshold / unit, variables, limits)
    model.on = pyo.Constraint(
        neurons, rule=lambda m, l, j: m.a[l, j] <= m.a[l, j].ub * m.h[l, j], doc="(4)"
    )
    model.off = pyo.Constraint(
        neurons, rule=lambda m, l, j: m.a[l, j] >= m.a[l, j].lb * (1 - m.h[l, j]), doc="(5)"
    )
    _add_logits(model, instance, classes, limits)
    model.layers = layers
    add_margin(model, _margins(model, instance))
    return model


def _threshold(instance: AttackInstance, index: int, bounds: LayerBounds) -> FloatArray:
    """A threshold that no sum of integers can meet; only real levels can meet the first one."""
    threshold = instance.network.hidden[index].threshold.astype(np.float64)
    if index > 0:
        return threshold - 1.0
    if instance.domain == "pixels":
        return threshold - 0.5
    is_constant = (bounds.lower == threshold) & (bounds.upper == threshold)
    return np.asarray(threshold - is_constant)


def _add_sums(
    model: Any,
    instance: AttackInstance,
    index: int,
    weight: csr_array,
    constant: FloatArray,
    variables: Sequence[Any],
    limits: BuildLimits,
) -> None:
    """(2) if `index` is 0, else (3): weight @ input + constant = variable, row by row."""
    if index == 0:
        inputs = vector(model.p.values())
        constant = constant + weight @ instance.levels
    else:
        inputs = vector(model.h[index, j] for j in range(instance.network.widths[index - 1]))
        constant = constant - weight.sum(axis=1)
        weight = 2.0 * weight
    for row, (offset, variable) in enumerate(zip(constant.tolist(), variables, strict=True)):
        limits.check()
        terms = weighted_sum(weight, row, inputs, [(variable, -1.0)], offset)
        model.sums.add(variable.index(), terms == 0)


def _add_logits(
    model: Any, instance: AttackInstance, classes: list[int], limits: BuildLimits
) -> None:
    """(3) for the output layer, of the classes that the objective needs."""
    output, depth = instance.network.output, instance.network.depth
    unit = instance.of_margins.unit
    weight = output.scale[classes, None] * output.weight[classes] / unit
    bias = output.bias[classes] / unit
    reach = np.abs(weight).sum(axis=1)
    for row, c in enumerate(classes):
        model.a[depth + 1, c].setlb(bias[row] - reach[row])
        model.a[depth + 1, c].setub(bias[row] + reach[row])
    variables = [model.a[depth + 1, c] for c in classes]
    _add_sums(model, instance, depth, csr_array(weight), bias, variables, limits)


def _margins(model: Any, instance: AttackInstance) -> dict[int, Margin]:
    """(1), of each target."""
    last = instance.network.depth + 1
    source = model.a[last, instance.source]
    logits = {c: model.a[last, c] for c in instance.targets}
    return {
        c: Margin(logit - source, logit.lb - source.ub, logit.ub - source.lb)
        for c, logit in logits.items()
    }

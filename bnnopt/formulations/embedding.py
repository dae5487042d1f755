"""A network's exact constraints in a Pyomo model of the user's own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.common.modeling import unique_component_name
from pyomo.contrib.fbbt.expression_bounds_walker import ExpressionBoundsVisitor
from pyomo.core.expr import LinearExpression

from bnnopt.bounds import LayerBounds, layer_bounds
from bnnopt.errors import InputError
from bnnopt.formulations.rows import Variables, divided, row_factors, vector
from bnnopt.formulations.stopping import NO_LIMITS
from bnnopt.formulations.tight import add_layer, add_neurons, add_sides
from bnnopt.formulations.tightening import ProgramBudget
from bnnopt.network import BinarizedNetwork

__all__ = ["embed"]

FloatArray = npt.NDArray[np.float64]


def embed(model: Any, network: BinarizedNetwork, inputs: Iterable[Any]) -> list[Any]:
    """Add a network to a Pyomo model, and get its logits to use in it.

    Parameters
    ----------
    model : pyomo ConcreteModel or Block
        Gets a block ``network`` (or ``network_1``, ... if that is taken) with the binaries
        ``h[l, j]`` of the neurons that the inputs' bounds leave open, l from 1, j from 0, and
        the rows ``on`` and ``off``.
    network : BinarizedNetwork
    inputs : iterable of pyomo variables, expressions or numbers
        The pixels, in the order of the flat image; their bounds lie in [0, 1].

    Returns
    -------
    list of pyomo expressions
        Linear, one a class.

    Raises
    ------
    InputError
        If there are too few or too many inputs, or one has no bounds within [0, 1].

    Notes
    -----
    The rows are those of the tight formulation (docs/formulations.md). Where a first-layer sum
    equals its threshold the network is on; the model allows both there, as no solver tells a
    number from its neighbours.
    """
    block = pyo.Block(concrete=True)
    model.add_component(unique_component_name(model, "network"), block)
    add_neurons(block)
    pixels, low, high = _pixels(block, network, list(inputs))
    bounds = _add_first_layer(block, network, pixels, low, high)
    for index in range(1, network.depth):
        layer = network.hidden[index]
        both = np.ones((2, layer.shape[0]), dtype=bool)
        none = ProgramBudget(programs=0)
        bounds = add_layer(block, layer, index, bounds, both, none, NO_LIMITS)
    return _logits(block, network, bounds)


def _pixels(
    block: Any, network: BinarizedNetwork, inputs: list[Any]
) -> tuple[Variables, FloatArray, FloatArray]:
    """A variable an input, and the bounds of each."""
    if len(inputs) != network.num_inputs:
        raise InputError(f"{len(inputs)} inputs for a network of {network.num_inputs} pixels")
    block.x = pyo.Var(pyo.Any, dense=False, doc="inputs that are no variables")
    block.inputs = pyo.ConstraintList(doc="what those are")
    visitor = ExpressionBoundsVisitor(use_fixed_var_values_as_bounds=True)
    variables, ends = [], []
    for number, given in enumerate(inputs):
        ends.append(_bounds(visitor, given, number))
        if getattr(given, "is_variable_type", bool)():
            variables.append(given)
            continue
        block.x.add(number)
        block.x[number].setlb(ends[-1][0])
        block.x[number].setub(ends[-1][1])
        block.inputs.add(block.x[number] == given)
        variables.append(block.x[number])
    low, high = np.array(ends).T
    return vector(variables), low, high


def _bounds(visitor: ExpressionBoundsVisitor, given: Any, number: int) -> tuple[float, float]:
    low, high = visitor.walk_expression(given)
    slack = 1e-9
    if not (-slack <= low <= high <= 1.0 + slack):
        raise InputError(f"input {number} is within [{low:g}, {high:g}]: give bounds in [0, 1]")
    return max(float(low), 0.0), min(float(high), 1.0)


def _add_first_layer(
    block: Any, network: BinarizedNetwork, pixels: Variables, low: FloatArray, high: FloatArray
) -> LayerBounds:
    """Rows ``weight @ x >= threshold / levels``, each over the unit of its weights."""
    layer, levels = network.hidden[0], float(network.levels)
    # Outward by what float64 may lose: a neuron is stable only if no input can turn it.
    low, high = np.nextafter(low * levels, -math.inf), np.nextafter(high * levels, math.inf)
    centre = layer.pre_activation((low + high)[None] / 2.0)[0]
    reach = layer.spread((high - low) / 2.0)
    slack = 2.0**-40 * layer.spread(np.full(len(low), levels)) + 2.0**-40
    bounds = layer_bounds(layer, centre - reach - slack, centre + reach + slack)
    unstable = bounds.unstable
    rows = layer.rows(unstable)
    factor = row_factors(rows, is_whole=False)
    rows, factor = divided(rows, factor), factor * levels
    lower, upper = bounds.lower[unstable] / factor, bounds.upper[unstable] / factor
    needed = layer.threshold[unstable] / factor
    for row, j in enumerate(unstable.tolist()):
        block.h.add((1, j))
        sides = (lower[row], needed[row]), (needed[row], upper[row])
        add_sides(block, pixels, rows, row, block.h[1, j], sides)
    return bounds


def _logits(block: Any, network: BinarizedNetwork, last: LayerBounds) -> list[Any]:
    """Over the open neurons of the last layer; the others are constants."""
    output, free = network.output, last.unstable
    weight = output.scale[:, None] * output.weight
    constant = output.bias + weight @ last.sign - weight[:, free].sum(axis=1)
    variables = [block.h[network.depth, j] for j in free.tolist()]
    return [
        LinearExpression(
            constant=float(constant[c]),
            linear_vars=[v for v, w in zip(variables, weight[c, free], strict=True) if w],
            linear_coefs=[2.0 * float(w) for w in weight[c, free] if w],
        )
        for c in range(network.num_classes)
    ]

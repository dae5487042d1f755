r"""A stronger MILP of the attack: no pre-activation variables, and only what can still change.

- A stable neuron is a constant, layer after layer; pixels that cannot move have no variable.
- Sums of deeper layers are whole numbers of one parity: a row says ``sum >= T`` or
  ``sum <= T - 2``. What the weights of a row have in common is divided out, unless its variables
  are continuous pixels: there a row is divided by the unit of its weights (`bnnopt.row_units`).

The rest can be switched off (`STRENGTHENINGS`):

- *one-sided*: neurons of the last hidden layer have a row in the sense only that the objective
  rewards.
- *conflicts*, *quadruples*: sets of first-layer neurons of which at most one, or three, can flip
  together (`bnnopt.flips`).
- *bounds*: linear programs over those sets bound the sums of the deeper layers,
  layer by layer (`bnnopt.formulations.tightening`).

docs/mathematics.md says why each keeps every point of the box.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression
from scipy.sparse import csr_array

from bnnopt.bounds import LayerBounds, interval_bounds, layer_bounds
from bnnopt.flips import Flips, first_layer_flips, flip_limits
from bnnopt.formulations.margin import Margin, add_margin
from bnnopt.formulations.names import STRENGTHENINGS
from bnnopt.formulations.rows import Variables, divided, reach, row_factors, vector, weighted_sum
from bnnopt.formulations.stopping import NO_LIMITS, BuildLimits
from bnnopt.formulations.tightening import ProgramBudget, linear_ranges
from bnnopt.instance import AttackInstance
from bnnopt.network import HiddenLayer

__all__ = [
    "add_layer",
    "add_neurons",
    "add_sides",
    "forbid_pattern",
    "limit_flips",
    "minimise_demand",
    "tight_model",
]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

BOUND_SECONDS, BOUND_PROGRAMS = 0.6, 400
"""Most time for all the linear programs, and most of them where time must not decide; the first
layers have the best use for it."""


def tight_model(
    instance: AttackInstance,
    strengthen: Collection[str] = STRENGTHENINGS,
    *,
    with_pixels: bool = True,
    limits: BuildLimits = NO_LIMITS,
) -> Any:
    """Build the model.

    Parameters
    ----------
    instance : AttackInstance
        What is asked.
    strengthen : collection of str
        Names of `STRENGTHENINGS`.
    with_pixels : bool
        Without them the model is a relaxation: any first-layer pattern that its conflicts allow.
    limits : BuildLimits
        An attack's, which building is part of; none if not given.

    Returns
    -------
    pyomo ConcreteModel
        Binaries ``h[l, j]`` of the unstable neurons that count (l from 1, j from 0) with rows
        ``on[l, j]`` and ``off[l, j]``, ``p[i]`` (in levels) of the pixels that can move, and the
        expression ``margin``, in units of `bnnopt.margins.Margins.unit`; no objective yet.
        ``layers`` holds the `LayerBounds` that were used.
    """
    network = instance.network
    model = pyo.ConcreteModel(name="attack")
    add_neurons(model)
    layers = [interval_bounds(instance)[0]]
    for j in layers[0].unstable.tolist():
        model.h.add((1, j))
    _add_conflicts(model, instance, strengthen, limits)
    limits.check()
    budget = _program_budget(strengthen, limits)
    for index in range(1, network.depth):
        rows = np.ones((2, network.widths[index]), dtype=bool)
        if index == network.depth - 1:
            rows = _rewarded_rows(instance, "one-sided" in strengthen)
        layer = network.hidden[index]
        layers.append(add_layer(model, layer, index, layers[-1], rows, budget, limits))
    if with_pixels:  # last, since the linear programs above do without
        _add_first_layer(model, instance, layers[0], limits)
    model.layers = layers
    add_margin(model, _margins(model, instance, layers[-1]))
    return model


def add_neurons(model: Any) -> None:
    """Room for neurons: binaries ``h[l, j]`` and their rows ``on[l, j]`` and ``off[l, j]``.

    Parameters
    ----------
    model : pyomo ConcreteModel
        To which they are added.
    """
    model.h = pyo.Var(pyo.Any, domain=pyo.Binary, dense=False, doc="activation (7)")
    model.on = pyo.Constraint(pyo.Any, doc="h = 1 only if the sum reaches the threshold")
    model.off = pyo.Constraint(pyo.Any, doc="h = 0 only if the sum stays below it")


def _program_budget(strengthen: Collection[str], limits: BuildLimits) -> ProgramBudget:
    if "bounds" not in strengthen:
        return ProgramBudget(programs=0)
    if limits.is_counted:
        return ProgramBudget(programs=BOUND_PROGRAMS)
    return ProgramBudget(seconds=BOUND_SECONDS)


def limit_flips(model: Any, flips: Flips, members: list[int], most: int) -> None:
    """At most `most` of some neurons, positions in `Flips.neurons`, flip.

    Parameters
    ----------
    model : pyomo ConcreteModel
        With a constraint list ``conflicts``.
    flips : Flips
        Of the first layer.
    members : list of int
        Positions in `Flips.neurons`.
    most : int
        How many of them may flip together.
    """
    model.conflicts.add(_flips_expression(model, flips, members) <= most)


def forbid_pattern(model: Any, flips: Flips, members: list[int], flipped: BoolArray) -> None:
    """Not all of some neurons, positions in `Flips.neurons`, do what `flipped` says.

    Parameters
    ----------
    model : pyomo ConcreteModel
        With a constraint list ``conflicts``.
    flips : Flips
        Of the first layer.
    members : list of int
        Positions in `Flips.neurons`.
    flipped : array of bool
        By position: what is forbidden, if all members do so.
    """
    moving = [j for j in members if flipped[j]]
    staying = [j for j in members if not flipped[j]]
    differing = (len(moving) - _flips_expression(model, flips, moving)) + _flips_expression(
        model, flips, staying
    )
    model.conflicts.add(differing >= 1)


def minimise_demand(model: Any, instance: AttackInstance, flips: Flips) -> None:
    """Make the least demanding flips the objective: those that a point is likely to have.

    Parameters
    ----------
    model : pyomo ConcreteModel
        Its objective is replaced.
    instance : AttackInstance
        Whose first layer flips.
    flips : Flips
        Of that layer.
    """
    spread = instance.network.hidden[0].spread(flips.radius)[flips.neurons]
    model.del_component("objective")
    model.objective = pyo.Objective(
        expr=pyo.quicksum(
            float(flips.demand[j] / (spread[j] or 1.0)) * _flips_expression(model, flips, [j])
            for j in range(len(flips.neurons))
        ),
        sense=pyo.minimize,
    )


def _flips_expression(model: Any, flips: Flips, members: list[int]) -> Any:
    signs = flips.signs[members].tolist()
    return LinearExpression(
        constant=float(sum(sign > 0 for sign in signs)),
        linear_vars=[model.h[1, j] for j in flips.neurons[members].tolist()],
        linear_coefs=[-float(sign) for sign in signs],
    )


def _add_conflicts(
    model: Any, instance: AttackInstance, strengthen: Collection[str], limits: BuildLimits
) -> None:
    model.conflicts = pyo.ConstraintList(doc="flips that no point of the box has together")
    flips = first_layer_flips(instance)
    asked = {1: "conflicts" in strengthen, 3: "quadruples" in strengthen}
    if not any(asked.values()):
        return
    for members, most in flip_limits(flips, quadruples=asked[3], check=limits.check):
        if asked[most]:
            limit_flips(model, flips, members, most)


def _rewarded_rows(instance: AttackInstance, one_sided: bool) -> BoolArray:
    """Which rows, on and off, the neurons of the last hidden layer need, shape (2, width)."""
    gain = np.array([instance.of_margins.terms(c)[0] for c in instance.targets])
    rows = np.stack([(gain > 0).any(axis=0), (gain < 0).any(axis=0)])
    # A neuron that nothing rewards has none; its variable would be idle.
    return rows if one_sided else np.broadcast_to(rows.any(axis=0), rows.shape)


def add_layer(
    model: Any,
    layer: HiddenLayer,
    index: int,
    before: LayerBounds,
    rows: BoolArray,
    budget: ProgramBudget,
    limits: BuildLimits,
) -> LayerBounds:
    """(3), (4) and (5) of a deeper layer: sum = base + 2 * (weight @ h over unstable inputs).

    Parameters
    ----------
    model : pyomo model or block
        By `add_neurons`, with binaries ``h`` of the layer before.
    layer : HiddenLayer
        Whose neurons get rows.
    index : int
        Of the layer, from 1.
    before : LayerBounds
        Of the layer before: which of its neurons are variables.
    rows : array of bool, shape (2, width)
        Which neurons need the row for h = 1, and for h = 0.
    budget : ProgramBudget
        What linear programs for bounds may take.
    limits : BuildLimits
        An attack's, which building is part of.

    Returns
    -------
    LayerBounds
    """
    unstable = before.unstable
    inputs = vector(model.h[index, j] for j in unstable.tolist())
    columns = layer.columns(unstable)
    base = layer.pre_activation(before.sign[None].astype(np.float64))[0] - columns.sum(axis=1)
    factor = row_factors(columns, is_whole=True)
    weight = divided(columns, factor)
    needed = np.ceil((layer.threshold - base) / (2.0 * factor))
    lower, upper = reach(weight)
    open_ = np.flatnonzero(rows.any(axis=0) & (lower < needed) & (upper >= needed))
    if not budget.is_spent and len(open_):
        lower[open_], upper[open_] = linear_ranges(model, inputs, weight[open_], budget)
    bounds = layer_bounds(layer, base + 2.0 * factor * lower, base + 2.0 * factor * upper)
    for j in bounds.unstable.tolist():
        limits.check()
        if rows[:, j].any():
            model.h.add((index + 1, j))
            sides = (
                (lower[j], needed[j]) if rows[0, j] else None,
                (needed[j] - 1.0, upper[j]) if rows[1, j] else None,
            )
            add_sides(model, inputs, weight, j, model.h[index + 1, j], sides)
    return bounds


def add_sides(
    model: Any,
    inputs: Variables,
    weight: csr_array,
    row: int,
    h: Any,
    sides: tuple[tuple[float, float] | None, tuple[float, float] | None],
) -> None:
    """The activity ``weight[row] @ inputs`` is at least `needed` if h = 1, else at most `allowed`.

    `sides` are (lower bound, needed) and (allowed, upper bound); None leaves a row out.

    Parameters
    ----------
    model : pyomo model or block
        With constraint lists ``on`` and ``off``.
    inputs : array of Pyomo variables
        The columns of `weight`.
    weight : csr_array
        A layer's weights.
    row : int
        The neuron's, in `weight`.
    h : Pyomo variable
        The neuron's binary.
    sides : pair of (float, float) or None
        (lower bound, needed) and (allowed, upper bound).
    """
    on, off = sides
    if on is not None:
        lower, needed = on
        model.on.add(h.index(), weighted_sum(weight, row, inputs, [(h, lower - needed)]) >= lower)
    if off is not None:
        allowed, upper = off
        model.off.add(
            h.index(), weighted_sum(weight, row, inputs, [(h, allowed - upper)]) <= allowed
        )


def _add_first_layer(
    model: Any, instance: AttackInstance, bounds: LayerBounds, limits: BuildLimits
) -> None:
    """(2) and (4) to (6); off is the closed half-space where pixels are continuous."""
    layer, (low, high), image = instance.network.hidden[0], instance.box, instance.levels
    moving = np.flatnonzero(high > low)
    pixels = instance.domain == "pixels"
    model.p = pyo.Var(
        moving.tolist(),
        domain=pyo.Integers if pixels else pyo.Reals,
        bounds=lambda _, i: (low[i] - image[i], high[i] - image[i]),
        doc="perturbation (6), in levels",
    )
    inputs, unstable = vector(model.p.values()), bounds.unstable
    rows = layer.rows(unstable)
    here, rows = rows @ image, rows[:, moving]
    factor = row_factors(rows, is_whole=pixels)
    rows = divided(rows, factor)
    lower, upper = (
        (bounds.lower[unstable] - here) / factor,
        (bounds.upper[unstable] - here) / factor,
    )
    needed = (layer.threshold[unstable] - here) / factor
    if pixels:
        needed = np.ceil(needed)
    for row, j in enumerate(unstable.tolist()):
        limits.check()
        sides = (lower[row], needed[row]), (needed[row] - float(pixels), upper[row])
        add_sides(model, inputs, rows, row, model.h[1, j], sides)


def _margins(model: Any, instance: AttackInstance, last: LayerBounds) -> dict[int, Margin]:
    """The margin of each target, over the variables of the last hidden layer."""
    depth, unit = instance.network.depth, instance.of_margins.unit
    variables = {j: model.h[depth, j] for l, j in model.h if l == depth}
    free = np.array(sorted(variables), dtype=np.int64)
    margins = {}
    for target in instance.targets:
        gain, offset = instance.of_margins.terms(target)
        gain, fixed = gain / unit, float(gain @ last.sign + offset) / unit
        # A neuron without a variable, though unstable, has no gain.
        constant = float(fixed - gain[free].sum())
        used = free[gain[free] != 0.0]
        expression = LinearExpression(
            constant=constant,
            linear_vars=[variables[j] for j in used.tolist()],
            linear_coefs=(2.0 * gain[used]).tolist(),
        )
        extremes = [
            constant + 2.0 * float(clip(gain[used], 0.0).sum()) for clip in (np.minimum, np.maximum)
        ]
        margins[target] = Margin(expression, *extremes)
    return margins

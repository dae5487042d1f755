"""Models of a cell's attack for a solver alone: the attack's MILP, and IProp's subproblems."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt import AttackInstance
from bnnopt.formulations.attack import attack_model
from bnnopt.formulations.names import FORMULATIONS
from bnnopt.formulations.perturbation import perturbation_model
from bnnopt.formulations.target import target_model

__all__ = ["MODELS", "build", "solve"]

SignArray = npt.NDArray[np.int8]

LAYER, INPUT = "(9)", "(10)"
MODELS = (*FORMULATIONS, LAYER, INPUT)
"""What `build` knows: formulations of the attack, and the paper's two subproblems."""


def build(name: str, instance: AttackInstance) -> Any:
    """A Pyomo model.

    Parameters
    ----------
    name : str
        Of `MODELS`. ``"(9)"`` asks the last but one hidden layer for the ideal targets of the last;
        ``"(10)"`` asks the image for first-layer targets that are the signs of ideal targets handed
        down: what most neurons above would have each be, without a solver's choice in it.
    instance : AttackInstance
        On a network of two hidden layers or more, against one target.
    """
    if name not in (LAYER, INPUT):
        return attack_model(instance, name)
    hidden = instance.network.hidden
    signs = instance.network.activations(instance.image)
    if name == LAYER:
        return target_model(hidden[-1], _ideal(instance), signs[-2])
    target = _ideal(instance)
    for layer, below in zip(hidden[:0:-1], signs[-2::-1], strict=True):
        wish = np.sign(layer.rows(np.arange(layer.shape[0])).T @ target.astype(np.float64))
        target = np.where(wish == 0, below, wish).astype(np.int8)
    return perturbation_model(instance, target)


def _ideal(instance: AttackInstance) -> SignArray:
    """Of the last hidden layer; 0 where both classes have the same weight."""
    output = instance.network.output
    difference = output.weight[instance.targets[0]] - output.weight[instance.source]
    ideal: SignArray = np.sign(difference).astype(np.int8)
    return ideal


def solve(
    name: str, instance: AttackInstance, solver: str, time_limit: float, seed: int
) -> dict[str, Any]:
    """Build and solve a model once.

    Returns
    -------
    dict
        How it ended; ``objective`` and ``bound``; seconds of the solver, its loading included;
        nodes; the model's size. For an attack's MILP, objective and bound are margins as the model
        has them, and ``real`` is the network's margin at the solver's point.
    """
    model = build(name, instance)
    compiled = solvers.compile_model(model)
    options = solvers.SolveOptions(time_limit=time_limit, seed=seed)
    result = solvers.get(solver).solve(compiled, options)
    unit = instance.of_margins.unit if name in FORMULATIONS else 1.0
    record: dict[str, Any] = {
        "status": result.termination.value,
        "objective": None if result.objective is None else unit * result.objective,
        "bound": None if result.bound is None else unit * result.bound,
        "seconds": result.wall_time,
        "nodes": result.nodes,
        "size": [compiled.num_rows, compiled.num_columns, int(compiled.matrix.nnz)],
        "message": result.message,
    }
    if name in FORMULATIONS and result.values is not None:
        point = np.array([result.values[p] for p in model.p.values()])
        on_grid = instance.snap(instance.levels + point)
        record["real"] = float(instance.margins(on_grid[None])[0])
    return record

"""The attack as one Pyomo model: a formulation, the instance's budgets and its goal."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyomo.environ as pyo
from pyomo.common.gc_manager import PauseGC

import solvers
from bnnopt.errors import PluginError
from bnnopt.formulations.goals import add_budgets, demand_flip, set_stage
from bnnopt.formulations.names import FORMULATIONS, STRENGTHENINGS, builder, check_names
from bnnopt.formulations.paper import paper_model
from bnnopt.formulations.stopping import NO_LIMITS, BuildLimits
from bnnopt.formulations.tight import tight_model
from bnnopt.instance import AttackInstance

__all__ = ["attack_model", "model_size"]

PARTS = ("p", "h", "margin", "largest_margin", "reaching_targets", "layers")
"""What a formulation's model has, whatever its rows."""


def attack_model(
    instance: AttackInstance,
    formulation: str = "tight",
    strengthen: Collection[str] = STRENGTHENINGS,
    *,
    with_pixels: bool = True,
    limits: BuildLimits = NO_LIMITS,
) -> Any:
    """Build the model of an instance, with the first stage of its goal as the objective.

    Parameters
    ----------
    instance : AttackInstance
        What is asked.
    formulation : str
        ``"tight"``, ``"paper"``, or one of another package.
    strengthen : collection of str
        For ``"tight"``: which of `STRENGTHENINGS` to use.
    with_pixels : bool
        For ``"tight"``: see `tight_model`. A model without pixels takes goals of the margin only.
    limits : BuildLimits
        An attack's, which building is part of.

    Returns
    -------
    pyomo ConcreteModel
        Variables ``p[i]`` (perturbation, in levels) and ``h[l, j]`` (activations, 0 or 1). The
        margin, and all that is made of it, is in units of `bnnopt.margins.Margins.unit`.

    Raises
    ------
    UnknownNameError
        If there is no such formulation or strengthening.
    PluginError
        If another package's formulation makes something else than a model of an attack.
    OutOfTime
        If a limit comes first.
    """
    check_names(formulation, strengthen)
    with PauseGC():  # a third of the time, for objects that all stay
        if formulation == "paper":
            model = paper_model(instance, limits)
        elif formulation not in FORMULATIONS:
            model = _of_plugin(instance, formulation)
        else:
            model = tight_model(instance, strengthen, with_pixels=with_pixels, limits=limits)
        if with_pixels:
            add_budgets(model, instance)
        goal = instance.sought
        if goal.needs_flip:
            demand_flip(model, instance)
        set_stage(model, instance, goal.stages[0] if goal.stages else None)
    return model


def _of_plugin(instance: AttackInstance, formulation: str) -> Any:
    """Another package's model, which must have what goals and budgets are made of."""
    model = builder(formulation)(instance)
    lacking = [name for name in PARTS if not hasattr(model, name)]
    if lacking:
        raise PluginError(f"the model of formulation {formulation!r} lacks {', '.join(lacking)}")
    return model


def model_size(model: Any, compiled: solvers.CompiledModel | None = None) -> dict[str, Any]:
    """Variables, binaries, rows and nonzeros as a solver gets them; stable neurons by layer.

    Parameters
    ----------
    model : pyomo ConcreteModel
        By `attack_model`.
    compiled : solvers.CompiledModel, optional
        The same, where it is compiled already.
    """
    compiled = compiled or solvers.compile_model(model)
    binaries = sum(v.is_binary() for v in model.component_data_objects(pyo.Var, active=True))
    return {
        "variables": compiled.num_columns,
        "binaries": binaries,
        "rows": compiled.num_rows,
        "nonzeros": int(compiled.matrix.nnz),
        "stable": [int((layer.sign != 0).sum()) for layer in model.layers],
    }

"""Points of a network as points of a model: what is violated, and what they are worth there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import solvers
from bnnopt import AttackInstance

TOLERANCE = 1e-7


def place(model: Any, instance: AttackInstance, z: np.ndarray) -> dict[Any, int]:
    """Give the model's levels and activations the values of a point; returns all activations."""
    if model.component("p") is not None:
        for i, p in model.p.items():
            p.set_value(float(z[i] - instance.levels[i]), skip_validation=True)
    layers = instance.network.activations_of_levels(z[None])
    on = {(l, j): int(h > 0) for l, row in enumerate(layers, 1) for j, h in enumerate(row[0])}
    for key, h in model.h.items():
        h.set_value(on[key])
    return on


def choose_target(model: Any, instance: AttackInstance, z: np.ndarray, above: float = 0.0) -> None:
    """Select the best target, and claim its margin, or so much more."""
    if model.component("t") is None:
        return
    logits = instance.network.logits_of_levels(z[None])[0]
    best = max(instance.targets, key=lambda c: logits[c])
    for c, t in model.t.items():
        t.set_value(int(c == best))
    margin = float(logits[best] - logits[instance.source]) / instance.of_margins.unit
    model.m.set_value(margin + above, skip_validation=True)


def violated(model: Any, tolerance: float = TOLERANCE) -> list[str]:
    """The rows and bounds that the present values do not keep."""
    return checker(model)(tolerance)


def checker(model: Any) -> Callable[..., list[str]]:
    """`violated` of a model that does not change, many times."""
    compiled = solvers.compile_model(model)
    names = np.array([*compiled.row_names, *compiled.column_names], dtype=object)
    low = np.concatenate([compiled.row_lower, compiled.lower])
    high = np.concatenate([compiled.row_upper, compiled.upper])

    def violations(tolerance: float = TOLERANCE) -> list[str]:
        x = np.array([variable.value for variable in compiled.variables], dtype=float)
        values = np.concatenate([compiled.matrix @ x, x])
        bad = (values < low - tolerance) | (values > high + tolerance)
        return [str(name) for name in names[bad]]

    return violations

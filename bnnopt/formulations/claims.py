"""What a solver's point claims of a model: its margin, and its first-layer pattern."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo

__all__ = ["claimed_margin", "claimed_signs", "forbid_signs"]

IntArray = npt.NDArray[np.int64]
SignArray = npt.NDArray[np.int8]


def claimed_margin(model: Any) -> float:
    """The margin at the values of the variables, in units of `bnnopt.margins.Margins.unit`."""
    return float(pyo.value(model.margin))


def claimed_signs(model: Any, neurons: IntArray) -> SignArray:
    """The signs of some first-layer neurons at the values of the variables, shape (k,)."""
    on = [model.h[1, j].value > 0.5 for j in neurons.tolist()]
    return np.where(on, 1, -1).astype(np.int8)


def forbid_signs(model: Any, neurons: IntArray, signs: SignArray) -> None:
    """At least one of some first-layer neurons, one or more, has another sign."""
    if model.component("forbidden") is None:
        model.forbidden = pyo.ConstraintList(doc="patterns without an image")
    h = [model.h[1, j] for j in neurons.tolist()]
    differing = [1 - v if sign > 0 else v for v, sign in zip(h, signs, strict=True)]
    model.forbidden.add(pyo.quicksum(differing) >= 1)

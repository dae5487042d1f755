"""Bounds by linear programming: how far linear expressions of a model's binaries can go."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

import solvers

__all__ = ["linear_ranges"]

FloatArray = npt.NDArray[np.float64]

ROUNDING = 1e-4
"""A whole number this close below a linear program's optimum counts as reached."""


def linear_ranges(
    model: Any, variables: list[Any], coefficients: FloatArray, seconds: float
) -> tuple[FloatArray, FloatArray]:
    """The least and greatest whole value of each expression over the model's relaxation.

    Parameters
    ----------
    model : pyomo ConcreteModel
        Its active constraints count; its objective does not.
    variables : list of pyomo binaries
    coefficients : array of float, shape (count, len(variables))
        Whole numbers.
    seconds : float
        Expressions that no time is left for keep their interval bounds.

    Returns
    -------
    lower, upper : array of float, shape (count,)
    """
    lower = np.minimum(coefficients, 0.0).sum(axis=1)
    upper = np.maximum(coefficients, 0.0).sum(axis=1)
    compiled = solvers.compile_model(model)
    relaxed = replace(
        compiled,
        maximize=True,
        objective=np.zeros(compiled.num_columns),
        constant=0.0,
        integer=np.zeros(compiled.num_columns, dtype=bool),
    )
    at = compiled.columns(variables)
    end = time.perf_counter() + seconds
    with solvers.get("highs").session(relaxed) as session:
        for row, expression in enumerate(coefficients):
            for sign in (1.0, -1.0):
                left = end - time.perf_counter()
                if left <= 0.0:
                    return lower, upper
                cost = np.zeros(compiled.num_columns)
                cost[at] = sign * expression
                session.set_objective(cost)
                solved = session.solve(solvers.SolveOptions(time_limit=left))
                if solved.interrupted:
                    raise KeyboardInterrupt
                if solved.termination is not solvers.Termination.OPTIMAL or solved.bound is None:
                    continue
                extreme = np.floor(solved.bound + ROUNDING)
                if sign > 0:
                    upper[row] = min(upper[row], extreme)
                else:
                    lower[row] = max(lower[row], -extreme)
    return lower, upper

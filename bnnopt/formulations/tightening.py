"""Bounds by linear programming: how far linear expressions of a model's binaries can go."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

import solvers
from bnnopt.formulations.rows import reach

__all__ = ["ProgramBudget", "linear_ranges"]

FloatArray = npt.NDArray[np.float64]

ROUNDING = 1e-4
"""Of the largest coefficient: a whole number this close below a linear program's optimum counts as
reached."""


class ProgramBudget:
    """What linear programs may take, counted from its creation.

    Parameters
    ----------
    seconds : float
    programs : int, optional
        How many may be solved.
    """

    def __init__(self, seconds: float = np.inf, programs: int | None = None) -> None:
        self._end, self._programs = time.perf_counter() + seconds, programs

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self._programs == 0 or time.perf_counter() >= self._end

    def take(self) -> solvers.SolveOptions:
        """Options of one more program."""
        if self._programs is not None:
            self._programs -= 1
        left = max(self._end - time.perf_counter(), 0.01)
        return solvers.SolveOptions(time_limit=None if left == np.inf else left)


def linear_ranges(
    model: Any, variables: Iterable[Any], coefficients: csr_array, budget: ProgramBudget
) -> tuple[FloatArray, FloatArray]:
    """The least and greatest whole value of each expression over the model's relaxation.

    Parameters
    ----------
    model : pyomo ConcreteModel
        Its active constraints count; its objective does not.
    variables : pyomo binaries
    coefficients : csr_array, shape (count, len(variables))
        Whole numbers.
    budget : ProgramBudget
        Expressions that nothing is left for keep their interval bounds.

    Returns
    -------
    lower, upper : array of float, shape (count,)
    """
    lower, upper = reach(coefficients)
    compiled = solvers.compile_model(model)
    relaxed = replace(
        compiled,
        maximize=True,
        objective=np.zeros(compiled.num_columns),
        constant=0.0,
        integer=np.zeros(compiled.num_columns, dtype=bool),
    )
    at = compiled.columns(variables)
    with solvers.get("highs").session(relaxed) as session:
        for row, (begin, end) in enumerate(pairwise(coefficients.indptr.tolist())):
            rounding = ROUNDING * float(np.abs(coefficients.data[begin:end]).max(initial=1.0))
            for sign in (1.0, -1.0):
                if budget.is_spent:
                    return lower, upper
                cost = np.zeros(compiled.num_columns)
                cost[at[coefficients.indices[begin:end]]] = sign * coefficients.data[begin:end]
                session.set_objective(cost)
                solved = session.solve(budget.take())
                if solved.interrupted:
                    raise KeyboardInterrupt
                if solved.termination is not solvers.Termination.OPTIMAL or solved.bound is None:
                    continue
                extreme = np.floor(solved.bound + rounding)
                if sign > 0:
                    upper[row] = min(upper[row], extreme)
                else:
                    lower[row] = max(lower[row], -extreme)
    return lower, upper

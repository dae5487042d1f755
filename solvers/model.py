"""A model in arrays, whatever the solver; compiled once from Pyomo."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from solvers.errors import ModelError
from solvers.linear_form import linear_form

__all__ = ["CompiledModel", "compile_model"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CompiledModel:
    """A mixed-integer linear program in arrays: n columns (variables), m rows (constraints).

    Parameters
    ----------
    name : str
        The model's.
    maximize : bool
        The sense of the objective.
    objective : array of float, shape (n,)
        Its coefficients.
    constant : float
        Added to the objective.
    matrix : csr_array, shape (m, n)
        Coefficients of the rows.
    row_lower, row_upper : array of float, shape (m,)
        ``row_lower <= matrix @ x <= row_upper``; infinite where there is none.
    lower, upper : array of float, shape (n,)
        Bounds on the columns; infinite where there is none.
    integer : array of bool, shape (n,)
        Which columns take whole numbers only.
    variables, constraints : tuple
        The Pyomo objects of the columns and rows; none where the model was made of arrays.
    """

    name: str
    maximize: bool
    objective: FloatArray
    constant: float
    matrix: csr_array
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: npt.NDArray[np.bool_]
    variables: tuple[Any, ...] = ()
    constraints: tuple[Any, ...] = ()

    @property
    def num_columns(self) -> int:
        """Number of variables."""
        return len(self.lower)

    @property
    def num_rows(self) -> int:
        """Number of constraints."""
        return len(self.row_lower)

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """Pyomo's names of the variables; ``x0``, ``x1``, ... where there are none."""
        pyomo = tuple(variable.name for variable in self.variables)
        return pyomo or tuple(f"x{column}" for column in range(self.num_columns))

    @cached_property
    def row_names(self) -> tuple[str, ...]:
        """Pyomo's names of the constraints; ``r0``, ``r1``, ... where there are none."""
        pyomo = tuple(constraint.name for constraint in self.constraints)
        return pyomo or tuple(f"r{row}" for row in range(self.num_rows))

    @cached_property
    def _column_of(self) -> dict[int, int]:
        return {id(variable): index for index, variable in enumerate(self.variables)}

    @cached_property
    def _column_named(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.column_names)}

    @cached_property
    def _row_of(self) -> dict[int, int]:
        return {id(constraint): index for index, constraint in enumerate(self.constraints)}

    def column(self, variable: Any) -> int:
        """The column of a Pyomo variable, or of a variable's name.

        Raises
        ------
        KeyError
            If the model has no such variable, or the variable was fixed when it was compiled.
        """
        if isinstance(variable, str):
            return self._column_named[variable]
        return self._column_of[id(variable)]

    def columns(self, variables: Iterable[Any]) -> npt.NDArray[np.int64]:
        """The columns of several variables; `KeyError` as in `column`."""
        return np.fromiter((self.column(variable) for variable in variables), dtype=np.int64)

    def rows(self, constraints: Iterable[Any]) -> npt.NDArray[np.int64]:
        """The rows of several Pyomo constraints; `KeyError` if one is not in the model."""
        return np.fromiter((self._row_of[id(c)] for c in constraints), dtype=np.int64)

    def load(self, values: npt.ArrayLike) -> None:
        """Set the values of the Pyomo variables, if there are any, to a point, shape (n,)."""
        if self.variables:
            for variable, value in zip(self.variables, np.asarray(values).tolist(), strict=True):
                variable.set_value(value, skip_validation=True)


def compile_model(model: Any, stop: Callable[[], bool] | None = None) -> CompiledModel:
    """Compile a Pyomo model.

    Parameters
    ----------
    model : pyomo Block
        Linear constraints, at most one active linear objective, continuous and integer
        variables. Fixed variables become constants.
    stop : callable, optional
        Asked every few thousand terms whether to give up.

    Returns
    -------
    CompiledModel

    Raises
    ------
    ModelError
        If the model is anything else.
    CompilationStoppedError
        If `stop` says so.
    """
    # Whoever has a Pyomo model has imported Pyomo; whoever hands over arrays need not wait for it.
    from pyomo.common.errors import InfeasibleConstraintException, PyomoException
    from pyomo.core.base import Objective, Var, maximize

    objectives = list(model.component_data_objects(Objective, active=True))
    if len(objectives) > 1:
        raise ModelError(
            f"the model has {len(objectives)} active objectives; deactivate all but one"
        )
    try:
        form = linear_form(model, stop)
    except InfeasibleConstraintException as error:
        return _contradiction(model, str(error))
    except (PyomoException, ValueError, TypeError) as error:
        raise ModelError(f"the model is not a mixed-integer linear program: {error}") from None
    columns = list(form.columns)
    listed = {id(variable) for variable in columns}
    for variable in model.component_data_objects(Var, active=True):
        if id(variable) not in listed and not variable.fixed:
            columns.append(variable)
    n = len(columns)
    keep, row_lower, row_upper = _row_bounds(form)
    rows = csr_array(form.A)[keep]
    # Variables that appear nowhere get an empty column each.
    matrix = csr_array((rows.data, rows.indices, rows.indptr), shape=(len(keep), n))
    objective = np.zeros(n)
    if objectives:
        objective[: form.c.shape[1]] = form.c.toarray()[0]
    lower, upper, integer = _column_data(columns)
    return CompiledModel(
        name=model.name or "model",
        maximize=bool(objectives) and objectives[0].sense == maximize,
        objective=objective,
        constant=float(form.c_offset[0]) if objectives else 0.0,
        matrix=matrix,
        row_lower=row_lower,
        row_upper=row_upper,
        lower=lower,
        upper=upper,
        integer=integer,
        variables=tuple(columns),
        constraints=tuple(form.rows[index].constraint for index in keep),
    )


def _row_bounds(form: Any) -> tuple[list[int], FloatArray, FloatArray]:
    """Join the two rows that the standard form makes of a range; the kept rows and bounds."""
    keep: list[int] = []
    lower: list[float] = []
    upper: list[float] = []
    previous = None
    for index, ((constraint, kind), rhs) in enumerate(zip(form.rows, form.rhs, strict=True)):
        if constraint is previous:
            lower[-1] = rhs  # the upper row of a range always comes first
            continue
        previous = constraint
        keep.append(index)
        lower.append(rhs if kind <= 0 else -np.inf)
        upper.append(rhs if kind >= 0 else np.inf)
    return keep, np.array(lower, dtype=np.float64), np.array(upper, dtype=np.float64)


def _column_data(columns: list[Any]) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    lower = np.full(len(columns), -np.inf)
    upper = np.full(len(columns), np.inf)
    integer = np.zeros(len(columns), dtype=np.bool_)
    for index, variable in enumerate(columns):
        if variable.is_integer():
            integer[index] = True
        elif not variable.is_continuous():
            raise ModelError(
                f"variable {variable.name!r} is neither continuous nor integer; "
                "this layer takes no other domains"
            )
        low, high = variable.bounds
        if low is not None:
            lower[index] = low
        if high is not None:
            upper[index] = high
    return lower, upper, integer


def _contradiction(model: Any, why: str) -> CompiledModel:
    """A model that Pyomo finds trivially infeasible: one row, 0 >= 1, and no column."""
    from pyomo.core.base import Constraint

    violated = next(iter(model.component_data_objects(Constraint, active=True)))
    empty = np.zeros(0)
    return CompiledModel(
        name=why,
        maximize=False,
        objective=empty,
        constant=0.0,
        matrix=csr_array((1, 0)),
        row_lower=np.ones(1),
        row_upper=np.full(1, np.inf),
        lower=empty,
        upper=empty,
        integer=np.zeros(0, dtype=np.bool_),
        variables=(),
        constraints=(violated,),
    )

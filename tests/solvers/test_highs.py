"""What HiGHS alone needs."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

import solvers

ROWS = [
    [-1, -1, 1, -1, -4, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 1, -1, 0, 0, 0, 0, 0, 0],
    [-333, 0, 0, 0, 0, 0, 111, -29, 246, 0, 0, 0],
    [0, -440, 0, 0, 0, 0, -141, -158, 299, 0, 0, 0],
    [0, 0, 0, -18, 0, 0, -72, 127, -111, 0, 0, 0],
    [1, 1, -1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
    [0, 458, 0, 0, 0, 0, 141, 158, -299, 0, 0, 0],
    [0, 0, 363, 0, 0, 0, -135, -224, -85, 0, 0, 0],
    [0, 0, 0, 404, 0, 0, 72, -127, 111, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1],
]
LEAST = [-3, 0, -357, -440, -238, 0, 1, 143, 221, 0, 0, 0, -2]
POINT = [0, 1, 1, 1, 0, 0, -1, 0, 0, 1, 0, 0]


def test_a_model_whose_presolve_enumerates_is_not_called_infeasible() -> None:
    matrix, least = csr_array(np.array(ROWS, dtype=float)), np.array(LEAST, dtype=float)
    assert (matrix @ POINT >= least).all()
    model = solvers.CompiledModel(
        name="enumeration",
        maximize=True,
        objective=np.eye(12)[5],
        constant=0.0,
        matrix=matrix,
        row_lower=least,
        row_upper=np.full(13, np.inf),
        lower=np.repeat([0.0, -1.0, 0.0], [6, 3, 3]),
        upper=np.where(np.arange(12) == 7, 0.0, 1.0),
        integer=np.ones(12, dtype=bool),
    )
    solved = solvers.get("highs").solve(model)
    assert (solved.termination, solved.objective) == (solvers.Termination.OPTIMAL, 0.0)

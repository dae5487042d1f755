from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt.errors import (
    BnnoptError,
    InputError,
    NetworkFormatError,
    SolverFailureError,
    SolverMissingError,
    UnknownNameError,
)
from tests.helpers import random_image, random_network

GOOD: dict[str, Any] = {"image": np.zeros((28, 28)), "epsilon": 0.01, "time_limit": 10}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"network": "mnist-2x1000"}, UnknownNameError, "did you mean 'mnist-2x100'"),
        ({"network": "nowhere.npz"}, NetworkFormatError, "does not exist"),
        ({"method": "mlip"}, UnknownNameError, "did you mean 'milp'"),
        ({"solver": "hihgs"}, UnknownNameError, "did you mean 'highs'"),
        ({"formulation": "papers"}, UnknownNameError, "did you mean 'paper'"),
        ({"domain": "pixel"}, UnknownNameError, "did you mean 'pixels'"),
        ({"target": "runnerup"}, UnknownNameError, "did you mean 'runner-up'"),
        ({"target": 10}, InputError, "0 to 9"),
        ({"image": np.zeros((28, 27))}, InputError, r"\(28, 28\)"),
        ({"image": np.full((28, 28), 2.0)}, InputError, r"\[0, 1\]"),
        ({"image": np.full((28, 28), np.nan)}, InputError, "NaN"),
        ({"epsilon": -0.01}, InputError, "epsilon"),
        ({"epsilon": float("nan")}, InputError, "epsilon"),
        ({"time_limit": 0}, InputError, "time_limit"),
        ({"time_limit": float("inf")}, InputError, "time_limit"),
        ({"threads": 0}, InputError, "threads"),
        ({"threads": 1.5}, InputError, "threads"),
        ({"seed": -1}, InputError, "seed"),
    ],
)
def test_a_wrong_argument_raises_one_sentence_with_the_remedy(
    changes: dict[str, Any], error: type[BnnoptError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        bnnopt.attack(**({"network": "mnist-2x100"} | GOOD | changes))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, BnnoptError)


def test_a_missing_solver_says_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solvers.highs.Highs.package", "no_such_package")
    with pytest.raises(SolverMissingError, match="pip install highspy"):
        bnnopt.attack("mnist-2x100", **GOOD, method="milp")


def test_an_option_that_the_solver_cannot_honour_is_an_error() -> None:
    pytest.importorskip("pyscipopt")
    with pytest.raises(SolverFailureError, match="one thread"):
        bnnopt.attack("mnist-2x100", **GOOD, method="milp", solver="scip", threads=2)


def test_a_network_object_and_a_file_serve_as_well_as_a_name(tmp_path: Any) -> None:
    network = random_network(3)
    image = random_image(network, 3)
    path = tmp_path / "sub dir" / "my nètwork.npz"
    network.save(path)
    a = bnnopt.attack(network, image, 0.3)
    b = bnnopt.attack(path, image, 0.3)
    c = bnnopt.attack(str(path), image, 0.3)
    assert a.objective == b.objective == c.objective


def test_importing_bnnopt_imports_nothing_optional_and_nothing_slow() -> None:
    code = (
        "import sys, bnnopt; "
        "heavy = {'torch', 'pyomo', 'highspy', 'gurobipy', 'pyscipopt', 'matplotlib', 'dask', "
        "'scipy', 'solvers', 'pooch', 'click', 'numba'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists() -> None:
    for name in bnnopt.__all__:
        assert getattr(bnnopt, name) is not None

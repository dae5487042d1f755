from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.limits import Limits

RUNS = {
    "bab": {"epsilon": 0.02, "effort": 300},
    "pattern": {"epsilon": 0.02, "effort": 70},
    "iprop": {"epsilon": 0.02, "effort": 5},
    "milp": {"epsilon": 0.004, "effort": 2, "max_l1": 1.0},
    "auto": {"epsilon": 0.03, "effort": 60, "max_pixels": 30},
    "pgd": {"epsilon": 0.02, "effort": 4, "options": {"restarts": 4}},
}


@pytest.mark.parametrize("method", list(RUNS))
def test_a_run_that_its_effort_cuts_off_repeats_itself(method: str) -> None:
    image = bnnopt.datasets.embedded().x(0)
    options: dict[str, Any] = dict(RUNS[method])
    first, again = (
        bnnopt.attack("fashion-mnist-2x100", image, method=method, time_limit=None, **options)
        for _ in range(2)
    )
    assert first.effort == options["effort"]
    assert (first.objective, first.bound, first.iterations, first.status) == (
        again.objective,
        again.bound,
        again.iterations,
        again.status,
    )
    assert np.array_equal(first.adversarial, again.adversarial)


def test_the_nodes_of_branch_and_bound_do_not_exceed_the_effort() -> None:
    image = bnnopt.datasets.embedded().x(0)
    for effort in (1, 17, 300):
        result = bnnopt.attack(
            "fashion-mnist-2x100", image, 0.02, method="bab", effort=effort, time_limit=None
        )
        assert result.iterations is not None
        assert result.iterations <= effort
        assert result.status == "feasible"


def test_a_share_of_the_limits_is_one_of_steps_where_those_are_limited() -> None:
    deadline = Deadline(Limits(time_limit=100.0, effort=10))
    deadline.spend(4)
    part = deadline.share(0.5, most_seconds=1.0)
    assert part.effort == 3
    assert part.time_limit is not None
    assert part.time_limit > 90
    assert not deadline.passed
    deadline.spend(6)
    assert deadline.passed
    timed = Deadline(Limits(time_limit=100.0)).share(0.5, most_seconds=20.0)
    assert timed.time_limit == 20.0
    assert timed.effort is None


def test_building_a_model_counts_as_time() -> None:
    network = bnnopt.load_network("fashion-mnist-2x500")
    image = bnnopt.datasets.embedded().x(0)
    result = bnnopt.attack(network, image, 0.02, method="milp", formulation="paper", time_limit=0.2)
    assert result.status == "feasible"
    assert result.model == {}  # the limit came before the model was there
    assert result.bound is None or result.bound >= result.objective

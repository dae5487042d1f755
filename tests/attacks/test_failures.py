"""What a failure, Ctrl-C or a limit leaves behind: everything that was found before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import threadpoolctl

import bnnopt
import solvers
from bnnopt import AttackInstance, Status
from bnnopt.attacks.base import Attack, Findings, Limits
from bnnopt.attacks.flips import branch_and_bound
from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.iprop.subsolver import Subsolver
from bnnopt.attacks.milp import attack as milp
from bnnopt.attacks.reachability import Reachability
from tests.helpers import random_image, random_network

NAME = "fashion-mnist-2x100"
BUDGET: dict[str, Any] = {"max_pixels": 40, "time_limit": 8}


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return bnnopt.datasets.embedded().x(4)


def failing(*_: Any, **__: Any) -> Any:
    raise solvers.SolverError("the solver failed")


def interrupting(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("broken", "status"), [(failing, "error"), (interrupting, "feasible")])
def test_the_default_method_keeps_what_branch_and_bound_has_proved(
    monkeypatch: pytest.MonkeyPatch, image: np.ndarray, broken: Any, status: str
) -> None:
    monkeypatch.setattr(milp, "attack_model", broken)
    result = bnnopt.attack(NAME, image, 0.02, goal="margin", **BUDGET)
    assert result.status == status
    assert result.bound is not None
    assert result.bound < 300
    assert result.objective >= result.start_objective
    assert result.interrupted == (broken is interrupting)
    assert ("the solver failed" in result.message) == (broken is failing)


def test_a_failed_milp_keeps_points_and_bounds_of_a_distance(
    monkeypatch: pytest.MonkeyPatch, image: np.ndarray
) -> None:
    monkeypatch.setattr(milp, "attack_model", failing)
    result = bnnopt.attack(NAME, image, 0.02, goal="l0", **BUDGET)
    assert result.status is Status.ERROR
    assert result.flipped
    (bound,), (value,) = result.goal_bounds, result.goal_values
    assert bound is not None
    assert value is not None
    assert 10 < bound <= value <= 40


@pytest.mark.parametrize("broken", [failing, interrupting])
def test_iprop_keeps_its_incumbent(
    monkeypatch: pytest.MonkeyPatch, image: np.ndarray, broken: Any
) -> None:
    solve, calls = Subsolver.solve, [0]

    def later(self: Subsolver, *arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        return broken() if calls[0] > 6 else solve(self, *arguments, **options)

    monkeypatch.setattr(Subsolver, "solve", later)
    told: list[float] = []
    result = bnnopt.attack(
        NAME,
        image,
        0.01,
        method="iprop",
        options={"preset": "paper"},
        time_limit=60,
        on_incumbent=lambda seconds, value: told.append(value),
    )
    assert result.objective == max(told) > result.start_objective
    assert (result.status is Status.ERROR) == (broken is failing)
    assert result.interrupted == (broken is interrupting)


@pytest.mark.parametrize("method", ["bab", "pattern"])
@pytest.mark.parametrize("broken", [failing, interrupting])
def test_searches_over_flips_keep_their_incumbents_and_a_sound_bound(
    monkeypatch: pytest.MonkeyPatch, image: np.ndarray, method: str, broken: Any
) -> None:
    whole = bnnopt.attack(NAME, image, 0.006, time_limit=60)
    # Every set goes to the programs, and those fail.
    monkeypatch.setattr(Reachability, "test", broken)
    monkeypatch.setattr(FlipSearch, "offer", _deaf(FlipSearch.offer))
    result = bnnopt.attack(NAME, image, 0.006, method=method, time_limit=10)
    assert whole.status is Status.OPTIMAL
    assert result.objective >= result.start_objective
    assert result.bound is None or result.bound >= whole.objective
    assert result.status in (Status.ERROR, Status.FEASIBLE)


def _deaf(offer: Any) -> Any:
    """After the first points, none is better."""

    def keep(self: FlipSearch, points: np.ndarray) -> bool:
        return bool(offer(self, points)) if self.best == -np.inf else False

    return keep


def test_a_set_that_was_found_and_not_settled_stays_in_the_bound(
    monkeypatch: pytest.MonkeyPatch, image: np.ndarray
) -> None:
    # Ctrl-C between the kernel's find and its replay: the tree is past that set already.
    whole = bnnopt.attack(NAME, image, 0.006, method="bab", time_limit=60)
    take, calls = FlipSearch.take, [0]

    def late(self: FlipSearch, *arguments: Any) -> bool:
        calls[0] += 1
        if calls[0] > 3:
            raise KeyboardInterrupt
        return bool(take(self, *arguments))

    monkeypatch.setattr(FlipSearch, "take", late)
    monkeypatch.setattr(branch_and_bound, "TREE_FIRST", 10**6)  # no climb finds the optimum before
    result = bnnopt.attack(NAME, image, 0.006, method="bab", time_limit=60)
    assert result.interrupted
    assert result.bound is not None
    assert result.bound >= whole.objective


def test_a_stopped_program_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    network = bnnopt.BinarizedNetwork(
        (bnnopt.HiddenLayer([[1, 1, 1], [-1, -1, -1]], [12, -12]),),
        bnnopt.OutputLayer([[1, 1], [-1, -1]], [1, 1], [0, 0]),
        levels=8,
    )
    test = Reachability.test

    def stopped(self: Reachability, *arguments: Any) -> Any:
        reached = test(self, *arguments)
        nothing = np.zeros_like(reached.multipliers)
        return type(reached)(-1.0, reached.point, nothing, most_slack=0.0)

    monkeypatch.setattr(Reachability, "test", stopped)
    image = np.array([4, 4, 3]) / 8
    result = bnnopt.attack(network, image, 1 / 8, domain="pixels", method="bab", time_limit=5)
    assert result.bound is not None
    assert result.bound >= max(network.margin(np.array([5, 5, 4]) / 8, 1, 0), result.objective)


class Counting(Attack):
    """An attack that looks at how many threads a matrix product takes."""

    method = "counting"

    def run(self, instance: AttackInstance, limits: Limits, starts: Any) -> Findings:
        self.threads = product_threads()
        return Findings(np.zeros((0, instance.network.num_inputs)))


def product_threads() -> set[int]:
    info = threadpoolctl.threadpool_info()
    return {library["num_threads"] for library in info if library["user_api"] == "blas"}


def test_matrix_products_of_an_attack_take_one_thread_and_others_as_many_as_before() -> None:
    network = random_network(7)
    instance, attack = AttackInstance(network, random_image(network, 7), 0.4), Counting()
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        attack(instance)
        assert product_threads() == {2}
    assert attack.threads == {1}

"""Climbs beside trees: what either finds, and when the other one learns of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips import branch_and_bound
from bnnopt.attacks.flips.branch_and_bound import BranchAndBound
from bnnopt.attacks.flips.climber_beside import ClimberBeside
from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.flips.pattern import Climber
from tests.helpers import random_image, random_network

seeds = st.integers(0, 10**6)


def instance_of(seed: int, goal: str = "margin") -> AttackInstance:
    network = random_network(seed, inputs=9, widths=(9, 6, 5))
    return AttackInstance(network, random_image(network, seed), 0.5, "untargeted", goal=goal)


def search_of(seed: int) -> FlipSearch:
    return FlipSearch(instance_of(seed), Limits(seed=seed), np.zeros((0, 9)))


def test_a_climb_is_learnt_of_when_what_ran_beside_it_is_over() -> None:
    better = 0
    for seed in range(8):
        search, alone = search_of(seed), search_of(seed).apart()
        Climber(alone).climb()
        before = search.best
        with ThreadPoolExecutor(1) as pool, ClimberBeside(search).climbing(pool):
            assert search.best == before
        assert search.best == alone.best
        assert search.instance.margins(search.findings.points)[0] == search.best
        better += search.best > before
    assert better >= 4


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_a_climb_found_outlives_what_stopped_the_work_beside_it(
    error: type[BaseException],
) -> None:
    seed = 2
    search, alone = search_of(seed), search_of(seed).apart()
    Climber(alone).climb()
    assert alone.best > search.best
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(error),
        ClimberBeside(search).climbing(pool),
    ):
        raise error
    assert search.best == alone.best


def test_what_fails_in_a_climb_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Climber) -> None:
        raise ValueError("of the climb")

    monkeypatch.setattr(Climber, "climb", fail)
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(ValueError, match="of the climb"),
        ClimberBeside(search_of(0)).climbing(pool),
    ):
        pass


@settings(max_examples=20)
@given(seed=seeds, goal=st.sampled_from(["margin", "flip"]), climbs=st.integers(0, 3))
def test_with_threads_a_search_repeats_itself_and_tells_of_better_points_on_its_own_thread(
    seed: int, goal: str, climbs: int
) -> None:
    instance, told = instance_of(seed, goal), []
    limits = Limits(seed=seed, threads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branch_and_bound, "NODES", 2)
        patch.setattr(branch_and_bound, "CLIMBS", climbs)
        patch.setattr(branch_and_bound, "TREE_FIRST", 0)
        patch.setattr("bnnopt.attacks.flips.target_trees.PAIRS", 1)
        one, other = (
            BranchAndBound()(
                instance,
                replace(
                    limits, on_incumbent=lambda *_: told.append(threading.current_thread().name)
                ),
            )
            for _ in range(2)
        )
    alone = BranchAndBound()(instance, Limits(seed=seed))
    assert (one.objective, one.bound, one.iterations) == (
        other.objective,
        other.bound,
        other.iterations,
    )
    assert np.array_equal(one.adversarial, other.adversarial)
    assert [objective for _, objective in one.trace] == [objective for _, objective in other.trace]
    assert one.status == alone.status
    if goal == "margin":
        assert one.objective == alone.objective
    assert set(told) <= {threading.main_thread().name}

"""Points and certificates of patterns, against linear programs and in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from bnnopt.search import reach
from bnnopt.search.problem import Region
from bnnopt.search.reach import OPEN, REACHED, REFUTED, decide_pattern
from tests.search.cases import one_region, random_region

seeds = st.integers(0, 10**6)


def random_pattern(seed: int, always: int = 0) -> tuple[Region, np.ndarray]:
    """Flipped or not; rows that stay may fall less far or more, as whole levels have it."""
    rng = np.random.default_rng(seed)
    region = random_region(rng, 5, 6, always, tight=rng.choice([0.2, 0.5]))
    region = region._replace(stay_demand=region.demand - rng.choice([0.0, 1.0]))
    flipped = rng.random(5 + always) < 0.6
    flipped[5:] = True
    return region, flipped


def rows(region: Region, flipped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``matrix @ u >= needs`` over u in [-1, 1]^m states the pattern."""
    side = np.where(flipped, -1.0, 1.0)  # sums fall where neurons flip
    return side[:, None] * region.weight * region.radius, np.where(
        flipped, region.demand, -region.stay_demand
    )


def deepest(region: Region, flipped: np.ndarray) -> float:
    """The largest smallest slack of a pattern, by a linear program."""
    matrix, needs = rows(region, flipped)
    k, m = matrix.shape
    solved = linprog(
        np.r_[np.zeros(m), -1.0],
        A_ub=np.hstack([-matrix, np.ones((k, 1))]),
        b_ub=-needs,
        bounds=[(-1.0, 1.0)] * m + [(None, None)],
    )
    return float(-solved.fun)


@settings(max_examples=150)
@given(seed=seeds, always=st.integers(0, 1))
def test_points_are_points_and_certificates_hold_in_exact_arithmetic(
    seed: int, always: int
) -> None:
    region, flipped = random_pattern(seed, always)
    matrix, needs = rows(region, flipped)
    u, multipliers = np.full(6, 77.0), np.full(5 + always, 77.0)
    verdict = decide_pattern(region, flipped, 0.5, 0.05, u, multipliers)
    slack = deepest(region, flipped)
    if verdict == REACHED:
        assert np.abs(u).max() <= 1.0
        exact = [[Fraction(a) for a in row] for row in matrix.tolist()]
        point = [Fraction(v) for v in u.tolist()]
        for row, need in zip(exact, needs.tolist(), strict=True):
            activity = sum(a * v for a, v in zip(row, point, strict=True))
            assert activity >= Fraction(need) + Fraction(1, 21)
    elif verdict == REFUTED:
        assert slack < 0
        shares = [Fraction(v) for v in multipliers.tolist()]
        assert min(shares) >= 0
        assert max(shares) > 0
        columns = zip(*matrix.tolist(), strict=True)
        pulls = [
            abs(sum(s * Fraction(a) for s, a in zip(shares, column, strict=True)))
            for column in columns
        ]
        needed = sum(s * Fraction(n) for s, n in zip(shares, needs.tolist(), strict=True))
        assert sum(pulls) <= needed - max(shares) * Fraction(9, 10**7)
    # Neither only where a pattern hardly has a point, or hardly lacks one.
    if slack > 0.2:
        assert verdict == REACHED
    if slack < -0.2:
        assert verdict == REFUTED


@settings(max_examples=60)
@given(seed=seeds, always=st.integers(0, 1), slack=st.floats(0.0, 1.0))
def test_violations_are_those_of_the_rows(seed: int, always: int, slack: float) -> None:
    region, flipped = random_pattern(seed, always)
    matrix, needs = rows(region, flipped)
    u = np.random.default_rng(seed).uniform(-1.0, 1.0, 6)
    gradient, multipliers = np.full(6, 77.0), np.full(5 + always, 77.0)
    least, largest = reach._violations(region, flipped, slack, u, gradient, multipliers)
    violated = np.maximum(needs + slack - matrix @ u, 0.0)
    assert least == pytest.approx((matrix @ u - needs).min())
    assert largest == pytest.approx(violated.max())
    assert multipliers == pytest.approx(violated)
    assert gradient * region.radius == pytest.approx(violated @ matrix)


def one_row(demand: float) -> tuple[Region, np.ndarray]:
    one = np.ones(1)
    return one_region(demand=demand * one, stay_demand=demand * one), one > 0


@pytest.mark.parametrize(
    ("demand", "enough", "verdict"),
    [
        (1.0 + 2e-6, 0.05, REFUTED),
        (1.0 + 5e-7, 0.05, OPEN),
        (1.0, 0.05, OPEN),
        (1.0 - 1e-3, 0.05, OPEN),
        (1.0 - 1e-3, 5e-4, REACHED),
        (0.5, 0.5, REACHED),
        (0.5, 0.6, OPEN),
    ],
)
def test_a_verdict_has_a_margin_for_rounding(demand: float, enough: float, verdict: int) -> None:
    region, flipped = one_row(demand)
    u, multipliers = np.zeros(1), np.zeros(1)
    assert decide_pattern(region, flipped, 0.7, enough, u, multipliers) == verdict
    if verdict == REACHED:
        assert -u[0] - demand >= enough


def test_where_all_rows_hold_nothing_is_violated() -> None:
    region, flipped = one_row(0.5)
    u, gradient, multipliers = -np.ones(1), np.ones(1), np.ones(1)
    found = reach._violations(region, flipped, 0.25, u, gradient, multipliers)
    assert found == (0.5, 0.0)
    assert gradient[0] == multipliers[0] == 0.0


def test_a_neuron_that_stays_refutes_too() -> None:
    """A fall of three levels at least and of two at most, over the same pixels."""
    one = np.ones(2)
    region = one_region(
        weight=np.ones((2, 2)),
        radius=one,
        demand=2.0 * one,
        stay_demand=1.5 * one,
        curvature=4.01,
    )
    for flipped, verdict in (((True, False), REFUTED), ((False, True), REFUTED)):
        found = decide_pattern(region, np.array(flipped), 0.5, 0.05, np.zeros(2), np.zeros(2))
        assert found == verdict
    wider = region._replace(stay_demand=2.5 * one)
    pattern = np.array([True, False])
    assert decide_pattern(wider, pattern, 0.2, 0.05, np.zeros(2), np.zeros(2)) == OPEN
    longer = wider._replace(radius=2.0 * one, curvature=16.01)
    assert decide_pattern(longer, pattern, 0.2, 0.05, np.zeros(2), np.zeros(2)) == REACHED


def test_all_patterns_of_a_few_neurons_are_decided_but_those_on_thresholds() -> None:
    counts = {OPEN: 0, REACHED: 0, REFUTED: 0}
    for seed in range(4):
        region, _ = random_pattern(seed)
        for pattern in product([False, True], repeat=5):
            flipped = np.array(pattern)
            verdict = decide_pattern(region, flipped, 0.5, 0.05, np.zeros(6), np.zeros(5))
            slack = deepest(region, flipped)
            assert verdict == OPEN or (verdict == REACHED) == (slack > 0)
            counts[verdict] += 1
    assert counts[OPEN] < 10
    assert min(counts[REACHED], counts[REFUTED]) > 20

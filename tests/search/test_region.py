"""What is reachable, as the kernel has it, against the network itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from bnnopt import AttackInstance, BinarizedNetwork
from bnnopt.flips import Flips, flip_origin
from bnnopt.search import region as region_module
from bnnopt.search.position import passes_sum_test
from bnnopt.search.problem import BINARY, LARGE, TERNARY
from bnnopt.search.reach import REACHED, decide_pattern
from bnnopt.search.region import free_region, region_of, sorted_flips
from tests.helpers import random_image, random_network, whole_rows
from tests.kinds import instance_of, networks
from tests.search.cases import is_excluded, random_conflicts, subsets

seeds = st.integers(0, 10**6)
domains: Any = st.sampled_from(["continuous", "pixels"])


def dense(weight: Any) -> np.ndarray:
    return np.asarray(weight if isinstance(weight, np.ndarray) else weight.toarray())


def check(instance: AttackInstance) -> None:
    """Flips are sorted by what they demand from the origin, and all is as at their neurons."""
    flips, layer = sorted_flips(instance), instance.network.hidden[0]
    origin, rows = flip_origin(instance), whole_rows(layer)[flips.neurons]
    low, high = instance.box
    sums = rows @ origin - layer.threshold[flips.neurons]
    step = 1.0 if instance.domain == "pixels" else 0.0
    from_origin = np.where(flips.signs > 0, sums + step, -sums)
    assert (np.diff(from_origin) <= 1e-9).all()
    assert (flips.signs == np.where(sums >= 0, 1, -1)).all()
    shift = (high + low) / 2 - origin
    weight = dense(flips.weight)
    assert flips.demand == pytest.approx(from_origin + weight @ shift)
    assert flips.stay_demand == pytest.approx(flips.demand - step)
    assert weight.tolist() == (flips.signs[:, None] * rows).tolist()
    assert flips.radius.tolist() == ((high - low) / 2).tolist()
    for most in range(len(flips.neurons) + 2):  # the easiest so many
        fewer, last = sorted_flips(instance, most), slice(max(len(flips.neurons) - most, 0), None)
        assert fewer.neurons.tolist() == flips.neurons[last].tolist()
        assert fewer.signs.tolist() == flips.signs[last].tolist()
        assert dense(fewer.weight).tolist() == weight[last].tolist()
        assert fewer.demand.tolist() == flips.demand[last].tolist()
        assert fewer.stay_demand.tolist() == flips.stay_demand[last].tolist()
        assert fewer.radius is not None and fewer.radius.tolist() == flips.radius.tolist()


@settings(max_examples=60)
@given(network=networks, seed=seeds, domain=domains, limited=st.booleans())
def test_flips_are_sorted_by_what_they_demand_from_the_origin(
    network: BinarizedNetwork, seed: int, domain: Any, limited: bool
) -> None:
    check(instance_of(network, seed, domain=domain, max_l1="4/7" if limited else None))
    network = random_network(seed, inputs=5, widths=(6, 4), levels=[1, 3, 7, 255][seed % 4])
    image = random_image(network, seed)
    check(AttackInstance(network, image, 0.4, domain=domain, max_l1=0.7 if limited else None))


def flips_of(weight: Any, radius: np.ndarray, demand: np.ndarray | None = None) -> Flips:
    k = weight.shape[0]
    needs = np.ones(k) if demand is None else demand
    return Flips(np.arange(k), np.ones(k, dtype=np.int8), weight, needs, needs - 1.0, radius)


@settings(max_examples=30)
@given(seed=seeds, is_sparse=st.booleans(), most_exact=st.sampled_from([2, 256]))
def test_a_region_has_the_pixels_that_move_and_a_curvature_that_is_large_enough(
    seed: int, is_sparse: bool, most_exact: int
) -> None:
    rng = np.random.default_rng(seed)
    size = [-2.0, -1.0, 0.0, 1.0] if is_sparse else [-1.0, 1.0]
    weight, radius = rng.choice(size, (4, 6)), rng.integers(0, 3, 6) / 2.0
    weight[:, 0], radius[0] = 1.0, 0.5
    demand = rng.random(4)
    flips = flips_of(csr_array(weight) if is_sparse else weight, radius, demand)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_module, "MOST_EXACT", most_exact)
        region = region_of(flips, 1, 0.25)
    assert region.weight.tolist() == weight[:, radius > 0].tolist()
    assert region.weight.flags.c_contiguous
    for row, first, end in zip(region.weight, region.first, region.first[1:], strict=False):
        places = np.flatnonzero(row) if is_sparse else []
        assert sorted(region.column[first:end]) == list(places)
    assert (len(region.first), region.first[-1]) == (5, len(region.column))
    assert region.radius.tolist() == radius[radius > 0].tolist()
    assert (region.demand is demand, region.always, region.rate) == (True, 1, 0.25)
    assert region.stay_demand.tolist() == (demand - 1.0).tolist()
    largest = np.linalg.norm(weight * radius, 2) ** 2
    assert largest <= region.curvature <= 1.011 * largest + 1e-12
    assert region_of(flips).always == 0
    assert region_of(flips).rate == 0.0
    assert not region.excludes.any()
    assert region.excludes.shape == (4, 4)
    assert (region.cost.shape, region.most.shape) == ((4, 0), (0,))


def test_without_rows_or_pixels_any_step_will_do() -> None:
    assert region_of(flips_of(np.ones((0, 2)), np.ones(2))).curvature > 0.0
    assert region_of(flips_of(np.ones((2, 2)), np.zeros(2))).curvature > 0.0


def test_the_kind_of_weights_is_that_of_the_rows_over_pixels_that_move() -> None:
    rows, radius = np.array([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]), np.array([1.0, 1.0, 0.0])
    assert region_of(flips_of(rows, radius)).entries == BINARY
    assert region_of(flips_of(csr_array(rows), radius)).entries == TERNARY
    rows[0, 2] = 5.0
    assert region_of(flips_of(csr_array(rows), radius)).entries == TERNARY
    rows[0, 1] = -2.0
    assert region_of(flips_of(csr_array(rows), radius)).entries == LARGE


def test_the_rounding_of_a_row_grows_with_its_levels_and_weights() -> None:
    radius = np.array([2.0**30, 0.0, 2.0**29])
    expected = 2.0 * 2.0**-36 * 1.5 * 2.0**30
    assert region_of(flips_of(np.ones((2, 3)), radius)).rounding == expected
    assert region_of(flips_of(csr_array(np.zeros((2, 3))), radius)).rounding == expected
    large = csr_array(np.array([[1.0, 0.0, -4.0], [0.0, 1.0, 2.0]]))
    assert region_of(flips_of(large, radius)).rounding == 4.0 * expected


@settings(max_examples=40)
@given(seed=seeds, budgets=st.integers(0, 2))
def test_in_a_free_region_all_that_is_not_excluded_has_a_point(seed: int, budgets: int) -> None:
    rng = np.random.default_rng(seed)
    excludes = random_conflicts(rng, 5)
    cost = rng.integers(1, 4, (5, budgets)).astype(float)
    region = free_region(excludes, cost, rng.integers(3, 9, budgets).astype(float))
    assert (region.always, region.rate, region.rounding) == (0, 0.0, 0.0)
    for members in subsets(range(5)):
        flipped = np.isin(np.arange(5), members)
        by_pair = (excludes & flipped & flipped[:, None]).any()
        assert passes_sum_test(region, flipped) or is_excluded(region, members)
        assert is_excluded(region, members) == (by_pair or not passes_sum_test(region, flipped))
        u, multipliers = np.zeros(0), np.zeros(5)
        assert decide_pattern(region, flipped, 0.5, 0.05, u, multipliers) == REACHED

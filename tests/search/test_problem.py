"""The margin and what is reachable, as the kernel has them, against the network itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer
from bnnopt.flips import Flips, flip_origin
from bnnopt.search.problem import (
    Region,
    budget_multiplier,
    certain_by,
    margin_terms,
    region_of,
    sorted_flips,
    without_idle,
)
from tests.helpers import random_image, random_network
from tests.search.cases import margin_at, subsets

seeds = st.integers(0, 10**6)
shapes = st.sampled_from([(6,), (6, 4), (6, 3, 5), (6, 5, 3, 4)])


def instance_of(seed: int, widths: tuple[int, ...] = (6, 4), **options: Any) -> AttackInstance:
    levels = [1, 3, 7, 255][seed % 4]
    head = "batchnorm" if seed % 3 == 0 else "integer"
    network = random_network(seed, inputs=5, widths=widths, levels=levels, head=head)
    rng = np.random.default_rng(seed)
    deeper = [
        HiddenLayer(layer.weight, layer.threshold + rng.integers(0, 2, len(layer.threshold)))
        for layer in network.hidden[1:]
    ]  # of either parity, as files may have them
    hidden = (network.hidden[0], *deeper)
    network = BinarizedNetwork(hidden, network.output, levels=levels)
    return AttackInstance(network, random_image(network, seed), 0.4, **options)


@settings(max_examples=60)
@given(seed=seeds, widths=shapes, domain=st.sampled_from(["continuous", "pixels"]))
def test_the_margin_of_each_flip_set_is_that_of_its_signs_in_the_network(
    seed: int, widths: tuple[int, ...], domain: Any
) -> None:
    instance = instance_of(seed, widths, domain=domain, target="untargeted")
    network, flips = instance.network, sorted_flips(instance)
    signs = network.hidden[0](flip_origin(instance)[None])[0]
    assert (signs[flips.neurons] == flips.signs).all()
    for target in instance.targets:
        assert margin_terms(instance, flips, target).change.shape[0] == len(flips.neurons)
        for always in (0, 1):
            terms = margin_terms(instance, flips, target, always)
            assert terms.change.shape[0] == len(flips.neurons) + always
            for members in subsets(range(len(flips.neurons))):
                values = signs[None].copy()
                values[0, flips.neurons[list(members)]] *= -1.0
                for layer in network.hidden[1:]:
                    values = layer(values)
                logits = network.output(values)[0]
                expected = float(logits[target] - logits[instance.source])
                expected /= instance.of_margins.unit
                rows = (*members, *range(len(flips.neurons), len(flips.neurons) + always))
                assert margin_at(terms, rows) == pytest.approx(expected)
                assert margin_at(without_idle(terms), rows) == pytest.approx(expected)


@settings(max_examples=60)
@given(seed=seeds, domain=st.sampled_from(["continuous", "pixels"]), limited=st.booleans())
def test_flips_are_sorted_by_what_they_demand_from_the_origin(
    seed: int, domain: Any, limited: bool
) -> None:
    instance = instance_of(seed, domain=domain, max_l1=0.7 if limited else None)
    flips, layer = sorted_flips(instance), instance.network.hidden[0]
    origin = flip_origin(instance)
    low, high = instance.box
    sums = layer.weight[flips.neurons] @ origin - layer.threshold[flips.neurons]
    step = 1.0 if domain == "pixels" else 0.0
    from_origin = np.where(flips.signs > 0, sums + step, -sums)
    assert (np.diff(from_origin) <= 1e-9).all()
    assert (flips.signs == np.where(sums >= 0, 1, -1)).all()
    shift = (high + low) / 2 - origin
    assert flips.demand == pytest.approx(from_origin + flips.weight @ shift)
    assert flips.stay_demand == pytest.approx(flips.demand - step)
    assert flips.weight.tolist() == (flips.signs[:, None] * layer.weight[flips.neurons]).tolist()
    assert flips.radius.tolist() == ((high - low) / 2).tolist()


@settings(max_examples=30)
@given(seed=seeds)
def test_a_region_has_the_pixels_that_move_and_a_curvature_that_is_large_enough(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, radius = rng.choice([-1.0, 1.0], (4, 6)), rng.integers(0, 3, 6) / 2.0
    demand = rng.random(4)
    flips = Flips(np.arange(4), np.ones(4, dtype=np.int8), weight, demand, demand - 1.0, radius)
    region = region_of(flips, 1, 0.25)
    assert region.weight.tolist() == weight[:, radius > 0].tolist()
    assert region.radius.tolist() == radius[radius > 0].tolist()
    assert (region.demand is demand, region.always, region.rate) == (True, 1, 0.25)
    assert region.stay_demand.tolist() == (demand - 1.0).tolist()
    largest = np.linalg.norm(weight * radius, 2) ** 2
    assert largest <= region.curvature <= 1.01 * largest + 1e-12
    assert region_of(flips).always == 0
    assert region_of(flips).rate == 0.0


def test_a_sum_must_fail_by_what_its_rows_can_be_off() -> None:
    one = np.ones(1)
    region = Region(np.ones((1, 1)), one, one, one, 1.0, 0, 0.0)
    assert certain_by(region, 1e6) == 1e-6
    assert certain_by(region._replace(rounding=1e-6), 0.5) == 1e-6
    assert certain_by(region._replace(rounding=1e-6), 3.0) == 3.0 * 1e-6
    flips = random_region_flips(np.array([2.0**30, 0.0, 2.0**29]))
    assert region_of(flips).rounding == 2.0 * 2.0**-36 * 1.5 * 2.0**30


def random_region_flips(radius: np.ndarray) -> Flips:
    two = np.ones(2)
    return Flips(np.arange(2), two.astype(np.int8), np.ones((2, len(radius))), two, two, radius)


@pytest.mark.parametrize("size", [0, 1, 2, 4, 9, 10])
def test_the_multiplier_of_a_budget_is_the_next_whole_number(size: int) -> None:
    one = np.ones(1)
    for rate in (0.0, 0.3, 1.0, 1.5):
        region = Region(np.ones((1, 1)), one, one, one, 1.0, 1, rate)
        exact = rate * np.sqrt(size)
        assert exact <= budget_multiplier(region, size) < exact + 1.0
        assert budget_multiplier(region, size) % 1.0 == 0.0

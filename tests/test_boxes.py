"""Budgets in exact arithmetic: what a box contains, what a point may be, what is admitted."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import AttackInstance, BinarizedNetwork, OutputLayer
from bnnopt.errors import BnnoptError
from bnnopt.goal import DISTANCES
from bnnopt.network import GRID
from tests.helpers import random_image, random_network

seeds = st.integers(0, 10**6)
domains = st.sampled_from(["continuous", "pixels"])
epsilons = st.sampled_from(["0", "1/7", "2/255", "0.01", "0.3", "8/255", "1", "1/3"])
BUDGETS: list[dict[str, Any]] = [
    {},
    {"max_pixels": 2},
    {"max_l1": "0.6"},
    {"max_l1": "5/255"},
    {"direction": "lighten", "max_l1": "1/3"},
    {"direction": "darken", "max_pixels": 1},
    {"mask": [True, False, True, True], "max_pixels": 3, "max_l1": "0.5"},
]


def instance_of(seed: int, epsilon: str, domain: Any, **options: Any) -> AttackInstance:
    network = random_network(seed, inputs=4, widths=(3,), levels=[3, 7, 255][seed % 3])
    image = random_image(network, seed)
    if domain == "continuous" and seed % 2:
        image = np.random.default_rng(seed).random(4)
    image[seed % 4] = seed // 4 % 2
    return AttackInstance(network, image, epsilon, domain=domain, **options)  # type: ignore[arg-type]


def exact(instance: AttackInstance, text: str) -> Fraction:
    return Fraction(text) * instance.network.levels


@settings(max_examples=150)
@given(seed=seeds, epsilon=epsilons, domain=domains, budget=st.sampled_from(BUDGETS))
def test_the_box_contains_what_the_network_sees_of_every_image_within_the_budget(
    seed: int, epsilon: str, domain: Any, budget: dict[str, Any]
) -> None:
    instance = instance_of(seed, epsilon, domain, **budget)
    (low, high), levels = instance.box, instance.network.levels
    radius, rng = exact(instance, epsilon), np.random.default_rng(seed)
    image = [Fraction(float(x)) * levels for x in np.ravel(instance.image)]
    if domain == "pixels":
        image = [Fraction(z) for z in instance.levels.tolist()]
    mask = np.ones(4, dtype=bool) if instance.mask is None else np.ravel(instance.mask)
    for _ in range(20):
        seen = []
        for i, x in enumerate(image):
            share = Fraction(int(rng.integers(-8, 9)), 8)
            if (
                not mask[i]
                or share * {"lighten": -1, "darken": 1, "both": 0}[instance.direction] > 0
            ):
                share = Fraction(0)
            z = min(max(x + share * radius, Fraction(0)), Fraction(levels))
            step = Fraction(1) if domain == "pixels" else Fraction(1, int(GRID))
            # The grid value that is nearest; in whole levels, one towards the image.
            steps = z / step
            nearest = round(steps) if domain == "continuous" else int(steps)
            if domain == "pixels" and z < x:
                nearest = -((-steps.numerator) // steps.denominator)
            seen.append(float(nearest * step))
        assert (low <= seen).all()
        assert (seen <= high).all()
    assert (instance.reach == np.maximum(high - instance.levels, instance.levels - low)).all()
    for i in range(4):
        if not mask[i] or radius == 0:
            assert low[i] == high[i] == instance.levels[i]
    if instance.direction == "lighten":
        assert (low == instance.levels).all()
    if instance.direction == "darken":
        assert (high == instance.levels).all()
    # It is no wider than the nearest grid value beyond a radius that is rounded up.
    half = Fraction(1, 2 * 2**20) + Fraction(1, 2**29) if domain == "continuous" else 0
    up = Fraction(-((-radius.numerator * 2**20) // radius.denominator), 2**20)
    for i, x in enumerate(image):
        assert Fraction(low[i]) >= min(x - up - half, Fraction(float(instance.levels[i])))
        assert Fraction(high[i]) <= max(x + up + half, Fraction(float(instance.levels[i])))
    assert low.min() >= 0.0
    assert high.max() <= levels


@settings(max_examples=150)
@given(seed=seeds, epsilon=epsilons, domain=domains, budget=st.sampled_from(BUDGETS))
def test_points_are_admitted_and_within_the_budget_by_no_more_than_a_grid_step(
    seed: int, epsilon: str, domain: Any, budget: dict[str, Any]
) -> None:
    instance = instance_of(seed, epsilon, domain, **budget)
    rng, levels = np.random.default_rng(seed), instance.network.levels
    low, high = instance.point_box
    outer_low, outer_high = instance.box
    assert (outer_low <= low).all() and (high <= outer_high).all()
    assert (low <= instance.levels).all() and (instance.levels <= high).all()
    assert (high - low >= outer_high - outer_low - 4.0 / GRID).all()
    assert instance.admits(instance.image)
    step = 1.0 if domain == "pixels" else GRID
    for _ in range(8):
        z = instance.snap(rng.uniform(-1.0, levels + 1.0, 4))
        change = z - instance.levels
        assert (low <= z).all() and (z <= high).all()
        assert (z * step == np.round(z * step)).all()
        assert instance.admits(z / levels)
        for change_i in change:
            assert abs(Fraction(float(change_i))) <= exact(instance, epsilon) + Fraction(2, 2**20)
        if instance.max_pixels is not None:
            assert np.count_nonzero(change) <= instance.max_pixels
        if instance.max_l1 is not None:
            total = sum(abs(Fraction(float(c))) for c in change)
            assert total <= exact(instance, budget["max_l1"]) + Fraction(1, 10**9)
    inner = (low + high) / 2.0
    snapped = instance.snap(inner)
    if instance.is_box:
        assert np.abs(snapped - inner).max() <= 0.5 / step + 1e-12
    else:  # the largest changes stay
        change = np.abs(snapped - instance.levels)
        wanted = np.abs(np.round(inner * step) / step - instance.levels)
        kept = np.sort(wanted)[::-1][: instance.max_pixels].sum()
        assert change.sum() >= min(kept, instance.l1_point_levels) - 4.5 / step


@settings(max_examples=60)
@given(seed=seeds, budget=st.sampled_from(BUDGETS[1:]))
def test_images_of_whole_levels_are_admitted_exactly_within_the_budget(
    seed: int, budget: dict[str, Any]
) -> None:
    network = random_network(seed, inputs=4, widths=(3,), levels=3)
    instance = AttackInstance(
        network, random_image(network, seed), "2/3", domain="pixels", **budget
    )  # type: ignore[arg-type]
    mask = np.ones(4, dtype=bool) if instance.mask is None else np.ravel(instance.mask)
    farthest = dict.fromkeys(DISTANCES, 0.0)
    for z in product(range(4), repeat=4):
        change = np.array(z) - instance.levels
        fits = (
            np.abs(change).max() <= 2
            and not change[~mask].any()
            and not (instance.direction == "lighten" and change.min() < 0)
            and not (instance.direction == "darken" and change.max() > 0)
            and (instance.max_pixels is None or np.count_nonzero(change) <= instance.max_pixels)
            and ("max_l1" not in budget or np.abs(change).sum() <= Fraction(budget["max_l1"]) * 3)
        )
        assert instance.admits(np.array(z) / 3.0) == fits
        if fits:
            moved = instance.distances(np.array(z, dtype=np.float64))
            farthest = {name: max(farthest[name], moved[name]) for name in DISTANCES}
    allowed = {name: instance.largest_distance(name) for name in DISTANCES}
    assert all(farthest[name] <= allowed[name] + 1e-9 for name in DISTANCES)
    assert allowed["linf"] == instance.epsilon
    assert instance.max_pixels is not None or allowed["l1"] == pytest.approx(farthest["l1"])
    assert instance.max_l1 is not None or allowed["l0"] == farthest["l0"]
    assert not instance.admits(np.clip(instance.levels / 3.0 + 0.1, 0.0, 1.0) * 0.97 + 0.011)


@pytest.mark.parametrize("domain", ["continuous", "pixels"])
@pytest.mark.parametrize("text", ["0", "1/3", "2/255", "0.1", "0.6", "100", "1e-12"])
def test_an_l1_budget_is_rounded_up_for_proofs_and_down_for_points(domain: Any, text: str) -> None:
    for seed in range(3):
        check_rounding(seed, domain, text)


def check_rounding(seed: int, domain: Any, text: str) -> None:
    instance = instance_of(seed, "0.3", domain, max_l1=text)
    up, down = Fraction(instance.l1_levels), Fraction(instance.l1_point_levels)
    budget, step = exact(instance, text), Fraction(1, 2**20) if domain == "continuous" else 1
    slack = Fraction(1, 10**9)
    if domain == "continuous":
        assert down <= budget + slack and budget - slack <= up
        assert up - down <= step
        assert budget - down <= step + slack and up - budget <= step + slack
    else:
        assert up == down == (budget + slack).__floor__()
    assert (up / step).denominator == (down / step).denominator == 1
    unlimited = instance_of(seed, "0.3", domain)
    assert unlimited.l1_levels == unlimited.l1_point_levels == np.inf
    assert unlimited.is_box
    assert not instance.is_box


@pytest.mark.parametrize("ties", ["lowest", "never", "always"])
def test_sources_and_targets_are_those_of_the_logits_the_lowest_index_first(ties: Any) -> None:
    base = random_network(0, classes=4)
    image = random_image(base, 0)
    for bias in product((0.0, 1.0, 2.0), repeat=4):
        output = OutputLayer(np.ones((4, 3)), np.ones(4), np.array(bias))
        network = BinarizedNetwork(base.hidden, output, base.levels)
        order = sorted(range(4), key=lambda c: (-bias[c], c))
        instance = AttackInstance(network, image, 0.1, ties=ties)
        assert instance.source == order[0]
        assert instance.targets == (order[1],)
        untargeted = AttackInstance(network, image, 0.1, "untargeted", ties=ties)
        assert untargeted.targets == tuple(sorted(order[1:]))
        chosen = AttackInstance(network, image, 0.1, target=order[3], source=order[2], ties=ties)
        assert (chosen.source, chosen.targets) == (order[2], (order[3],))
        margin = bias[order[3]] - bias[order[2]]
        assert instance.margins(instance.levels[None])[0] == bias[order[1]] - bias[order[0]]
        assert chosen.margins(chosen.levels[None])[0] == margin
        wins = ties == "always" or (ties == "lowest" and order[3] < order[2])
        assert chosen.are_flips(chosen.levels[None])[0] == (margin > 0 or (margin == 0 and wins))
        for z in (instance.levels, instance.levels[::-1]):
            rank = chosen.sought.rank(
                float(chosen.margins(z[None])[0]),
                bool(chosen.are_flips(z[None])[0]),
                chosen.distances(z),
            )
            assert chosen.rank(z) == rank
    names = ("a", "b", "c", "d")
    named = BinarizedNetwork(base.hidden, base.output, base.levels, class_names=names)
    source = base.predict(image)
    for c in {0, 1, 2, 3} - {source}:
        instance = AttackInstance(named, image, 0.1, target=names[c], source=names[source])
        assert (instance.source, instance.targets) == (source, (c,))
    wrong: list[dict[str, Any]] = [{"domain": "pixel"}, {"direction": "up"}, {"ties": "highest"}]
    for options in wrong:
        with pytest.raises(BnnoptError):
            AttackInstance(base, image, 0.1, **options)
    with pytest.raises(BnnoptError):
        AttackInstance(named, image, 0.1, target="e")
    with pytest.raises(BnnoptError):
        AttackInstance(base, image, 0.1, target=4)
    with pytest.raises(BnnoptError):
        AttackInstance(base, image, 0.1, target=base.predict(image))
    with pytest.raises(BnnoptError):
        AttackInstance(base, np.stack([image, image]), 0.1)
    with pytest.raises(BnnoptError):
        AttackInstance(base, np.full(4, 0.3), 0.1, domain="pixels")

from __future__ import annotations

import numpy as np
import pytest

from bnnopt import AttackInstance
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips.flip_search import FlipSearch
from bnnopt.attacks.flips.near_patterns import NearPatterns, draw_neighbours
from bnnopt.attacks.flips.pattern import Climber
from bnnopt.search.reach import REACHED
from bnnopt.search.space import CutSpace
from tests.helpers import random_image, random_network
from tests.kinds import network_of_cuts


def search_of(seed: int, target: str = "runner-up", *, cuts: bool = False) -> FlipSearch:
    network = random_network(seed, inputs=9, widths=(9, 6, 5))
    if cuts:
        network = network_of_cuts(seed, 9)
    instance = AttackInstance(network, random_image(network, seed), 0.5, target)
    return FlipSearch(instance, Limits(seed=seed), np.zeros((0, 9)))


@pytest.mark.parametrize("cuts", [False, True])
@pytest.mark.parametrize("target", ["runner-up", "untargeted"])
def test_a_better_set_has_a_point_and_a_larger_margin_and_differs_in_few(
    target: str, cuts: bool
) -> None:
    found = 0
    for seed in range(8):
        search, rng = search_of(seed, target, cuts=cuts), np.random.default_rng(seed)
        space, near = search.space, NearPatterns(search.space, list(search.terms.values()))
        assert isinstance(space, CutSpace) == cuts
        u = rng.uniform(-1.0, 1.0, len(search.region.radius))
        if cuts:
            u = space.near(np.zeros(search.num_flips), rng)
        flipped = space.pattern(u)
        before = max(search.margin(t, np.flatnonzero(flipped)) for t in search.terms)
        status, point = near.better(rng, flipped, space.distance(u), 4)
        if status != REACHED:
            continue
        found += 1
        point = space.found(near.flipped, point)
        assert np.array_equal(space.pattern(point), near.flipped)
        assert (near.flipped != flipped).sum() <= 4
        margins = search.instance.margins(space.point(point)[None])
        assert margins[0] == pytest.approx(near.margin.max() * search.margins.unit)
        assert margins[0] > before
    assert found >= 4


def test_neurons_near_their_thresholds_turn_more_often_and_those_named_always() -> None:
    rng, distance = np.random.default_rng(0), np.array([0.0, 1.0, 2.0, 5.0])
    last = np.array([False, False, False, True])
    free = np.bincount(np.ravel([draw_neighbours(rng, distance, 2) for _ in range(400)]))
    assert free[0] > free[1] > free[2] > free[3]
    named = [draw_neighbours(rng, distance, 2, last) for _ in range(400)]
    assert all(3 in drawn for drawn in named)
    assert np.bincount(np.ravel(named))[0] > 200


@pytest.mark.parametrize("cuts", [False, True])
def test_a_climb_repeats_itself_with_its_seed_and_never_gets_worse(cuts: bool) -> None:
    traces = []
    for _ in range(2):
        search = search_of(3, cuts=cuts)
        climber = Climber(search)
        for _ in range(20):
            climber.climb()
        traces.append([margin for _, margin in search.findings.trace])
    assert traces[0] == traces[1] == sorted(traces[0])
    assert len(traces[0]) > 1

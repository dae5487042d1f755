from __future__ import annotations

import numpy as np
import pytest

from bnnopt import AttackInstance
from bnnopt.search.bound import margin_of
from bnnopt.search.place import move_to, new_place, worth_of
from bnnopt.search.problem import margin_terms, region_of, sorted_flips
from tests.helpers import random_image, random_network


@pytest.mark.parametrize("widths", [(9,), (9, 5), (9, 4, 6), (9, 6, 4, 5, 3)])
@pytest.mark.parametrize("target", ["runner-up", "untargeted"])
def test_turning_neurons_one_by_one_gives_the_margins_of_the_set(
    widths: tuple[int, ...], target: str
) -> None:
    for seed in range(3):
        network = random_network(seed, inputs=6, widths=widths)
        instance = AttackInstance(network, random_image(network, seed), 0.5, target)
        flips = sorted_flips(instance)
        region = region_of(flips)
        terms = [margin_terms(instance, flips, c) for c in instance.targets]
        worth = worth_of(terms)
        place, rng = new_place(worth), np.random.default_rng(seed)
        keys = set()
        for _ in range(20):
            flipped = rng.random(len(flips.neurons)) < 0.5
            move_to(region, worth, place, flipped)
            assert np.array_equal(place.flipped, flipped)
            assert place.demand[0] == pytest.approx(region.demand[flipped].sum())
            margins = [margin_of(t, t.surplus + t.change[flipped].sum(axis=0)) for t in terms]
            assert place.margin.tolist() == pytest.approx(margins)
            keys.add((flipped.tobytes(), int(place.key[0])))
        # One key a set, whatever the order of turns.
        assert len({pattern for pattern, _ in keys}) == len(keys) == len({key for _, key in keys})

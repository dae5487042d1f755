from __future__ import annotations

import numpy as np
import pytest

from bnnopt import AttackInstance
from bnnopt.search.bound import margin_of
from bnnopt.search.position import move_to, new_position, target_terms
from bnnopt.search.space import space_of
from bnnopt.search.terms import margin_terms
from tests.helpers import random_image, random_network


@pytest.mark.parametrize("widths", [(9,), (9, 5), (9, 4, 6), (9, 6, 4, 5, 3)])
@pytest.mark.parametrize("target", ["runner-up", "untargeted"])
def test_turning_neurons_one_by_one_gives_the_margins_of_the_set(
    widths: tuple[int, ...], target: str
) -> None:
    for seed in range(3):
        network = random_network(seed, inputs=6, widths=widths)
        instance = AttackInstance(network, random_image(network, seed), 0.5, target)
        space = space_of(instance)
        terms = margin_terms(instance, space.origin, space.shift)
        assert terms is not None
        targets, of_targets = target_terms(list(terms.values())), terms.values()
        position, rng = new_position(targets), np.random.default_rng(seed)
        keys = set()
        for _ in range(20):
            flipped = rng.random(len(space.neurons)) < 0.5
            move_to(targets, position, flipped)
            assert np.array_equal(position.flipped, flipped)
            margins = [margin_of(t, t.surplus + t.change[flipped].sum(axis=0)) for t in of_targets]
            assert position.margin.tolist() == pytest.approx(margins)
            keys.add((flipped.tobytes(), int(position.key[0])))
        # One key a set, whatever the order of turns.
        assert len({pattern for pattern, _ in keys}) == len(keys) == len({key for _, key in keys})

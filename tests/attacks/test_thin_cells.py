from __future__ import annotations

import itertools

import numpy as np
import pytest

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.attacks.exact_cell import ExactCell
from bnnopt.attacks.reachability import Reachability
from bnnopt.network import GRID

ROOM = 2
"""Grid steps to either side of the image, few enough to see them all."""


def tiny_instance(seed: int, max_l1: float | None = None, domain: str = "continuous"):  # type: ignore[no-untyped-def]
    """An image whose sums lie at its thresholds, within a few grid steps, or a few levels."""
    rng = np.random.default_rng(seed)
    step = 1.0 if domain == "pixels" else 1.0 / GRID
    levels, n, k = 7, 3, 4
    weight = rng.choice([-1, 1], (k, n))
    z = rng.integers(2, 6, n).astype(float)
    first = HiddenLayer(weight, (weight @ z).astype(int))
    z += step * rng.integers(-1, 2, n)
    network = BinarizedNetwork(
        (first,), OutputLayer(rng.choice([-1, 1], (2, k)), [1, 1], [0, 0]), levels=levels
    )
    budget = None if max_l1 is None else max_l1 * step / levels
    epsilon = ROOM * step / levels
    return AttackInstance(network, z / levels, epsilon, domain=domain, max_l1=budget)  # type: ignore[arg-type]


def points_of(instance: AttackInstance, signs: np.ndarray) -> list[np.ndarray]:
    step = 1.0 if instance.domain == "pixels" else 1.0 / GRID
    found = []
    for moves in itertools.product(range(-ROOM, ROOM + 1), repeat=instance.network.num_inputs):
        z = instance.levels + step * np.array(moves)
        if np.any((z < 0) | (z > instance.network.levels)):
            continue
        if not instance.admits(z / instance.network.levels):
            continue
        if np.array_equal(instance.network.hidden[0](z[None])[0], signs):
            found.append(z)
    return found


@pytest.mark.parametrize("domain", ["continuous", "pixels"])
@pytest.mark.parametrize("max_l1", [None, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_a_cell_is_refuted_only_if_no_image_has_it_and_found_only_if_one_has(
    seed: int, max_l1: float | None, domain: str
) -> None:
    instance = tiny_instance(seed, max_l1, domain)
    neurons = np.arange(4)
    refuted = found = 0
    with Reachability(instance, neurons, max_l1=instance.l1_point_levels) as reachability:
        for signs in itertools.product([-1, 1], repeat=4):
            pattern = np.array(signs, dtype=np.int8)
            points = points_of(instance, pattern)
            cell = ExactCell(instance, neurons, pattern)
            assert all(cell.has_levels(z) for z in points)
            reached = reachability.test(pattern)
            assert reached.point is not None
            if cell.is_refuted_by(reached.multipliers):
                assert not points
                refuted += 1
            near = cell.point_near(reached.point, None)
            if near is not None:
                assert any(np.array_equal(near, z) for z in points)
                found += 1
            assert (near is not None) == bool(points)
    assert found > 0
    assert refuted > 0


def test_a_point_beside_keeps_still_what_it_is_told_to() -> None:
    instance = tiny_instance(0)
    signs = instance.network.hidden[0](instance.levels[None])[0].astype(np.int8)
    cell = ExactCell(instance, np.arange(4), signs)
    near = cell.point_near(instance.levels, None, still=True)
    assert near is not None
    assert np.array_equal(near, instance.levels)

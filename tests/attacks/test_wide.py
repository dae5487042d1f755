"""Any flip of a network whose first layer has many unstable neurons: gradients come first."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bnnopt import AttackInstance, BinarizedNetwork, OutputLayer, Status
from bnnopt.attacks import auto
from bnnopt.attacks.auto import AutoAttack
from bnnopt.attacks.base import Limits
from bnnopt.attacks.flips import BranchAndBound
from bnnopt.network.unroll import conv2d, max_pool2d
from tests.helpers import random_image, random_network

SAFE = 6
"""Seed of a tiny network and an image whose box has unstable neurons and no flip."""


def signs(seed: int = 0) -> tuple[BinarizedNetwork, np.ndarray]:
    """A small network of the traffic signs' kind, and an image of levels."""
    rng = np.random.default_rng(seed)
    first = conv2d(rng.choice([-1, 1], (8, 3, 3, 3)), 127, (3, 14, 14))
    second = conv2d(rng.choice([-1, 1], (8, 8, 2, 2)), 0, first.output_shape)
    pool = max_pool2d(second.output_shape, 2)
    wide = rng.choice([-1, 1], (5, pool.shape[0]))
    head = OutputLayer(wide, np.ones(5), np.zeros(5))
    image = rng.integers(0, 256, (3, 14, 14))
    return BinarizedNetwork((first, second, pool), head, input_shape=(3, 14, 14)), image


def test_a_flip_in_a_wide_first_layer_is_pgds_and_it_is_replayed() -> None:
    network, image = signs()
    instance = AttackInstance(network, image, "40/255", "untargeted", goal="flip")
    result = AutoAttack()(instance, Limits(60.0))
    assert (result.status, result.ran, result.method) == (Status.OPTIMAL, "pgd", "auto")
    assert result.flipped
    assert result.verified
    assert "torch" in result.versions


@pytest.mark.parametrize("goal", ["margin", "linf"])
def test_other_goals_are_left_to_the_tree(goal: str) -> None:
    network, image = signs()
    instance = AttackInstance(network, image, "40/255", "untargeted", goal=goal)
    result = AutoAttack()(instance, Limits(2.0))
    assert result.ran == "bab"
    assert "torch" not in result.versions


def test_gradients_before_the_tree_change_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "WIDE", 0)
    statuses, runs = set(), set()
    for seed in range(12):
        network = random_network(seed, inputs=5, widths=(5, 4))
        image = random_image(network, seed)
        instance = AttackInstance(network, image, "1/7", "untargeted", goal="flip", ties="always")
        result = AutoAttack()(instance, Limits(60.0))
        assert result.status is BranchAndBound()(instance, Limits(60.0)).status
        if result.ran == "bab" and result.notes:
            assert result.notes[0].endswith("steps of pgd")
        statuses.add(result.status)
        runs.add(result.ran)
    assert statuses == {Status.OPTIMAL, Status.INFEASIBLE}
    assert runs == {"bab", "pgd"}


def test_effort_limits_gradients_and_tree_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "WIDE", 0)
    network = random_network(SAFE, inputs=5, widths=(5, 4))
    image = random_image(network, SAFE)
    instance = AttackInstance(network, image, "1/7", "untargeted", goal="flip", ties="always")
    first, second = (AutoAttack()(instance, Limits(effort=12)) for _ in range(2))
    assert first.ran == "bab"
    assert first.notes[0] == "no flip in 6 steps of pgd"
    assert first.objective == second.objective
    assert np.array_equal(first.adversarial, second.adversarial)


def test_without_torch_the_tree_does_it_alone() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from tests.attacks.test_wide import *\n"
        "network, image = signs()\n"
        "instance = AttackInstance(network, image, '40/255', 'untargeted', goal='flip')\n"
        "result = AutoAttack()(instance, Limits(60.0))\n"
        "print(result.ran, result.flipped, 'torch' in result.versions)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["bab", "True", "False"], run.stderr

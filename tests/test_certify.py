from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnopt
from bnnopt import AttackInstance, Robustness
from bnnopt.errors import BnnoptError
from tests.helpers import best_pixel_margin, random_image, random_network


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), epsilon=st.sampled_from([0.0, 0.15, 0.3, 0.45]))
def test_in_pixels_the_verdict_is_that_of_enumeration(seed: int, epsilon: float) -> None:
    network = random_network(seed, inputs=4, widths=(5, 3))
    image = random_image(network, seed)
    certificate = bnnopt.certify(network, image, epsilon, domain="pixels")
    best = best_pixel_margin(AttackInstance(network, image, epsilon, "untargeted", "pixels"))
    expected = Robustness.VULNERABLE if best > 0 else Robustness.ROBUST
    assert certificate.verdict is expected
    if best > 0:
        assert certificate.adversarial is not None
        logits = network.logits(certificate.adversarial)
        assert logits[certificate.target] - logits[certificate.source] == certificate.margin > 0
    else:
        assert set(certificate.classes) == set(range(3)) - {certificate.source}


def test_one_real_image_is_robust_and_another_is_broken() -> None:
    images = bnnopt.datasets.embedded()
    robust = bnnopt.certify("fashion-mnist-2x100", images.x(1), 0.002)
    broken = bnnopt.certify("fashion-mnist-2x100", images.x(4), 0.006)
    assert robust.verdict is Robustness.ROBUST
    assert len(robust.classes) == 9
    assert broken.verdict is Robustness.VULNERABLE
    assert broken.margin is not None
    assert broken.margin > 0
    assert broken.as_dict()["verdict"] == "vulnerable"


@pytest.mark.parametrize("seed", [1, 5, 9])
def test_bisection_in_pixels_ends_at_neighbouring_levels(seed: int) -> None:
    network = random_network(seed, inputs=4, widths=(5, 3))
    image = random_image(network, seed)
    bracket = bnnopt.bracket_epsilon(network, image, 4 / 7, domain="pixels")
    robust = [
        step
        for step in range(5)
        if best_pixel_margin(AttackInstance(network, image, step / 7, "untargeted", "pixels")) <= 0
    ]
    assert round(bracket.certified * 7) == max(robust)
    if bracket.broken is not None:
        assert round(bracket.broken * 7) == max(robust) + 1
        assert bracket.adversarial is not None
        assert network.predict(bracket.adversarial) != network.predict(image)


def test_bisection_of_real_values_brackets_within_the_tolerance() -> None:
    network = random_network(5, inputs=4, widths=(5, 3))
    image = random_image(network, 5)
    bracket = bnnopt.bracket_epsilon(network, image, 0.5, tolerance=0.01)
    assert bracket.broken is not None
    assert 0 <= bracket.broken - bracket.certified <= 0.01


@pytest.mark.parametrize(
    "wrong", [{"epsilon": 2.0}, {"solver": "highz"}, {"domain": "real"}, {"time_limit": -1.0}]
)
def test_a_wrong_argument_is_refused(wrong: dict[str, Any]) -> None:
    network = random_network(0)
    with pytest.raises(BnnoptError):
        bnnopt.certify(network, np.zeros(4), **wrong)


def test_a_tolerance_of_nothing_is_refused() -> None:
    network = random_network(0)
    with pytest.raises(BnnoptError, match="tolerance"):
        bnnopt.bracket_epsilon(network, np.zeros(4), tolerance=0.0)

"""Bisection over budgets, with verdicts that are true; and verdicts by what each class gave."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer, Robustness

module: Any = importlib.import_module("bnnopt.certify")
NETWORK = BinarizedNetwork(
    (HiddenLayer([[1]], [4]),), OutputLayer([[-1], [1]], [1, 1], [0, 0]), levels=20
)


class Truth:
    """An image that withstands all below a distance, and verdicts on it."""

    def __init__(self, seed: int, domain: str, mood: str) -> None:
        self.rng, self.mood, self.domain = np.random.default_rng(seed), mood, domain
        self.distance = float(self.rng.integers(1, 13)) / 20.0
        if domain == "continuous":
            self.distance -= 0.013
        self.asked: list[float] = []

    def certify(self, network: Any, image: Any, epsilon: float, **_: Any) -> Any:
        assert len(self.asked) < 60
        self.asked.append(epsilon)
        verdict, adversarial = Robustness.ROBUST, None
        if epsilon >= self.distance:
            far = self.distance + self.rng.random() * (epsilon - self.distance)
            if self.domain == "pixels":
                far = np.floor(far * 20 + 1e-9) / 20.0
            verdict, adversarial = Robustness.VULNERABLE, np.array([0.6 - far])
        stops = self.mood in ("interrupted", "message") and self.rng.random() < 0.3
        if stops or (self.mood == "slow" and self.rng.random() < 0.3):
            verdict, adversarial = Robustness.UNKNOWN, None
        return SimpleNamespace(
            verdict=verdict,
            adversarial=adversarial,
            interrupted=stops and self.mood == "interrupted",
            message="it broke" if stops and self.mood == "message" else "",
        )


@settings(max_examples=100)
@given(
    seed=st.integers(0, 10**6),
    domain=st.sampled_from(["continuous", "pixels"]),
    mood=st.sampled_from(["proves", "slow", "interrupted", "message"]),
)
def test_a_bracket_contains_the_distance_and_is_as_narrow_as_asked(
    seed: int, domain: Any, mood: str
) -> None:
    truth = Truth(seed, domain, mood)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "certify", truth.certify)
        found = module.bracket_epsilon(NETWORK, [0.6], 0.5, tolerance=0.004, domain=domain)
    least = truth.distance
    assert found.certified < least
    assert truth.asked[0] == 0.5
    assert len(found.certificates) == len(truth.asked)
    stopped = [c.interrupted or bool(c.message) for c in found.certificates]
    assert not any(stopped[:-1])  # the last one, if any
    if found.broken is not None:
        assert found.broken >= least - 1e-9
        assert found.adversarial is not None
        assert found.broken == pytest.approx(abs(0.6 - found.adversarial[0]))
    robust = [
        e for e, c in zip(truth.asked, found.certificates, strict=True) if c.verdict == "robust"
    ]
    assert found.certified == max(robust, default=0.0)
    changes = [0.6 - c.adversarial[0] for c in found.certificates if c.adversarial is not None]
    assert found.broken == pytest.approx(min(changes)) if changes else found.broken is None
    if mood == "proves":
        if least > 0.5:
            assert (found.certified, found.broken) == (0.5, None)
            assert len(truth.asked) == 1
        elif domain == "pixels":
            assert found.broken == pytest.approx(least)
            assert found.certified == pytest.approx(least - 0.05)
        else:
            assert found.broken is not None
            assert found.broken - found.certified <= 0.004


def test_a_class_is_ruled_out_by_a_proof_only() -> None:
    def result(ruled_out: tuple[int, ...], flips_to: int | None = None) -> Any:
        return SimpleNamespace(ruled_out=ruled_out, target=flips_to)

    assert module._classes((1, 2), [result((1,)), result((2,))], None) == dict.fromkeys(
        (1, 2), Robustness.ROBUST
    )
    assert module._classes((1, 2), [result((2,))], None) == {
        1: Robustness.UNKNOWN,
        2: Robustness.ROBUST,
    }
    assert module._classes((1, 2), [], None) == dict.fromkeys((1, 2), Robustness.UNKNOWN)
    flip = result((1,), 2)  # of a vulnerable image, the others are not spoken of
    assert module._classes((1, 2, 3), [flip], flip) == {
        1: Robustness.ROBUST,
        2: Robustness.VULNERABLE,
    }


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [
        (["robust", "robust"], "robust"),
        (["robust"], "unknown"),
        ([], "unknown"),
        (["robust", "unknown"], "unknown"),
        (["unknown", "robust"], "unknown"),
        (["robust", "vulnerable"], "vulnerable"),
        (["vulnerable"], "vulnerable"),
        (["unknown", "vulnerable"], "vulnerable"),
    ],
)
def test_an_image_is_robust_only_if_every_class_was_ruled_out(
    verdicts: list[str], overall: str
) -> None:
    classes = {c: Robustness(verdict) for c, verdict in zip((1, 2), verdicts, strict=False)}
    assert module._overall(classes, (1, 2)) == overall

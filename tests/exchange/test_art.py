from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from art.attacks import evasion
from art.estimators.classification import PyTorchClassifier
from art.exceptions import EstimatorError
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnopt
from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.errors import InputError, UnknownNameError
from bnnopt.exchange.art import ArtAttack, BinarizedClassifier, BnnoptEvasion
from bnnopt.surrogate import ClippedSign
from tests.helpers import random_image, random_network
from tests.kinds import networks

Array = npt.NDArray[Any]


def small() -> tuple[BinarizedNetwork, Array, Array]:
    """A network, eight images of it in float32, and its predictions."""
    network = random_network(3, inputs=6, widths=(6, 5), levels=15)
    images = np.array([random_image(network, k) for k in range(8)], dtype=np.float32)
    return network, images, network.predict(images)


def zoo_images(count: int) -> tuple[BinarizedNetwork, Array, Array]:
    network = bnnopt.zoo.load("fashion-mnist-2x100")
    data = bnnopt.datasets.embedded()
    images = np.array([data.x(k) for k in range(count)], dtype=np.float32)[:, None]
    return network, images, network.predict(images)


@settings(max_examples=25)
@given(network=networks, seed=st.integers(0, 10**6), dtype=st.sampled_from(["float32", "float64"]))
def test_the_classifiers_logits_are_the_networks_and_have_gradients(
    network: BinarizedNetwork, seed: int, dtype: str
) -> None:
    images = np.array([random_image(network, seed + k) for k in range(4)], dtype=dtype)
    classifier = BinarizedClassifier(network)
    assert np.array_equal(classifier.predict(images), network.logits(images))
    labels = np.eye(network.num_classes)[network.predict(images)]
    assert classifier.loss_gradient(images, labels).shape == images.shape
    assert classifier.class_gradient(images).shape == (4, network.num_classes, *images.shape[1:])


def test_logits_that_only_float64_tells_apart_stay_apart() -> None:
    head = OutputLayer([[1.0], [1.0]], [1.0, 1.0], [0.0, 2.0**-40])
    network = BinarizedNetwork((HiddenLayer([[1]], [100]),), head)
    image = np.array([[0.5]], dtype=np.float32)
    assert network.predict(image[0]) == 1
    assert BinarizedClassifier(network).predict(image).argmax(axis=1) == [1]


def test_images_of_rows_and_columns_get_a_channel() -> None:
    network, images, classes = zoo_images(3)
    classifier = BinarizedClassifier(network)
    assert classifier.input_shape == (1, 28, 28) and classifier.nb_classes == 10
    assert np.array_equal(classifier.predict(images).argmax(axis=1), classes)
    assert np.array_equal(classifier.predict(images * 1.0001), classifier.predict(images))
    expected = classifier.predict(images)
    images[1, 0, 3, 4] = np.nan
    logits = classifier.predict(images)
    assert np.isnan(logits[1]).all() and np.array_equal(logits[::2], expected[::2])


def test_the_activation_decides_the_gradients_and_not_the_logits() -> None:
    network, images, classes = small()
    labels = np.eye(3)[classes]
    adaptive = BinarizedClassifier(network)
    clipped = BinarizedClassifier(network, ClippedSign([1e9] * network.depth))
    assert np.array_equal(adaptive.predict(images), clipped.predict(images))
    gradients = [each.loss_gradient(images, labels) for each in (adaptive, clipped)]
    assert not np.array_equal(*gradients)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", ["none", "numbers", "column", "one-hot"])
def test_our_attack_flips_what_can_be_flipped_and_nothing_else(dtype: str, labels: str) -> None:
    network, images, classes = small()
    images = images.astype(dtype)
    y = {
        "none": None,
        "numbers": classes,
        "column": classes[:, None],
        "one-hot": np.eye(3)[classes],
    }
    classifier = BinarizedClassifier(network)
    attack = BnnoptEvasion(classifier, 0.1, method="bab", domain="pixels")
    found = attack.generate(images, y[labels])
    truth = [
        bnnopt.certify(network, x, 0.1, domain="pixels").verdict == "vulnerable" for x in images
    ]
    assert found.dtype == images.dtype and found.shape == images.shape
    assert np.abs(found.astype(float) - images.astype(float)).max() <= 0.1
    assert (network.predict(found) != classes).tolist() == truth
    assert 0 < sum(truth) < len(truth)


def test_our_attack_reaches_targets() -> None:
    network, images, classes = small()
    targets = (classes + 1) % 3
    classifier = BinarizedClassifier(network)
    attack = BnnoptEvasion(classifier, 0.3, targeted=True, method="bab", goal="margin")
    reached = network.predict(attack.generate(images, targets)) == targets
    assert 0 < reached.sum() < len(images)
    with pytest.raises(InputError, match="give y"):
        attack.generate(images)


def test_our_attack_says_what_it_does_not_take() -> None:
    network, images, classes = small()
    classifier = BinarizedClassifier(network)
    plain = PyTorchClassifier(torch.nn.Linear(6, 3), torch.nn.CrossEntropyLoss(), (6,), 3)
    with pytest.raises(EstimatorError, match="BinarizedClassifier"):
        BnnoptEvasion(plain)
    with pytest.raises(UnknownNameError, match="did you mean 'method'"):
        BnnoptEvasion(classifier, metod="bab")
    attack = BnnoptEvasion(classifier, 0.1)
    with pytest.raises(InputError, match="y has 3 classes: give 8"):
        attack.generate(images, classes[:3])
    with pytest.raises(InputError, match="y must be a class number from 0 to 2"):
        attack.generate(images, classes + 3)
    with pytest.raises(InputError, match="floats in \\[0, 1\\], not int64"):
        attack.generate((images * 15).astype(int), classes)


THEIRS = [
    ArtAttack(evasion.ProjectedGradientDescent, max_iter=10),
    ArtAttack(evasion.AutoProjectedGradientDescent, max_iter=10, loss_type="cross_entropy"),
    ArtAttack(evasion.FastGradientMethod, eps_step=0.2),
    ArtAttack(evasion.HopSkipJump, max_iter=1, max_eval=50, init_eval=5),
    ArtAttack(evasion.DeepFool, max_iter=3),
]


@pytest.mark.parametrize("attack", THEIRS, ids=ArtAttack.describe)
@pytest.mark.parametrize(
    "problem",
    [
        {},
        {"target": "untargeted", "max_pixels": 2, "domain": "pixels"},
        {"target": "untargeted", "max_l1": 0.3, "mask": [1, 1, 0, 1, 1, 0]},
    ],
    ids="-".join,
)
def test_an_attack_of_art_is_a_method_whose_points_keep_to_the_budget(
    attack: ArtAttack, problem: dict[str, Any]
) -> None:
    network, images, _ = small()
    for x in images[:2]:
        result = bnnopt.attack(network, x, 0.2, method=attack, **problem)
        exact = bnnopt.attack(network, x, 0.2, **problem)
        assert result.verified and result.method == "art" and result.iterations
        assert result.steps == [{"attack": attack.describe()}]
        assert "adversarial-robustness-toolbox" in result.versions
        assert result.start_objective <= result.objective <= exact.objective
        if "mask" in problem:
            assert not (result.adversarial != result.original)[[2, 5]].any()


@pytest.mark.parametrize(
    "attack",
    [
        ArtAttack(evasion.SquareAttack, max_iter=50),
        ArtAttack(evasion.AutoProjectedGradientDescent, loss_type="difference_logits_ratio"),
    ],
    ids=ArtAttack.describe,
)
def test_it_flips_images_of_a_zoo_network(attack: ArtAttack) -> None:
    network, images, classes = zoo_images(8)
    flips = 0
    for x, label in zip(images, classes, strict=True):
        result = bnnopt.attack(
            network, x, 0.1, method=attack, target="untargeted", goal="flip", effort=300
        )
        assert result.verified and result.source == label
        flips += result.flipped
    assert flips >= 2


def test_the_same_seed_gives_the_same_point_and_leaves_other_generators_as_they_were() -> None:
    network, images, _ = zoo_images(5)
    attack = ArtAttack(evasion.ProjectedGradientDescent, max_iter=2, num_random_init=1)
    state = np.random.get_state()[1]  # noqa: NPY002 - theirs
    first, other, again = (
        bnnopt.attack(network, images[4], 0.03, method=attack, seed=seed) for seed in (1, 2, 1)
    )
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert np.array_equal(first.adversarial, again.adversarial)
    assert not np.array_equal(first.adversarial, other.adversarial)


def test_it_is_a_start_and_ends_with_its_limit() -> None:
    network, images, _ = small()
    start = ArtAttack(evasion.ProjectedGradientDescent, max_iter=10)
    for x in images[:3]:
        alone = bnnopt.attack(network, x, 0.2, method=start, effort=5)
        assert alone.iterations == 5
        result = bnnopt.attack(network, x, 0.2, method="iprop", start=start, effort=1)
        assert result.objective >= alone.objective


def test_what_art_refuses_is_an_error_of_one_line() -> None:
    network, images, _ = small()
    with pytest.raises(InputError, match=r"art: .*can only be applied to image data") as caught:
        bnnopt.attack(network, images[0], 0.1, method=ArtAttack(evasion.SquareAttack))
    assert "\n" not in str(caught.value)
    attack = ArtAttack(evasion.FastGradientMethod, steps=3)
    with pytest.raises(InputError, match="unexpected keyword argument 'steps'"):
        bnnopt.attack(network, images[0], 0.1, method=attack)
    with pytest.raises(InputError, match=r"class of art\.attacks\.evasion, not PyTorchClassifier"):
        ArtAttack(PyTorchClassifier)
    with pytest.raises(InputError, match=r"class of art\.attacks\.evasion, not str"):
        ArtAttack("SquareAttack")

from __future__ import annotations

from typing import Any

import foolbox
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnopt
from bnnopt import BinarizedNetwork
from bnnopt.errors import InputError, UnknownNameError
from bnnopt.exchange.foolbox import BinarizedModel, BnnoptAttack, FoolboxAttack
from bnnopt.surrogate import ClippedSign
from tests.helpers import random_image, random_network
from tests.kinds import networks

Misclassification = foolbox.criteria.Misclassification
TargetedMisclassification = foolbox.criteria.TargetedMisclassification


def small() -> tuple[BinarizedNetwork, torch.Tensor, torch.Tensor]:
    """A network, eight 8-bit-like images of it in float32, and its predictions."""
    network = random_network(3, inputs=6, widths=(6, 5), levels=15)
    images = np.array([random_image(network, k) for k in range(8)])
    return network, torch.from_numpy(images).float(), torch.from_numpy(network.predict(images))


def zoo_images(count: int) -> tuple[BinarizedNetwork, torch.Tensor, torch.Tensor]:
    network = bnnopt.zoo.load("fashion-mnist-2x100")
    data = bnnopt.datasets.embedded()
    images = np.array([data.x(k) for k in range(count)], dtype=np.float32)[:, None]
    return network, torch.from_numpy(images), torch.from_numpy(network.predict(images))


@settings(max_examples=60)
@given(network=networks, seed=st.integers(0, 10**6), dtype=st.sampled_from(["float32", "float64"]))
def test_the_models_logits_are_the_networks_and_have_gradients(
    network: BinarizedNetwork, seed: int, dtype: str
) -> None:
    images = np.array([random_image(network, seed + k) for k in range(4)], dtype=dtype)
    x = torch.from_numpy(images).requires_grad_()
    logits = BinarizedModel(network, device="cpu")(x)
    logits.sum().backward()
    assert np.array_equal(logits.detach().numpy(), network.logits(images))
    assert x.grad is not None and x.grad.shape == x.shape and x.grad.dtype == x.dtype


def test_images_have_a_channel_or_none_and_what_rounding_leaves_outside_is_read_as_the_end() -> (
    None
):
    network, images, classes = zoo_images(3)
    model = BinarizedModel(network, device="cpu")
    assert torch.equal(model(images), model(images[:, 0]))
    white = torch.ones_like(images)
    assert torch.equal(model(white * 1.0001), model(white))
    assert foolbox.accuracy(model, images, classes) == 1.0


def test_an_image_of_nan_has_logits_of_nan_and_leaves_the_others_alone() -> None:
    network, images, _ = zoo_images(3)
    model = BinarizedModel(network, device="cpu")
    expected = model(images)
    images[1, 0, 3, 4] = torch.nan
    logits = model(images)
    assert logits[1].isnan().all() and torch.equal(logits[::2], expected[::2])


def test_an_attack_that_goes_through_nan_keeps_what_it_found_before() -> None:
    class Dividing(foolbox.attacks.LinfPGD):  # type: ignore[misc]
        def run(self, model: Any, inputs: Any, criterion: Any, **options: Any) -> Any:
            found = super().run(model, inputs, criterion, **options)
            model(found / 0.0 * 0.0)
            return found / 0.0 * 0.0

    network, images, _ = zoo_images(5)
    result = bnnopt.attack(network, images[4], 0.03, method=FoolboxAttack(Dividing()))
    assert result.verified and not result.message
    assert result.objective > result.start_objective


def test_the_activation_decides_the_gradients_and_not_the_logits() -> None:
    network, images, _ = small()
    gradients = []
    for activation in (None, ClippedSign([1e9] * network.depth)):
        x = images.clone().requires_grad_()
        logits = BinarizedModel(network, activation, device="cpu")(x)
        logits[:, 0].sum().backward()
        assert np.array_equal(logits.detach().numpy(), network.logits(images))
        gradients.append(x.grad)
    assert not torch.equal(*gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_our_attack_flips_what_can_be_flipped_within_each_epsilon_and_nothing_else(
    dtype: torch.dtype,
) -> None:
    network, images, classes = small()
    images = images.to(dtype)
    epsilons = [0.02, 0.05, 0.1, 0.2]
    attack = BnnoptAttack(method="bab", domain="pixels")
    model = BinarizedModel(network, device="cpu")
    points, clipped, success = attack(model, images, Misclassification(classes), epsilons=epsilons)
    truth = [
        [bnnopt.certify(network, x, e, domain="pixels").verdict == "vulnerable" for x in images]
        for e in epsilons
    ]
    assert success.tolist() == truth
    assert 0 < np.sum(truth) < np.size(truth)
    for epsilon, found, again in zip(epsilons, points, clipped, strict=True):
        assert found.dtype == dtype and found.shape == images.shape
        assert torch.equal(found, again)
        assert (found.double() - images.double()).abs().max() <= epsilon
    flipped = np.array([network.predict(found) != classes.numpy() for found in points])
    assert np.array_equal(flipped, success.numpy())


def test_our_attack_reaches_a_target_where_no_other_class_is_above_it() -> None:
    network, images, classes = small()
    targets = (classes + 1) % network.num_classes
    attack = BnnoptAttack(method="bab", goal="margin")
    model = BinarizedModel(network, device="cpu")
    found, _, success = attack(model, images, TargetedMisclassification(targets), epsilons=0.3)
    assert success.shape == (8,) and 0 < success.sum() < 8
    assert torch.equal(torch.from_numpy(network.predict(found)) == targets, success)


def test_an_image_that_is_adversarial_already_comes_back_as_it_is() -> None:
    network, images, classes = small()
    model = BinarizedModel(network, device="cpu")
    for criterion in (
        Misclassification((classes + 1) % network.num_classes),
        TargetedMisclassification(classes),
    ):
        found, _, success = BnnoptAttack()(model, images, criterion, epsilons=0.2)
        assert success.all() and torch.equal(found, images)


def test_an_epsilon_of_none_asks_for_the_smallest_change() -> None:
    network, images, classes = small()
    model = BinarizedModel(network, device="cpu")
    attack = BnnoptAttack(domain="pixels")
    found, _, success = attack(model, images, classes, epsilons=None)
    moved = foolbox.distances.linf(images, found)
    assert success.all()
    for x, label, distance in zip(images, classes, moved, strict=True):
        less = float(distance) - 1.0 / network.levels
        if less > 0:
            verdict = bnnopt.certify(network, x, less, domain="pixels", source=int(label)).verdict
            assert verdict == "robust"


def test_our_attack_on_a_zoo_network_stays_within_epsilon_in_float32() -> None:
    network, images, classes = zoo_images(6)
    model = BinarizedModel(network, device="cpu")
    attack = BnnoptAttack(method="pattern", effort=20)
    found, _, success = attack(model, images, classes, epsilons=0.02)
    assert success.any()
    assert foolbox.distances.linf(images.double(), found.double()).max() <= 0.02
    assert torch.equal(model(found).argmax(1) != classes, success)


def test_our_attack_says_what_it_does_not_take() -> None:
    network, images, classes = small()
    model = BinarizedModel(network, device="cpu")
    attack = BnnoptAttack()
    with pytest.raises(InputError, match="bounds \\(0, 1\\)"):
        attack(model.transform_bounds((0, 255)), images, classes, epsilons=0.1)
    plain = foolbox.PyTorchModel(torch.nn.Linear(6, 3).eval(), bounds=(0, 1), device="cpu")
    with pytest.raises(InputError, match="BinarizedModel"):
        attack(plain, images, classes, epsilons=0.1)
    both = Misclassification(classes) & Misclassification(classes)
    with pytest.raises(InputError, match="not _And"):
        attack(model, images, both, epsilons=0.1)
    with pytest.raises(InputError, match="epsilon must be a number from 0 to 1"):
        attack(model, images, classes, epsilons=2.0)
    with pytest.raises(UnknownNameError, match="did you mean 'method'"):
        BnnoptAttack(metod="bab")


THEIRS = [
    foolbox.attacks.LinfPGD(),
    foolbox.attacks.LinfFastGradientAttack(),
    foolbox.attacks.LInfFMNAttack(steps=10),
    foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=2, steps=10),
    foolbox.attacks.SparseL1DescentAttack(steps=5),
    foolbox.attacks.LinearSearchBlendedUniformNoiseAttack(
        distance=foolbox.distances.linf, steps=10
    ),
    foolbox.attacks.SaltAndPepperNoiseAttack(steps=10),
    foolbox.attacks.HopSkipJumpAttack(steps=2),
    foolbox.attacks.LinfPGD(steps=2).repeat(2),
]


@pytest.mark.parametrize("attack", THEIRS, ids=lambda attack: type(attack).__name__)
@pytest.mark.parametrize(
    "problem",
    [
        {"target": "untargeted"},
        {"target": "untargeted", "max_pixels": 2, "domain": "pixels"},
        {"target": "untargeted", "max_l1": 0.3, "mask": [1, 1, 0, 1, 1, 0]},
        {"target": "untargeted", "direction": "darken", "goal": "linf"},
    ],
    ids="-".join,
)
def test_an_attack_of_foolbox_is_a_method_whose_points_keep_to_the_budget(
    attack: Any, problem: dict[str, Any]
) -> None:
    network, images, _ = small()
    for x in images[:2]:
        result = bnnopt.attack(network, x, 0.2, method=FoolboxAttack(attack), **problem)
        assert result.verified
        assert result.method == "foolbox" and result.versions["foolbox"] == foolbox.__version__
        assert result.iterations and type(attack).__name__ in result.steps[0]["attack"]
        exact = bnnopt.attack(network, x, 0.2, **problem)
        if "goal" not in problem:
            assert result.start_objective <= result.objective <= exact.objective
        elif result.flipped:
            assert result.distances["linf"] >= exact.distances["linf"] - 1e-9
        if "mask" in problem:
            assert not (result.adversarial != result.original)[[2, 5]].any()


def test_it_finds_flips_and_pursues_the_target() -> None:
    network, images, classes = zoo_images(8)
    attack = FoolboxAttack(foolbox.attacks.LinfPGD())
    flips = 0
    for x, label in zip(images, classes, strict=True):
        result = bnnopt.attack(network, x, 0.03, method=attack, goal="flip")
        assert result.verified and result.source == label
        assert result.flipped == (result.status == "optimal")
        flips += result.flipped
    assert flips >= 2


def test_the_same_seed_gives_the_same_point_and_leaves_other_generators_as_they_were() -> None:
    network, images, _ = zoo_images(5)
    attack = FoolboxAttack(foolbox.attacks.LinfPGD(steps=3))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, other, again = (
        bnnopt.attack(network, images[4], 0.03, method=attack, seed=seed) for seed in (1, 2, 1)
    )
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(first.adversarial, again.adversarial)
    assert not np.array_equal(first.adversarial, other.adversarial)


def test_limits_end_it_and_keep_what_it_found() -> None:
    network, images, _ = zoo_images(1)
    attack = FoolboxAttack(foolbox.attacks.LinfPGD(steps=10_000))
    told: list[float] = []
    result = bnnopt.attack(
        network,
        images,
        0.03,
        method=attack,
        effort=30,
        on_incumbent=lambda seconds, objective: told.append(objective),
    )
    assert result.iterations == 30 and result.status == "feasible"
    assert result.objective > result.start_objective
    assert told == sorted(told) and told[-1] == result.objective
    result = bnnopt.attack(network, images, 0.03, method=attack, time_limit=0.5)
    assert result.iterations < 10_000 and result.verified


def test_ctrl_c_keeps_what_it_found() -> None:
    class Interrupted(foolbox.attacks.LinfPGD):  # type: ignore[misc]
        def run(self, *given: Any, **options: Any) -> Any:
            super().run(*given, **options)
            raise KeyboardInterrupt

    network, images, _ = zoo_images(1)
    result = bnnopt.attack(network, images, 0.03, method=FoolboxAttack(Interrupted()))
    assert result.interrupted and result.objective > result.start_objective


def test_a_failure_of_foolbox_is_the_results_message_or_an_error_where_nothing_was_done() -> None:
    network, images, _ = small()
    attack = FoolboxAttack(foolbox.attacks.InversionAttack())  # has no distance of its own
    with pytest.raises(InputError, match="foolbox: unknown distance"):
        bnnopt.attack(network, images[0], 0.1, method=attack)
    attack = FoolboxAttack(foolbox.attacks.NewtonFoolAttack(steps=1))
    with pytest.raises(InputError, match='unsupported criterion; try target="untargeted"'):
        bnnopt.attack(network, images[0], 0.1, method=attack)

    class Failing(foolbox.attacks.LinfPGD):  # type: ignore[misc]
        def run(self, *given: Any, **options: Any) -> Any:
            super().run(*given, **options)
            raise ValueError("no further\nstep")

    network, images, _ = zoo_images(5)
    result = bnnopt.attack(network, images[4], 0.03, method=FoolboxAttack(Failing()))
    assert result.status == "error" and result.message == "foolbox: no further step"
    assert result.objective > result.start_objective and result.verified


@pytest.mark.parametrize("method", ["iprop", "milp", "bab"])
def test_it_is_a_start_of_our_methods(method: str) -> None:
    network, images, _ = small()
    for x in images[:3]:
        alone = bnnopt.attack(
            network, x, 0.2, method=FoolboxAttack(foolbox.attacks.LinfPGD(steps=5))
        )
        start = FoolboxAttack(foolbox.attacks.LinfPGD(steps=5))
        result = bnnopt.attack(network, x, 0.2, method=method, start=start, effort=1)
        assert result.verified and result.method == method
        assert result.objective >= alone.objective


def test_a_method_that_is_an_object_has_its_options() -> None:
    network, images, _ = small()
    attack = FoolboxAttack(foolbox.attacks.LinfPGD())
    with pytest.raises(InputError, match="unknown option 'steps': none is taken here"):
        bnnopt.attack(network, images[0], 0.1, method=attack, options={"steps": 3})
    with pytest.raises(InputError, match="attack of foolbox, not str"):
        FoolboxAttack("LinfPGD")

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.errors import BnnoptError, InputError, NetworkFormatError
from tests.helpers import exact_logits, random_image, random_network
from tests.network.cases import mixed_network


def simple_network(**changes: Any) -> BinarizedNetwork:
    parts: dict[str, Any] = {
        "hidden": (HiddenLayer([[1, -1], [1, 1]], [0, 3]), HiddenLayer([[1, 1]], [0])),
        "output": OutputLayer([[1], [-1]], [1, 1], [0, 0]),
        "levels": 4,
    }
    return BinarizedNetwork(**(parts | changes))


@given(seed=st.integers(0, 10**6), depth=st.integers(1, 5), head=st.sampled_from(["int", "bn"]))
def test_forward_pass_is_that_of_rational_arithmetic(seed: int, depth: int, head: str) -> None:
    head = "integer" if head == "int" else "batchnorm"
    network = random_network(seed, inputs=6, widths=(5,) * depth, levels=255, head=head)
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 255 * 2**20 + 1, 6)
    logits = network.logits_of_levels(levels[None] / 2.0**20)[0]
    exact = exact_logits(network, [Fraction(int(k), 2**20) for k in levels])
    assert logits == pytest.approx([float(value) for value in exact], abs=1e-12)
    if head == "integer":
        assert logits.tolist() == exact


def test_every_8_bit_value_gives_its_whole_level() -> None:
    network = random_network(0, inputs=256, levels=255)
    assert network.levels_of(np.arange(256) / 255).tolist() == [list(range(256))]


def test_a_sum_at_the_threshold_is_plus_one() -> None:
    network = simple_network()
    first, second = network.activations(np.array([0.5, 0.5]))
    assert first.tolist() == [1, 1]  # sums 0 and 4 against thresholds 0 and 3
    assert second.tolist() == [1]
    assert network.activations(np.array([0.5, 0.25]))[0].tolist() == [1, 1]
    assert network.activations(np.array([0.25, 0.25]))[0].tolist() == [1, -1]


def test_a_step_of_the_grid_below_the_threshold_is_minus_one() -> None:
    """Sums that single precision does not tell from the threshold: of steps, and large ones."""
    head = OutputLayer(np.ones((2, 4)), [1, 1], [0, 0])
    weight, step = [[1, 1, 1], [0, 1, 1], [1, 0, 0], [1, 1, 0]], 2.0**-20
    network = BinarizedNetwork(HiddenLayer(weight, [700, 450, 250, 500]), head)
    z = np.array(
        [[250.0, 250.0, 200.0], [250.0, 250.0, 200.0 - step], [250.0 - step, 250.0, 200.0]]
    )
    found = network.activations_of_levels(z)[0].tolist()
    assert found == [[1, 1, 1, 1], [-1, -1, 1, 1], [-1, 1, -1, -1]]
    assert network.logits_of_levels(z).tolist() == [[4, 4], [0, 0], [-2, -2]]
    large = [[32767, 32767, 32767], [32767, 32767, 32766], [1, 0, 0], [32767, 1, 32767]]
    whole = np.array([255.0, 254.0, 255.0])
    sums = np.array(large) @ whole.astype(int)
    assert sums[0] > 2**24
    for off in range(3):
        network = BinarizedNetwork(HiddenLayer(large, sums + off), head)
        assert (network.activations_of_levels(whole[None])[0] == (1 if off == 0 else -1)).all()


@given(seed=st.integers(0, 10**6))
def test_a_batch_is_computed_some_images_at_a_time(seed: int) -> None:
    network = mixed_network(seed)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (9, *network.input_shape), dtype=np.uint8)
    logits = np.vstack([network.logits(image) for image in images])
    activations = [network.activations(image) for image in images]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bnnopt.network.binarized.BLOCK", int(rng.integers(1, 1000)))
        assert np.array_equal(network.logits(images), logits)
        for layer, found in enumerate(network.activations(images)):
            assert np.array_equal(found, np.vstack([image[layer] for image in activations]))


def test_prediction_is_the_lowest_index_on_ties() -> None:
    network = simple_network(output=OutputLayer([[1], [1], [-1]], [1, 1, 1], [0, 0, 0]))
    assert network.predict(np.array([0.5, 0.5])) == 0


def test_one_image_and_batches_agree_in_every_shape() -> None:
    network = random_network(3, inputs=6, classes=4)
    shaped = BinarizedNetwork(network.hidden, network.output, network.levels, input_shape=(2, 3))
    images = np.stack([random_image(network, seed) for seed in range(5)])
    logits = shaped.logits(images)
    assert logits.shape == (5, 4)
    assert np.array_equal(shaped.logits(images.reshape(5, 2, 3)), logits)
    assert np.array_equal(shaped.logits(images[1]), logits[1])
    assert np.array_equal(shaped.logits(images[1].reshape(2, 3)), logits[1])
    assert shaped.predict(images).tolist() == logits.argmax(axis=1).tolist()
    assert isinstance(shaped.predict(images[0]), int)
    assert shaped.margin(images[0], 1, 2) == logits[0, 1] - logits[0, 2]
    classes = np.array([0, 1, 2, 3, 0])
    expected = logits[np.arange(5), classes] - logits[:, 3]
    assert np.array_equal(shaped.margin(images, classes, 3), expected)
    assert [h.shape for h in shaped.activations(images)] == [(5, 4), (5, 3)]
    assert [h.shape for h in shaped.activations(images[0])] == [(4,), (3,)]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([0.5], "has shape"),
        ([[0.5, 0.5, 0.5]], "has shape"),
        (0.5, "has shape"),
        ([0.5, np.nan], "NaN"),
        ([0.5, 1.5], r"\[0, 1\]"),
        ([0.5, -1e-9], r"\[0, 1\]"),
        ([0.5, np.inf], r"\[0, 1\]"),
        (["a", "b"], "numbers"),
        ([[0.5], [0.5, 0.5]], "numbers"),
    ],
)
def test_a_wrong_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simple_network().logits(image)


@pytest.mark.parametrize("target", [-1, 2, 0.5, [0, 1], True, None, "dog", [True], [0.5], ["cat"]])
def test_a_wrong_class_is_refused(target: Any) -> None:
    network = simple_network(class_names=("cat", "bag"))
    with pytest.raises(ValueError, match="target") as caught:
        network.margin(np.array([0.5, 0.5]), target, 0)
    assert isinstance(caught.value, BnnoptError)


@pytest.mark.parametrize("target", [[0, 2], [2, 0], [-1, 1], [1, -1], [0.5, 1], [1, 0.5]])
def test_one_wrong_class_among_several_is_refused(target: list[float]) -> None:
    with pytest.raises(InputError, match="class numbers from 0 to 1"):
        simple_network().margin(np.zeros((2, 2)), target, 0)


def test_a_class_may_be_named_and_of_any_whole_type() -> None:
    network = simple_network(class_names=("cat", "bag"))
    x = np.array([[0.5, 0.5], [0.0, 0.25]])
    expected = network.margin(x, 1, 0)
    for target in ("bag", "1", 1.0, np.uint8(1), [1, 1], np.array([1.0, 1.0]), (1, 1)):
        assert np.array_equal(network.margin(x, target, "cat"), expected)


@pytest.mark.parametrize(
    "build",
    [
        lambda: HiddenLayer([[1, 2**15]], [0]),
        lambda: HiddenLayer([[1.0, -1.5]], [0]),
        lambda: HiddenLayer([1, -1], [0]),
        lambda: HiddenLayer(np.ones((0, 3)), []),
        lambda: HiddenLayer([["1", "-1"]], [0]),
        lambda: HiddenLayer([[1, -1]], [0, 1]),
        lambda: HiddenLayer([[1, -1]], [0.5]),
        lambda: HiddenLayer([[1, -1]], [np.nan]),
        lambda: HiddenLayer([[1, -1]], [np.inf]),
        lambda: HiddenLayer([[1, -1]], [2.0**41]),
        lambda: HiddenLayer(np.ones((1, 2**20 + 1)), [0]),
        lambda: OutputLayer([[1, -1]], [1, 1], [0]),
        lambda: OutputLayer([[1, -1]], [np.inf], [0]),
        lambda: OutputLayer([[1, -1]], [1], [np.nan]),
        lambda: simple_network(hidden=()),
        lambda: simple_network(hidden=(HiddenLayer([[1, 1]], [0]),) * 2),
        lambda: simple_network(output=OutputLayer([[1, 1]], [1], [0])),
        lambda: simple_network(levels=0),
        lambda: simple_network(levels=2.5),
        lambda: simple_network(input_shape=(3,)),
        lambda: simple_network(class_names=("a",)),
        lambda: simple_network(accuracy=1.5),
    ],
)
def test_an_invalid_network_is_refused(build: Any) -> None:
    with pytest.raises(NetworkFormatError):
        build()


def test_a_network_is_immutable_and_keeps_its_own_copies() -> None:
    weight = np.array([[1, -1], [1, 1]])
    layer = HiddenLayer(weight, [0, 3])
    weight[:] = -1
    assert layer.weight.tolist() == [[1, -1], [1, 1]]
    network = simple_network()
    with pytest.raises(ValueError, match="read-only"):
        network.hidden[0].weight[0, 0] = -1
    with pytest.raises(AttributeError):
        network.levels = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        network.recipe["seed"] = 1  # type: ignore[index]


def test_a_network_survives_pickling_for_worker_processes() -> None:
    network = random_network(1)
    again = pickle.loads(pickle.dumps(network))
    image = random_image(network, 2)
    assert np.array_equal(again.logits(image), network.logits(image))
    assert again.recipe == network.recipe


def test_the_head_is_integer_only_if_every_logit_is() -> None:
    assert random_network(0).head == "integer"
    assert random_network(0, head="batchnorm").head == "batchnorm"

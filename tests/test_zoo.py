from __future__ import annotations

import numpy as np
import pytest

from bnnopt import BinarizedNetwork, datasets, zoo
from bnnopt.errors import UnknownNameError
from tests.conftest import has_data

PAPERS = [name for name in zoo.NAMES if name not in zoo.ROBUST]
LEAST = {
    "mnist": 0.96,
    "fashion-mnist": 0.86,
    "mnist-robust-0.1": 0.977,
    "mnist-robust-0.3": 0.955,
    "fashion-mnist-robust-0.1": 0.818,
    "fashion-mnist-robust-0.02": 0.874,
}


def independent_predictions(network: BinarizedNetwork, images: np.ndarray) -> np.ndarray:
    """The forward pass in integers, written apart from the package's."""
    values = images.reshape(len(images), -1).astype(np.int32)
    for layer in network.hidden:
        weight = layer.weight.astype(np.int32)
        sums = (weight @ values.T).T
        reached = sums >= layer.threshold
        values = np.where(reached, 1, -1).astype(np.int32)
    logits = values @ network.output.weight.T.astype(np.int32) + network.output.bias
    return logits.argmax(axis=1)


def test_the_zoo_has_the_papers_architectures_on_both_data_sets() -> None:
    assert len(PAPERS) == 16
    assert {"mnist-2x100", "fashion-mnist-5x100", "mnist-2x500"} <= set(PAPERS)
    for name in PAPERS:
        network = zoo.load(name)
        depth, width = name.rsplit("-", 1)[1].split("x")
        assert network.name == name
        assert network.widths == (int(width),) * int(depth)
        assert network.dataset == name.rsplit("-", 1)[0]
        assert network.head == "integer"
        assert network.input_shape == (28, 28)


def test_the_zoo_is_small() -> None:
    total = sum(len(zoo.file(name).read_bytes()) for name in zoo.NAMES)
    assert total < 2_000_000


@pytest.mark.parametrize("name", zoo.NAMES)
def test_the_stated_accuracy_is_that_of_an_independent_forward_pass(name: str) -> None:
    network = zoo.load(name)
    if not has_data(network.dataset):
        pytest.skip(f"{network.dataset} is not on this machine: bnnopt data fetch")
    test = datasets.load(network.dataset, "test")
    predictions = independent_predictions(network, test.images)
    assert network.accuracy == np.mean(predictions == test.labels)
    assert network.accuracy >= LEAST[name if name in zoo.ROBUST else network.dataset]
    assert network.recipe["accuracy_float"] == network.accuracy


@pytest.mark.parametrize("name", [name for name in zoo.NAMES if name.startswith("fashion")])
def test_predictions_on_the_embedded_images_are_those_of_an_independent_pass(name: str) -> None:
    images = datasets.embedded()
    network = zoo.load(name)
    expected = independent_predictions(network, images.images)
    assert np.array_equal(network.predict(images.x()), expected)


def test_an_unknown_network_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mnist-2x100'"):
        zoo.load("mnist-2x10")

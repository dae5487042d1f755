"""A network's fingerprint is what it computes, and that of the first edition for what it knew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer, zoo
from bnnopt.network import Convolution, fingerprint
from tests.helpers import random_network
from tests.network.cases import dense, mixed_network, seeds, signs

FIRST_EDITION = {
    "fashion-mnist-2x100": "dea1abb6b3b50f7e",
    "fashion-mnist-2x200": "ca57b5beda700e28",
    "fashion-mnist-2x300": "73f52a4ed07c4896",
    "fashion-mnist-2x400": "37ce698d649d15a8",
    "fashion-mnist-2x500": "a9d7b310a9783368",
    "fashion-mnist-3x100": "379ca89140cce094",
    "fashion-mnist-4x100": "fa3ed0cdb090809a",
    "fashion-mnist-5x100": "a820b8160eae8fb6",
    "mnist-2x100": "5a429af17f51398b",
    "mnist-2x200": "e8e671d50415ac18",
    "mnist-2x300": "a444b6ecc5c696b5",
    "mnist-2x400": "e1bc7c931e525c87",
    "mnist-2x500": "9a9a376efe60cb3e",
    "mnist-3x100": "ef615920ed88e982",
    "mnist-4x100": "d4148398a0c9673b",
    "mnist-5x100": "ce8609100ae746df",
}
"""The first 16 digits of what version 0.1.0 gave."""


@pytest.mark.parametrize("name", FIRST_EDITION)
def test_networks_of_the_first_edition_keep_theirs(name: str) -> None:
    network = zoo.load(name)
    assert fingerprint(network)[:16] == FIRST_EDITION[name]
    assert fingerprint(BinarizedNetwork.from_bytes(network.to_bytes())) == fingerprint(network)


def rebuilt(network: BinarizedNetwork, change: Callable[[HiddenLayer], Any]) -> BinarizedNetwork:
    """The same network with each layer's weights given otherwise."""
    hidden = [HiddenLayer(change(layer), layer.threshold) for layer in network.hidden]
    return BinarizedNetwork(hidden, network.output, network.levels, input_shape=network.input_shape)


@given(seed=seeds)
def test_it_does_not_depend_on_how_a_layer_is_kept(seed: int) -> None:
    for network in (mixed_network(seed), random_network(seed)):
        given_as = [
            lambda layer: layer.weight,
            dense,
            lambda layer: Convolution(dense(layer)[:, :, None, None], (layer.shape[1], 1, 1)),
        ]
        assert {fingerprint(rebuilt(network, way)) for way in given_as} == {fingerprint(network)}
        assert fingerprint(replace(network, name="other", recipe={"a": 1})) == fingerprint(network)


@given(seed=seeds)
def test_every_number_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = mixed_network(seed)
    ours = fingerprint(network)
    assert fingerprint(replace(network, levels=254)) != ours
    for number, layer in enumerate(network.hidden):
        weight, threshold = dense(layer), layer.threshold.copy()
        at = tuple(rng.integers(0, weight.shape))
        weight[at] += 2 if weight[at] == -1 else -1  # 1 becomes 0, 0 becomes -1, -1 becomes 1
        threshold[rng.integers(len(threshold))] += rng.choice([-2, 2])
        for other in (HiddenLayer(weight, layer.threshold), HiddenLayer(layer.weight, threshold)):
            hidden = (*network.hidden[:number], other, *network.hidden[number + 1 :])
            changed = replace(network, hidden=hidden)
            # A threshold that no sum reaches is as good as a larger one.
            is_same = np.array_equal(dense(changed.hidden[number]), dense(layer)) and (
                np.array_equal(changed.hidden[number].threshold, layer.threshold)
            )
            assert (fingerprint(changed) == ours) == is_same
    for name in ("weight", "scale", "bias"):
        values = getattr(network.output, name).copy()
        values.flat[0] += 1.0
        output = replace(network.output, **{name: values})
        assert fingerprint(replace(network, output=output)) != ours


def test_0_and_minus_1_are_two_numbers_everywhere() -> None:
    rng = np.random.default_rng(4)
    first, head = signs(rng, 3, 4), signs(rng, 2, 3)
    found = set()
    for layer_value in (-1, 0, 1):
        for head_value in (-1, 0, 1):
            first[0, 0], head[0, 0] = layer_value, head_value
            layers = HiddenLayer(first, [1, 2, 3]), OutputLayer(head, [1, 1], [0, 0])
            found.add(fingerprint(BinarizedNetwork(*layers)))
    assert len(found) == 9


def test_spellings_of_the_same_network_are_one() -> None:
    rng = np.random.default_rng(5)
    weight, deeper = rng.integers(-1, 2, (3, 4)), np.array([[1, 1, 0]])
    real = rng.normal(size=(2, 1))

    def network(threshold: int, scale: float, zero: float) -> BinarizedNetwork:
        head = OutputLayer(real / scale, [scale] * 2, [zero, 1.0])
        return BinarizedNetwork(
            (HiddenLayer(weight, [0] * 3), HiddenLayer(deeper, [threshold])), head
        )

    assert fingerprint(network(1, 1.0, 0.0)) == fingerprint(network(2, 4.0, -0.0))
    assert fingerprint(network(1, 1.0, 0.0)) != fingerprint(network(0, 1.0, 0.0))

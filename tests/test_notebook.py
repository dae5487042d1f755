"""What values say of themselves in a notebook: short, escaped, drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt.network.unroll import conv2d
from tests.helpers import random_network

pytest.importorskip("matplotlib")


def values() -> list[Any]:
    data = bnnopt.datasets.embedded()
    network = bnnopt.load_network("fashion-mnist-2x100")
    bracket = bnnopt.bracket_epsilon(network, data.x(4), 0.002)
    result = bnnopt.attack(network, data.x(4), 0.006, index=4)
    return [network, network.output, data, result, bracket, bracket.certificates[0]]


def test_representations_are_short_and_say_the_main_thing() -> None:
    texts = [repr(value) for value in values()]
    assert all(len(text) < 120 and "\n" not in text and "array" not in text for text in texts)
    assert "fashion-mnist-2x100" in texts[0]
    assert "flipped to class 0" in texts[3]


def test_names_are_escaped_in_html() -> None:
    network = random_network(np.random.default_rng(0), 4, (3,), 2)
    named = replace(network, name="<script>")
    assert "<script>" not in named._repr_html_()
    assert "&lt;script&gt;" in named._repr_html_()


@pytest.mark.parametrize("shape", [(12,), (3, 4), (3, 2, 2), (2, 2, 3)])
def test_results_and_networks_of_every_shape_are_drawn(shape: tuple[int, ...]) -> None:
    network = random_network(np.random.default_rng(1), 12, (30,), 3)
    network = replace(network, input_shape=shape, class_names=("a", "b", "c"))
    result = bnnopt.attack(network, np.full(shape, 0.5), 0.2)
    for drawn in (result, network):
        assert drawn.plot()._repr_png_().startswith(b"\x89PNG")
    title = result.plot().axes[2].get_title()
    assert title.startswith("flipped to " if result.flipped else "not flipped: ")
    assert title.split(" (")[0].endswith(network.class_names[result.prediction])


def test_kernels_are_drawn_of_a_convolution() -> None:
    layer = conv2d(np.ones((5, 3, 2, 2)), 0, (3, 4, 4))
    head = bnnopt.OutputLayer(np.ones((2, 45)), np.ones(2), np.zeros(2))
    figure = bnnopt.BinarizedNetwork((layer,), head).plot()
    assert sum(bool(axis.images) for axis in figure.axes) == 5

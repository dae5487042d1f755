"""A comparison finds what is wrong, and calls nothing else so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from bnnopt.exchange.comparison.agreement import compared
from bnnopt.exchange.comparison.sought import sought_images
from bnnopt.exchange.onnx import Imported, read_onnx
from bnnopt.network import BinarizedNetwork, HiddenLayer, OutputLayer
from tests.exchange.graphs import Graph
from tests.exchange.small import conv, dense, head, image, max_pool, norm, rng, signs

IMAGES = 200


def of_images(real: Any = np.float32) -> Graph:
    graph = norm(conv(Graph((1, 6, 6), real=real), 3), [1.0, -0.4, 0.7], mean=[30.0, -20.0, 3.0])
    graph.add("Sign")
    max_pool(graph)
    conv(graph, 3, 2, seed=2)
    graph.add("Add", graph.constant(0.5))
    graph.add("Sign")
    return head(graph)


def of_rows(size: int = 784) -> Graph:
    graph = image((size,))
    graph.add("MatMul", graph.constant(signs(size, 20)), shape=(20,))
    graph.add("Add", graph.constant(rng().normal(size=20) * 3))
    graph.add("Sign")
    dense(graph, 10)
    graph.add("Sub", graph.constant(0.5))
    graph.add("Sign")
    return head(graph)


FILES = {"images": of_images, "rows": of_rows}


def mutated(imported: Imported, number: int, layer: HiddenLayer) -> Imported:
    """The same but for one hidden layer of its network."""
    network = imported.network
    hidden = list(network.hidden)
    hidden[number] = layer
    about: Any = {"levels": network.levels, "input_shape": network.input_shape}
    return replace(imported, network=BinarizedNetwork(hidden, network.output, **about))


@pytest.fixture(scope="module", params=list(FILES))
def imported(request):
    return read_onnx(FILES[request.param]().bytes())


def test_the_network_of_the_file_agrees(imported):
    found = compared(imported, IMAGES)
    assert found.wrong == ""
    assert found.rounded < 0.01 * IMAGES * found.neurons


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("deep", [False, True])
def test_thresholds_that_are_off_by_one_sum_are_wrong(imported, change, deep):
    number = len(imported.network.hidden) - 1 if deep else 0
    layer = imported.network.hidden[number]
    scale = 2 if deep else int(abs(layer.rows([0]).data).max())  # a sum of signs, or a level
    threshold = layer.threshold + change * scale
    off = mutated(imported, number, HiddenLayer(layer._map, threshold))
    assert "is" in compared(off, 3 * IMAGES).wrong


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_of_one_neuron_is_wrong_too(seed):
    """With images that bring that neuron to its threshold."""
    imported = read_onnx(of_rows().bytes())
    layer = imported.network.hidden[0]
    threshold = layer.threshold.copy()
    scale = int(abs(layer.rows([0]).data).max())
    threshold[seed] += scale
    off = mutated(imported, 0, HiddenLayer(layer._map, threshold))
    levels = sought_images(imported.network, 1500, rng(seed))
    assert compared(off, levels.astype(np.uint8)).wrong


@pytest.mark.parametrize("deep", [False, True])
def test_a_weight_of_the_other_sign_is_wrong(imported, deep):
    number = len(imported.network.hidden) - 1 if deep else 0
    layer = imported.network.hidden[number]
    rows = layer.rows(np.arange(layer.shape[0])).toarray()
    rows[:, np.flatnonzero(rows[0])[0]] *= -1
    off = mutated(imported, number, HiddenLayer(csr_array(rows), layer.threshold))
    assert compared(off, IMAGES).wrong


@pytest.mark.parametrize("part", ["weight", "bias", "scale"])
@pytest.mark.parametrize("softmax", [False, True])
def test_a_head_that_is_off_is_wrong_also_before_a_softmax(part, softmax):
    graph = of_images()
    if softmax:
        graph.add("Mul", graph.constant(50.0))  # whose probabilities are 0 and 1
        graph.add("Softmax", axis=1)
    imported = read_onnx(graph.bytes())
    network = imported.network
    numbers = {
        name: np.array(getattr(network.output, name)) for name in ("weight", "scale", "bias")
    }
    numbers[part] = numbers[part].astype(float)
    numbers[part].flat[0] += 1e-2 * np.abs(network.output.weight).max()
    head_off = OutputLayer(numbers["weight"], numbers["scale"], numbers["bias"])
    about: Any = {"levels": network.levels, "input_shape": network.input_shape}
    off = replace(imported, network=BinarizedNetwork(network.hidden, head_off, **about))
    assert "the output differs" in compared(off, 20).wrong


def test_layers_behind_a_rounded_neuron_are_compared_too():
    """Every image lies on a threshold of the first layer, where half precision rounds."""
    graph = dense(Graph((6,), real=np.float16), 8)
    graph.add("Sign")
    dense(graph, 4, seed=3)
    graph.add("Sub", graph.constant(0.5))
    graph.add("Sign")
    imported = read_onnx(head(graph).bytes())
    draw = rng(4)
    x = draw.random((40, 6)).astype(np.float32)
    weight = signs(6, 8)
    x[:, 0] = np.clip(x[:, 0] - (x @ weight[:, 0]) * weight[0, 0], 0, 1)  # sums near 0
    found = compared(imported, x)
    assert found.wrong == ""
    assert found.rounded > 0
    layer = imported.network.hidden[1]
    off = mutated(imported, 1, HiddenLayer(layer._map, layer.threshold + 2))
    assert compared(off, x).wrong


def test_a_count_of_zero_compares_nothing(imported):
    found = compared(imported, 0)
    assert str(found) == "not compared with the file"


def test_images_of_whole_numbers_only_for_a_file_of_those():
    graph = image((6,))
    graph.add("Cast", to=1)
    dense(graph)
    graph.add("Sign")
    found = read_onnx(head(graph).bytes(np.uint8), input_range=(0, 255))
    assert compared(found, rng().random((30, 6))).wrong == ""


def test_sought_images_lie_on_thresholds():
    network = read_onnx(of_rows(64).bytes()).network
    levels = sought_images(network, 90, rng())
    assert levels.shape == (90, 64)
    assert levels.min() >= 0
    assert levels.max() <= 255
    layer = network.hidden[0]
    away = np.abs(layer.pre_activation(levels) - layer.threshold).min(axis=1)
    scale = abs(layer.rows([0]).data).max()
    assert (away[2::3] <= scale).mean() > 0.9
    sums = layer.pre_activation(levels)[2::3]
    near = np.abs(sums - layer.threshold) <= scale
    assert (sums >= layer.threshold)[near].any()
    assert (sums < layer.threshold)[near].any()
    assert (away[0::3] <= scale).mean() < 0.5


SECOND = {"none": None, "real": rng(2).normal(size=(30, 30)), "signs": signs(30, 30, seed=2)}


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("input_range", [(0, 255), (-1, 1)])
def test_what_putting_real_weights_on_a_grid_changes_is_no_error(second, input_range):
    """In double precision, which rounds far less than that."""
    graph = Graph((40,), real=np.float64)
    graph.add("MatMul", graph.constant(rng(1).normal(size=(40, 30))), shape=(30,))
    if second != "none":
        graph.add("MatMul", graph.constant(SECOND[second]), shape=(30,))
    graph.add("Add", graph.constant(rng(3).normal(size=30)))
    graph.add("Sign")
    imported = read_onnx(head(graph).bytes(), input_range=input_range)
    found = compared(imported, IMAGES)
    assert found.wrong == ""
    assert 0 < found.rounded < 0.02 * IMAGES * found.neurons
    layer = imported.network.hidden[0]
    scale = int(abs(layer.rows([0]).data).max())
    off = mutated(imported, 0, HiddenLayer(layer._map, layer.threshold + scale))
    assert compared(off, IMAGES).wrong

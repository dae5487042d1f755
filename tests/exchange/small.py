"""Small networks as ONNX files, one part at a time, and what must hold of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.comparison.agreement import compared
from bnnopt.exchange.comparison.evaluation import evaluated
from bnnopt.exchange.onnx import Imported, read_onnx
from tests.exchange.graphs import Graph

CLASSES = 3


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def signs(*shape: int, seed: int = 0) -> Any:
    return rng(seed).choice([-1.0, 1.0], shape)


def dense(graph: Graph, out: int = 6, seed: int = 0) -> Graph:
    """A matrix of signs."""
    (size,) = graph.shape
    graph.add("MatMul", graph.constant(signs(size, out, seed=seed)), shape=(out,))
    return graph


def conv(graph: Graph, out: int = 2, size: int = 2, seed: int = 0) -> Graph:
    channels, rows, columns = graph.shape
    kernel = graph.constant(signs(out, channels, size, size, seed=seed))
    graph.add("Conv", kernel, shape=(out, rows - size + 1, columns - size + 1))
    return graph


def max_pool(graph: Graph, size: int = 2, stride: int = 1) -> Graph:
    channels, *sides = graph.shape
    shape = (channels, *((side - size) // stride + 1 for side in sides))
    graph.add("MaxPool", kernel_shape=[size, size], strides=[stride, stride], shape=shape)
    return graph


def norm(graph: Graph, gamma: Any, beta: Any = 0.25, mean: Any = 0.5, seed: int = 0) -> Graph:
    channels = graph.shape[0]
    numbers = [np.broadcast_to(part, channels) for part in (gamma, beta, mean)]
    names = [graph.constant(part) for part in (*numbers, np.full(channels, 0.7))]
    graph.add("BatchNormalization", *names, epsilon=1e-3)
    return graph


def head(graph: Graph, seed: int = 5) -> Graph:
    """Flat, then a matrix of real numbers."""
    size = int(np.prod(graph.shape))
    if len(graph.shape) > 1:
        graph.add("Flatten", shape=(size,))
    weight = rng(seed).normal(size=(size, CLASSES))
    graph.add("MatMul", graph.constant(weight), shape=(CLASSES,))
    return graph


def image(shape: tuple[int, ...] = (1, 5, 5), **given: Any) -> Graph:
    return Graph(shape, **given)


def sign_image(shape: tuple[int, ...] = (1, 5, 5), **given: Any) -> Graph:
    """An image whose pixels became signs."""
    graph = Graph(shape, **given)
    graph.add("Sub", graph.constant(127.5))
    graph.add("Sign")
    return graph


def agrees(
    graph: Graph | bytes,
    images: int = 60,
    *,
    given: Any = None,
    exact: bool = False,
    input_range: Any = (0, 255),
    **reading: Any,
) -> Imported:
    """Read a file; its neurons, logits and predictions must be those of the network.

    With pixels of 0 to 255 most sums are whole and below 2^24, so that the file rounds nothing:
    then `exact` asks that nothing differs at all.
    """
    content = graph if isinstance(graph, bytes) else graph.bytes(given)
    imported = read_onnx(content, input_range=input_range, **reading)
    network = imported.network
    found = compared(imported, images)
    assert found.wrong == ""
    assert found.neurons > 0
    if exact:
        assert (found.rounded, found.changed) == (0, 0)
    real = rng(1).random((16, *network.input_shape))
    assert compared(imported, real).wrong == ""
    x = rng(2).integers(0, network.levels + 1, (16, *network.input_shape))
    output = imported.model.graph.output[0].name
    (logits,) = evaluated(imported, imported.file_values(x), [output])
    differs = int((logits.argmax(axis=1) != network.predict(x)).sum())
    assert differs <= compared(imported, x).changed
    return imported


def refused(graph: Graph | bytes, words: str, given: Any = None, **reading: Any) -> str:
    """A file must be refused in one line with these words, which a regular expression gives."""
    content = graph if isinstance(graph, bytes) else graph.bytes(given)
    reading.setdefault("input_range", (0, 255))
    with pytest.raises(NetworkFormatError, match=words) as found:
        read_onnx(content, **reading)
    message = str(found.value)
    assert "\n" not in message
    assert len(message) < 700
    return message

"""Tiny random networks of every kind of layer and head, and their images by enumeration."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy.sparse import csr_array

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.network import Convolution

FIRST = ("dense", "ternary", "convolution", "cuts", "whole")
DEEPER = ("dense", "ternary", "convolution", "pool", "copies")
HEADS = ("integer", "batchnorm", "ternary", "real")

CLASSES = 3

Shape = tuple[int, int, int]


def network_of(
    seed: int, first: str = "dense", deeper: Sequence[str] = ("dense",), head: str = "integer"
) -> BinarizedNetwork:
    """At most 6 pixels of 3 to 7 levels and 10 neurons a layer; thresholds that sums do meet.

    Parameters
    ----------
    seed : int
    first : str
        One of `FIRST`.
    deeper : sequence of str
        One of `DEEPER` for each further layer; often none, one or two.
    head : str
        One of `HEADS`.
    """
    rng = np.random.default_rng(seed)
    levels = int(rng.integers(3, 8))
    shapes = [(1, 2, 3), (2, 1, 2), (1, 1, 5)] if first == "convolution" else [(1, 1, 4), (1, 1, 3)]
    shape: Shape = shapes[rng.integers(len(shapes))]
    points = rng.integers(0, levels + 1, (20, int(np.prod(shape)))).astype(float)
    hidden = []
    for number, kind in enumerate((first, *deeper)):
        weight = _weight(rng, kind, points.shape[1], shape)
        layer = _with_thresholds(rng, weight, points, is_first=number == 0, kind=kind)
        hidden.append(layer)
        points = layer(points)
        shape = (1, 1, layer.shape[0])
        if layer.convolution is not None:
            shape = layer.convolution.output_shape
    output = _head(rng, head, hidden[-1].shape[0])
    return BinarizedNetwork(tuple(hidden), output, levels=levels, name=f"{first}-{seed}")


def _weight(rng: np.random.Generator, kind: str, fan_in: int, shape: Shape) -> Any:
    width = int(rng.integers(3, 6))
    if kind == "dense":
        return rng.choice([-1, 1], (width, fan_in))
    if kind == "ternary":
        return csr_array(rng.choice([-1, 0, 0, 1], (width, fan_in)))
    if kind == "whole":
        large = rng.integers(-300, 301, (width, fan_in))
        return np.where(rng.random((width, fan_in)) < 0.2, 0, large)
    if kind == "convolution":
        return _convolution(rng, shape)
    if kind == "cuts":
        pixels = np.concatenate([np.arange(fan_in), rng.integers(0, fan_in, 2)])
        factors = rng.choice([-2, -1, 1, 1, 2, 3], len(pixels))
        return csr_array((factors, (np.arange(len(pixels)), pixels)), shape=(len(pixels), fan_in))
    if kind == "copies":
        return csr_array(np.eye(fan_in, dtype=np.int8)[rng.permutation(fan_in)[:5]])
    members = [rng.permutation(fan_in)[: rng.integers(2, 4)] for _ in range(width)]  # pool
    return csr_array(np.array([np.isin(np.arange(fan_in), inside) for inside in members], int))


def _convolution(rng: np.random.Generator, shape: Shape) -> Convolution:
    channels, rows, columns = shape
    height, width = min(rows, 2), min(columns, 2)
    kernel = rng.choice([-1, 0, 1, 1], (1 + (rows * columns < 4), channels, height, width))
    down, right = rng.integers(0, 2, 2).tolist()
    padding = ((down * (rows > 1), 0), (0, right))
    return Convolution(kernel, shape, padding=padding, stride=(1, 1 + (columns > 4)))


def _with_thresholds(
    rng: np.random.Generator, weight: Any, points: np.ndarray, *, is_first: bool, kind: str
) -> HiddenLayer:
    """Thresholds that some points just reach and others just miss; a pool's are its own."""
    width = weight.shape[0]
    layer = HiddenLayer(weight, np.zeros(width))
    if kind == "pool":
        return HiddenLayer(weight, 2 - layer.magnitude)
    if kind == "copies":
        return layer
    sums = layer.pre_activation(points)
    reached = sums[rng.integers(0, len(points), width), np.arange(width)]
    return HiddenLayer(weight, reached + rng.integers(0, 2 if is_first else 3, width))


def _head(rng: np.random.Generator, kind: str, fan_in: int) -> OutputLayer:
    shape = (CLASSES, fan_in)
    if kind == "integer":
        return OutputLayer(rng.choice([-1, 1], shape), np.ones(CLASSES), rng.integers(-1, 2, 3))
    if kind == "ternary":
        return OutputLayer(rng.integers(-1, 2, shape), np.ones(CLASSES), rng.integers(-1, 2, 3))
    weight = rng.choice([-1, 1], shape) if kind == "batchnorm" else rng.normal(size=shape)
    return OutputLayer(weight, rng.normal(size=CLASSES), rng.normal(size=CLASSES))


networks: st.SearchStrategy[BinarizedNetwork] = st.builds(
    network_of,
    seed=st.integers(0, 10**6),
    first=st.sampled_from(FIRST),
    deeper=st.lists(st.sampled_from(DEEPER), max_size=2).map(tuple),
    head=st.sampled_from(HEADS),
)


def instance_of(network: BinarizedNetwork, seed: int, **options: Any) -> AttackInstance:
    """An attack on an image of whole levels; pixels may move by one or two levels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, network.levels + 1, network.num_inputs) / network.levels
    epsilon = f"{rng.integers(1, 3)}/{network.levels}"
    return AttackInstance(network, image.reshape(network.input_shape), epsilon, **options)


def admissible(instance: AttackInstance) -> np.ndarray:
    """The levels of every admissible image of whole levels, shape (count, n)."""
    low, high = instance.point_box
    ends = zip(np.ceil(low).astype(int), np.floor(high).astype(int), strict=True)
    points = np.array(list(product(*[range(a, b + 1) for a, b in ends])), dtype=float)
    moved = np.abs(points - instance.levels)
    most = instance.network.num_inputs if instance.max_pixels is None else instance.max_pixels
    kept = (moved.sum(axis=1) <= instance.l1_point_levels) & ((moved > 0).sum(axis=1) <= most)
    return points[kept]


def network_of_cuts(
    seed: int,
    pixels: int = 4,
    most: int = 3,
    widths: Sequence[int] = (5, 4),
    head: str = "integer",
) -> BinarizedNetwork:
    """One to `most` neurons a pixel, each of which looks at it alone; then dense layers."""
    rng = np.random.default_rng(seed)
    levels = int(rng.integers(4, 8))
    pixel = np.repeat(np.arange(pixels), rng.integers(1, most + 1, pixels))
    factors = rng.choice([-2, -1, 1, 1, 3], len(pixel))
    weight = csr_array((factors, (np.arange(len(pixel)), pixel)), shape=(len(pixel), pixels))
    points = rng.integers(0, levels + 1, (30, pixels)).astype(float)
    hidden = [_with_thresholds(rng, weight, points, is_first=True, kind="cuts")]
    for width in widths:
        points = hidden[-1](points)
        dense = rng.choice([-1, 1], (width, points.shape[1]))
        hidden.append(_with_thresholds(rng, dense, points, is_first=False, kind="dense"))
    output = _head(rng, head, hidden[-1].shape[0])
    return BinarizedNetwork(tuple(hidden), output, levels=levels)


def padded(network: BinarizedNetwork) -> BinarizedNetwork:
    """The same function with an unread pixel in front and an unread, changing neuron a layer."""
    hidden = []
    for number, layer in enumerate(network.hidden):
        rows = layer.rows(np.arange(layer.shape[0])).toarray()
        unread = np.zeros((len(rows), 1))
        extra = np.ones((1, rows.shape[1] + 1))
        weight = np.vstack(
            [np.hstack([unread, rows]), extra]
            if number == 0
            else [np.hstack([rows, unread]), extra]
        )
        middle = network.levels * weight.shape[1] // 2 if number == 0 else 0
        hidden.append(HiddenLayer(weight.astype(int), np.append(layer.threshold, middle)))
    output = network.output
    weight = np.hstack([output.weight, np.zeros((len(output.weight), 1))])
    head = OutputLayer(weight, output.scale, output.bias)
    return BinarizedNetwork(tuple(hidden), head, levels=network.levels)

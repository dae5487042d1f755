"""Random parts of networks of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.network import Convolution
from bnnopt.network.unroll import conv2d, max_pool2d, pixel_cuts

seeds = st.integers(0, 2**32 - 1)


def signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.choice([-1.0, 1.0], shape)


def geometry(rng: np.random.Generator) -> dict[str, Any]:
    """Of a convolution that has an output: stride, padding, dilation, groups."""
    groups = int(rng.choice([1, 1, 2]))
    return {
        "stride": tuple(rng.integers(1, 4, 2).tolist()),
        "padding": tuple(map(tuple, rng.integers(0, 3, (2, 2)).tolist())),
        "dilation": tuple(rng.integers(1, 3, 2).tolist()),
        "groups": groups,
    }


def random_convolution(rng: np.random.Generator, largest: int = 1) -> Convolution:
    """Of whole weights of at most `largest` in size, zeros among them."""
    about = geometry(rng)
    groups = about["groups"]
    channels, filters = groups * rng.integers(1, 3), groups * rng.integers(1, 4)
    kernel = rng.integers(
        -largest, largest + 1, (filters, channels // groups, *rng.integers(1, 4, 2))
    )
    sides = rng.integers(5, 9, 2)
    return Convolution(kernel, (int(channels), int(sides[0]), int(sides[1])), **about)


def dense(layer: HiddenLayer) -> np.ndarray:
    """Its weights as a plain matrix of int64."""
    weight: Any = layer.weight
    return np.asarray(weight if layer.is_dense else weight.toarray(), dtype=np.int64)


def mixed_network(seed: int) -> BinarizedNetwork:
    """Cuts of pixels, a ternary convolution, pooling, sparse and dense layers and a real head."""
    rng = np.random.default_rng(seed)
    cuts = pixel_cuts((2, 5, 5), [["1/3", 0.5], ["0.2", 0.6]])
    kernel, threshold = rng.integers(-1, 2, (4, 2, 3, 3)), rng.integers(-1, 2, 4)
    filters = conv2d(kernel, threshold, cuts.output_shape, padding=1, groups=2)
    pooled = max_pool2d(filters.output_shape, 2)
    sparse = HiddenLayer(rng.integers(-2, 3, (6, pooled.shape[0])), rng.integers(-2, 3, 6))
    last = HiddenLayer(signs(rng, 5, 6), rng.integers(-2, 3, 5))
    head = OutputLayer(rng.normal(size=(3, 5)), np.ones(3), rng.normal(size=3))
    return BinarizedNetwork((cuts, filters, pooled, sparse, last), head, input_shape=(2, 5, 5))

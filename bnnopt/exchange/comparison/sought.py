"""Images on which a comparison is worth most: random ones, and some that lie on thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.network import BinarizedNetwork

__all__ = ["sought_images"]

FloatArray = npt.NDArray[np.float64]
STEPS = 200
"""Pixels that are changed, at most, to bring a sum to its threshold."""


def sought_images(network: BinarizedNetwork, count: int, rng: np.random.Generator) -> FloatArray:
    """Levels of images, shape (count, n): whole ones.

    A third is noise, a third has few grey values in blocks, and in a third a neuron of the first
    layer lies on its threshold, as nearly as pixels can bring it there, or just below.
    """
    size, levels = network.num_inputs, network.levels
    noise = rng.integers(0, levels + 1, (count, size)).astype(np.float64)
    for number in range(count):
        if number % 3 == 1:
            block = int(rng.integers(1, 9))
            few = rng.choice([0, levels, *rng.integers(0, levels + 1, 2)], -(-size // block))
            noise[number] = np.repeat(few, block)[:size]
        if number % 3 == 2:
            _brought_to_threshold(network, noise[number], rng)
    return noise


def _brought_to_threshold(
    network: BinarizedNetwork, z: FloatArray, rng: np.random.Generator
) -> None:
    """Change pixels until a neuron's sum is the least from its threshold on, or the last below."""
    layer = network.hidden[0]
    neuron = int(rng.integers(layer.shape[0]))
    row: Any = layer.rows([neuron])
    lacking = float(layer.threshold[neuron]) - float(row.data @ z[row.indices])
    is_below = bool(rng.integers(0, 2))
    for at in rng.permutation(len(row.indices))[:STEPS].tolist():
        pixel, size = row.indices[at], abs(row.data[at])
        turn = np.sign(row.data[at])
        wanted = turn * (np.ceil(lacking / size) - is_below)
        moved = np.clip(z[pixel] + wanted, 0, network.levels) - z[pixel]
        z[pixel] += moved
        lacking -= moved * row.data[at]

"""Small networks with images of their own: grey, colour, any number of levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt import BinarizedNetwork, OutputLayer
from bnnopt.network.unroll import conv2d

CLASSES = 3


def network_of_images(
    levels: int, shape: tuple[int, int, int] = (3, 4, 4), seed: int = 0
) -> BinarizedNetwork:
    """One binarized convolution and a head; thresholds in the middle of what images give."""
    rng = np.random.default_rng(seed)
    kernel = rng.choice([-1, 1], (4, shape[0], 2, 2))
    middle = kernel.reshape(4, -1).sum(axis=1) * levels / 2
    layer = conv2d(kernel, np.rint(middle).astype(int), shape, stride=2)
    head = OutputLayer(
        rng.choice([-1, 1], (CLASSES, layer.shape[0])), np.ones(CLASSES), np.zeros(CLASSES)
    )
    return BinarizedNetwork((layer,), head, levels=levels, input_shape=shape, name=f"of-{levels}")


def images_for(
    network: BinarizedNetwork, count: int, *, wrong: int = 0, seed: int = 0
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Whole levels, and the predictions as labels but for the last `wrong`."""
    rng = np.random.default_rng(seed)
    kind = np.uint8 if network.levels < 256 else np.uint16
    images = rng.integers(0, network.levels + 1, (count, *network.input_shape)).astype(kind)
    labels = network.predict(images).astype(np.int64)
    labels[count - wrong :] = (labels[count - wrong :] + 1) % network.num_classes
    return images, labels


def saved(folder: Path, network: BinarizedNetwork, count: int = 6, **how: Any) -> tuple[Path, Path]:
    """Files of a network and of images for it."""
    images, labels = images_for(network, count, **how)
    network.save(folder / "net.npz")
    np.savez(folder / "own.npz", images=images, labels=labels)
    return folder / "net.npz", folder / "own.npz"

"""The robust networks are as robust as they say: an independent search over the bits of images."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt import Robustness, datasets, zoo
from tests.conftest import has_data
from tests.test_zoo import independent_predictions

MOST = 12
"""Free pixels of which all sets are tried."""


def corners(network: bnnopt.BinarizedNetwork, image: Any, epsilon: str) -> Any:
    """An image for every way to change what the network sees: all it can be within epsilon.

    Whole levels serve as representatives of the intervals between the cuts, wherever in the
    box's own interval the pixel may be.
    """
    first = network.hidden[0]
    weight, threshold = first.weight.toarray(), first.threshold
    radius = Fraction(epsilon) * 255
    choices = []
    for pixel, level in enumerate(image.ravel()):
        cuts = sorted(
            Fraction(int(threshold[row]), int(weight[row, pixel]))
            for row in np.flatnonzero(weight[:, pixel])
        )
        low, high = max(level - radius, 0), min(level + radius, 255)
        edges = [Fraction(-1), *cuts, Fraction(256)]
        inside = [
            int(-(-max(a, 0) // 1))  # the lowest whole level of the interval [a, b)
            for a, b in pairwise(edges)
            if a <= high and low < b
        ]
        choices.append(inside)
    free = [pixel for pixel, inside in enumerate(choices) if len(inside) > 1]
    if len(free) > MOST:
        return None
    ways = list(product(*(choices[pixel] for pixel in free)))
    images = np.tile([inside[0] for inside in choices], (len(ways), 1))
    images[:, free] = ways
    return images


@pytest.mark.parametrize("name", zoo.ROBUST)
def test_what_is_certified_withstands_every_set_of_bits(name: str) -> None:
    # Within 0.3 few images have so few free pixels.
    network, epsilon = zoo.load(name), min(name.rsplit("-", 1)[1], "0.1")
    if network.dataset == "mnist" and not has_data("mnist"):
        pytest.skip("mnist is not on this machine: bnnopt data fetch")
    images = datasets.for_indices(network.dataset, range(100))
    checked = {Robustness.ROBUST: 0, Robustness.VULNERABLE: 0}
    for index in range(100):
        image = images.x(index)
        reached = corners(network, images.images[index], epsilon)
        if reached is None or sum(checked.values()) >= 25:
            continue
        certificate = bnnopt.certify(network, image, epsilon, time_limit=None)
        found = independent_predictions(network, reached)
        is_robust = bool(np.all(found == network.predict(image)))
        expected = Robustness.ROBUST if is_robust else Robustness.VULNERABLE
        assert certificate.verdict is expected
        checked[expected] += 1
    assert sum(checked.values()) >= 3


@pytest.mark.parametrize("name", zoo.ROBUST)
def test_a_robust_network_sees_bits_and_says_how_it_was_trained(name: str) -> None:
    pytest.importorskip("torch")
    from bnnopt.training import shipped_recipe

    network = zoo.load(name)
    cuts = network.hidden[0]
    assert network.name == name
    assert cuts.weight.nnz == cuts.shape[0]  # each neuron sees one pixel
    assert network.recipe["held_out"] == 5000
    assert shipped_recipe(name).as_dict().items() <= dict(network.recipe).items()

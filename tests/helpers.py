"""Tiny random networks, and the truth about them by enumeration."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
from scipy.optimize import linprog

from bnnopt import AttackInstance, BinarizedNetwork, HiddenLayer, OutputLayer


def random_network(
    seed: int,
    inputs: int = 4,
    widths: tuple[int, ...] = (4, 3),
    classes: int = 3,
    levels: int = 7,
    head: str = "integer",
) -> BinarizedNetwork:
    """Thresholds near the middle of each neuron's range, so that neurons do flip."""
    rng = np.random.default_rng(seed)
    sizes = [inputs, *widths]
    hidden = []
    for number, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        weight = rng.choice([-1, 1], (fan_out, fan_in))
        if number == 0:
            middle = weight.sum(axis=1) * levels // 2
            threshold = middle + rng.integers(-levels, levels + 1, fan_out)
        else:
            threshold = 2 * rng.integers(-1, 2, fan_out) - fan_in % 2
        hidden.append(HiddenLayer(weight, threshold))
    weight = rng.choice([-1, 1], (classes, sizes[-1]))
    if head == "integer":
        scale, bias = np.ones(classes), rng.integers(-1, 2, classes)
    else:
        scale, bias = rng.normal(size=classes), rng.normal(size=classes)
    return BinarizedNetwork(tuple(hidden), OutputLayer(weight, scale, bias), levels=levels)


def random_image(network: BinarizedNetwork, seed: int) -> np.ndarray:
    """An image of whole levels."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, network.levels + 1, network.num_inputs) / network.levels


def whole_rows(layer: HiddenLayer) -> np.ndarray:
    """The weights of all neurons, zeros and all."""
    return layer.rows(np.arange(layer.shape[0])).toarray().astype(int)


def exact_logits(network: BinarizedNetwork, levels: list[Fraction]) -> list[Fraction]:
    """The forward pass in rational arithmetic, written apart from the package's."""
    values = levels
    for layer in network.hidden:
        weight, threshold = whole_rows(layer).tolist(), layer.threshold.tolist()
        values = [
            Fraction(1 if sum(w * v for w, v in zip(row, values, strict=True)) >= t else -1)
            for row, t in zip(weight, threshold, strict=True)
        ]
    output = network.output
    return [
        Fraction(s) * sum(w * v for w, v in zip(row, values, strict=True)) + Fraction(b)
        for row, s, b in zip(
            output.weight.tolist(), output.scale.tolist(), output.bias.tolist(), strict=True
        )
    ]


def best_pixel_margin(instance: AttackInstance) -> float:
    """The largest margin over every image of whole levels in the box."""
    low, high = instance.point_box
    ranges = [range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True)]
    points = np.array(list(product(*ranges)), dtype=np.float64)
    return float(instance.margins(points).max())


def best_rank(instance: AttackInstance) -> tuple[float, ...]:
    """The best rank over every admissible image of whole levels."""
    low, high = instance.levels, instance.levels
    reach = np.floor(instance.network.levels * instance.epsilon + 1e-9)
    ranges = [
        range(int(max(a - reach, 0)), int(min(b + reach, instance.network.levels)) + 1)
        for a, b in zip(low, high, strict=True)
    ]
    points = np.array(list(product(*ranges)), dtype=np.float64)
    points = points[[instance.admits(z / instance.network.levels) for z in points]]
    return max(instance.rank(z) for z in points)


def best_continuous_margins(instance: AttackInstance) -> tuple[float, float]:
    """The largest margin over first-layer sign patterns with interior, and over those with a point.

    A pattern with interior has a point strictly inside all its half-spaces. Others may have points
    on the thresholds of neurons that are on; one that is off lies a step of the grid below its own.
    """
    network = instance.network
    layer = network.hidden[0]
    low, high = instance.box
    inside, closed = -np.inf, -np.inf
    rows = whole_rows(layer)
    least = (rows @ (low + high) - np.abs(rows) @ (high - low)) / 2
    for signs in product((-1.0, 1.0), repeat=len(layer.threshold)):
        if np.any((np.array(signs) < 0) & (least >= layer.threshold)):
            continue
        slack = _largest_slack(np.array(signs), layer, low, high)
        if slack < -1e-7 or _largest_slack(np.array(signs), layer, low, high, GRID_STEP) < -1e-8:
            continue
        margin = _pattern_margin(instance, np.array(signs))
        closed = max(closed, margin)
        if slack > 1e-4:
            inside = max(inside, margin)
    return inside, closed


def deepest_slack(instance: AttackInstance, signs: np.ndarray) -> float:
    """The largest smallest slack, in levels, of a first-layer pattern; negative if it is empty."""
    return _largest_slack(signs, instance.network.hidden[0], *instance.box)


GRID_STEP = 2.0**-20


def _largest_slack(
    signs: np.ndarray, layer: HiddenLayer, low: np.ndarray, high: np.ndarray, off: float = 0.0
) -> float:
    """Of a pattern; a neuron that is off must lie `off` levels below its threshold."""
    rows = -signs[:, None] * whole_rows(layer)
    matrix = np.hstack([rows, np.ones((len(rows), 1))])
    solved = linprog(
        np.r_[np.zeros(len(low)), -1.0],
        A_ub=matrix,
        b_ub=-signs * layer.threshold - off * (signs < 0),
        bounds=[*zip(low, high, strict=True), (None, 1.0)],
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return float(-solved.fun)


def _pattern_margin(instance: AttackInstance, signs: np.ndarray) -> float:
    values = signs[None]
    for layer in instance.network.hidden[1:]:
        values = layer(values)
    logits = instance.network.output(values)[0]
    return float(max(logits[c] for c in instance.targets) - logits[instance.source])

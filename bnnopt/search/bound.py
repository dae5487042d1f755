r"""Upper bounds on the margin over all flip sets between F and F plus some candidates.

Compiled. Interval arithmetic first; then functions of the second layer's surplus that lie above
the margin. Going backward through the deeper layers, each neuron is replaced by a line that lies
above it where more of it helps, below it where less does; each neuron of the second layer by a
line or a parabola in its surplus (docs/search.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.problem import MarginTerms

__all__ = [
    "cardinality_colours",
    "deeper_lines",
    "margin_of",
    "second_curves",
    "surplus_ranges",
]

Array = Any


@compiled
def margin_of(terms: MarginTerms, surplus: Array) -> float:
    """The exact margin where the second layer has this surplus, shape (r,)."""
    gain, total = terms.gain, terms.constant
    if len(terms.weight) == 0:
        for j in range(len(gain)):
            if surplus[j] >= 0.0:
                total += gain[j]
        return total
    on = (surplus >= 0.0).astype(np.float64)
    for at in range(len(terms.weight)):
        on = ((terms.weight[at] @ on - terms.needed[at]) >= 0.0).astype(np.float64)
    return total + float(gain @ on)


@compiled
def surplus_ranges(
    terms: MarginTerms,
    surplus: Array,
    candidates: Array,
    colour: Array,
    count: int,
    classes: int,
    least: Array,
    most: Array,
    low: Array,
    high: Array,
) -> None:
    """Ranges of every layer's surplus; `low` and `high`, shape (1 + layers, r), are written.

    Of each class of candidates at most one flips; what it adds to each surplus of the second
    layer is within `least` and `most`, shape (classes, r), which are written too.
    """
    weight, needed = terms.weight, terms.needed
    r = len(surplus)
    low[0], high[0] = surplus, surplus
    one = np.float32(1.0)
    least[:classes] = 0.0
    most[:classes] = 0.0
    for a in range(count):
        row, under, over = terms.change[candidates[a]], least[colour[a]], most[colour[a]]
        for j in range(r):
            value, lower, upper = row[j], under[j], over[j]
            under[j] = value if value < lower else lower
            over[j] = value if value > upper else upper
    for c in range(classes):
        _add_scaled(low[0], one, least[c])
        _add_scaled(high[0], one, most[c])
    for at in range(len(weight)):
        for j in range(r):
            under_j = over_j = -needed[at, j]
            for i in range(r):
                w = weight[at, j, i]
                sure, possible = low[at, i] >= 0.0, high[at, i] >= 0.0
                if sure:
                    under_j += w
                    over_j += w
                elif possible:
                    under_j += min(w, 0.0)
                    over_j += max(w, 0.0)
            low[at + 1, j], high[at + 1, j] = under_j, over_j


@compiled
def deeper_lines(
    terms: MarginTerms, low: Array, high: Array, activation: Array, slope: Array
) -> tuple[float, float]:
    """Replace all layers but the second by lines that are lowest at these activations.

    `activation` and `slope` have shape (1 + layers, r). The activations of deeper layers become
    what the lines make of those before; ``slope[0]`` gets what an activation of the second layer
    counts for. Returns the constant, and what its terms add up to in size.
    """
    r = len(terms.gain)
    total, size = terms.constant, abs(terms.constant)
    slope[-1] = terms.gain
    for at in range(len(terms.weight), 0, -1):
        weight, needed = terms.weight[at - 1], terms.needed[at - 1]
        y = weight @ activation[at - 1] - needed
        below = slope[at - 1]
        below[:] = 0.0
        for j in range(r):
            g, under, over = slope[at, j], low[at, j], high[at, j]
            activation[at, j] = 1.0 if under >= 0.0 else 0.0
            if g == 0.0 or over < 0.0:
                continue
            size += abs(g)
            if under >= 0.0:
                total += g
                continue
            if g > 0.0:
                lifted, push = (y[j] - under) / -under, g / -under
                total += g
            else:
                lifted, push = (y[j] + 1.0) / (over + 1.0), g / (over + 1.0)
                total += push
            activation[at, j] = min(max(lifted, 0.0), 1.0)
            if g > 0.0 and lifted >= 1.0:
                continue
            if g < 0.0 and lifted <= 0.0:
                total -= push
                continue
            total -= push * needed[j]
            size += abs(push) * (abs(needed[j]) + r)
            for i in range(r):
                below[i] += push * weight[j, i]
    return total, size


@compiled
def second_curves(
    gain: Array,
    mean: Array,
    square: Array,
    low: Array,
    high: Array,
    bends: bool,
    activation: Array,
    slope: Array,
    curve: Array,
) -> float:
    """Replace each neuron of the second layer by the parabola that is lowest on average.

    It helps where x >= 0: x is its surplus y where its gain is positive, else -1 - y. At whole x
    from the least on, the line ``1 + x / -least`` and, for whole t from 2 to -least, the parabola
    ``(x + t) (x + t - 1) / (t (t - 1))`` are at least 0, and from x = 0 on at least 1. For real t
    the parabola's mean is lowest at a root of a quadratic equation (docs/search.md).

    Parameters
    ----------
    gain, mean, square, low, high : array, shape (r,)
        What each neuron's activation counts for; of its surplus.
    bends : bool
        Whether parabolas are allowed beside lines.
    activation, slope, curve : array, shape (r,)
        Get the means, and the coefficients of y and y^2.

    Returns
    -------
    float
        The sum of the constants.
    """
    level = 0.0
    for j in range(len(gain)):
        g, helps = abs(gain[j]), gain[j] > 0.0
        least = float(low[j] if helps else -1.0 - high[j])
        most = float(high[j] if helps else -1.0 - low[j])
        x = mean[j] if helps else -1.0 - mean[j]
        x_square = square[j] if helps else square[j] + 2.0 * mean[j] + 1.0
        height, line, bend = 1.0, 0.0, 0.0
        if most < 0.0:
            height = 0.0
        elif least < 0.0 and x < 0.0:
            height, line, bend = _lowest_curve(least, x, max(x_square, x * x), bends)
        activation[j] = height if helps else 1.0 - height
        top = g if most >= 0.0 else 0.0  # the curve's value at x = 0
        # In y: x is y, or -1 - y.
        curve[j] = g * bend
        slope[j] = g * line if helps else g * (2.0 * bend - line)
        level += top if helps else top + g * (bend - line) - g
    return level


@compiled
def _lowest_curve(
    least: float, x: float, x_square: float, bends: bool
) -> tuple[float, float, float]:
    """Of the curves ``1 + line x + bend x^2`` the lowest mean, its line and its bend."""
    height, line, bend = 1.0 + x / -least, -1.0 / least, 0.0
    if bends and least <= -2.0:
        root = np.sqrt(max(x_square * x_square - x * x, 0.0))
        t = min(max(np.floor((x_square + root) / (-2.0 * x) + 1.0), 2.0), -least)
        parabola = 1.0 / (t * (t - 1.0))
        lifted = 1.0 + parabola * ((2.0 * t - 1.0) * x + x_square)
        if lifted < height:
            height, line, bend = lifted, parabola * (2.0 * t - 1.0), parabola
    if height >= 1.0:
        return 1.0, 0.0, 0.0
    return height, line, bend


@compiled
def _add_scaled(total: Array, share: Any, row: Array) -> None:
    for j in range(len(total)):
        total[j] += share * row[j]


@compiled
def cardinality_colours(conflict: Array, count: int, colour: Array) -> int:
    """Greedy classes whose members all conflict; `colour`, shape (k,), is written."""
    classes = 0
    fits = np.empty(count, dtype=np.bool_)
    for a in range(count):
        fits[:classes] = True
        for b in range(a):
            if not conflict[a, b]:
                fits[colour[b]] = False
        at = 0
        while at < classes and not fits[at]:
            at += 1
        colour[a] = at
        classes = max(classes, at + 1)
    return classes

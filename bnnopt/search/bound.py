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
from bnnopt.search.problem import MarginTerms, layer_weight
from bnnopt.search.rows import copy_row, product
from bnnopt.search.workspace import Workspace

__all__ = [
    "cardinality_colours",
    "deeper_lines",
    "margin_of",
    "second_curves",
    "surplus_ranges",
    "total_on",
]

Array = Any


@compiled
def margin_of(terms: MarginTerms, surplus: Array) -> float:
    """The exact margin where the second layer has this surplus, shape (r,)."""
    gain, start = terms.gain, terms.start
    if len(terms.block) == 1:
        return terms.constant + total_on(gain, surplus)
    needed, on = terms.needed, np.empty(len(surplus))
    for j in range(len(on)):
        on[j] = 1.0 if surplus[j] >= 0.0 else 0.0
    for layer in range(1, len(terms.block)):
        on = layer_weight(terms, layer) @ on
        for j in range(len(on)):
            on[j] = 1.0 if on[j] >= needed[start[layer] + j] else 0.0
    return terms.constant + product(gain, on)


@compiled
def total_on(gain: Array, surplus: Array) -> float:
    """The gains of the neurons that are on, both of shape (r,)."""
    total = 0.0
    for j in range(len(gain)):
        total += gain[j] if surplus[j] >= 0.0 else 0.0
    return total


@compiled
def surplus_ranges(
    terms: MarginTerms, surplus: Array, count: int, classes: int, space: Workspace
) -> None:
    """Ranges of every layer's surplus where some of the `count` candidates flip.

    Of each of the classes at most one does; what it adds to each surplus of the second layer is
    within ``space.least`` and ``space.most``. Those, ``space.low`` and ``space.high`` are written.
    """
    r, least, most, low, high = len(surplus), space.least, space.most, space.low, space.high
    change, kept, group = terms.change, space.kept, space.group
    copy_row(surplus, low)
    copy_row(surplus, high)
    least[:classes] = 0.0
    most[:classes] = 0.0
    for a in range(count):  # rows are not taken out of tables: that costs more than a short sum
        c, i = group[a], kept[a]
        for j in range(r):
            value, lower, upper = change[i, j], least[c, j], most[c, j]
            least[c, j] = value if value < lower else lower
            most[c, j] = value if value > upper else upper
    for c in range(classes):
        for j in range(r):
            low[j] += least[c, j]
            high[j] += most[c, j]
    for layer in range(1, len(terms.block)):
        _deeper_ranges(terms, layer, low, high)


@compiled
def _deeper_ranges(terms: MarginTerms, layer: int, low: Array, high: Array) -> None:
    """Ranges of a layer, by those of the one before."""
    before, first = terms.start[layer - 1], terms.start[layer]
    weight = layer_weight(terms, layer)
    for j in range(len(weight)):
        under = over = -terms.needed[first + j]
        for i in range(weight.shape[1]):
            w = weight[j, i]
            is_sure, is_off = low[before + i] >= 0.0, high[before + i] < 0.0
            under += w if is_sure else 0.0 if is_off else min(w, 0.0)
            over += w if is_sure else 0.0 if is_off else max(w, 0.0)
        low[first + j], high[first + j] = under, over


@compiled
def deeper_lines(terms: MarginTerms, space: Workspace) -> tuple[float, float]:
    """Replace all layers but the second by lines that are lowest at ``space.activation``.

    The activations of deeper layers become what the lines make of those before; the second
    layer's part of ``space.push`` gets what its activations count for. Returns the constant, and
    what its terms add up to in size.
    """
    start = terms.start
    total, size = terms.constant, abs(terms.constant)
    copy_row(terms.gain, space.push[start[-2] :])
    for layer in range(len(terms.block) - 1, 0, -1):
        constant, terms_size = _layer_lines(terms, layer, space)
        total += constant
        size += terms_size
    return total, size


@compiled
def _layer_lines(terms: MarginTerms, layer: int, space: Workspace) -> tuple[float, float]:
    """Replace one layer, as `deeper_lines` says; its constant and the size of its terms."""
    last, first, end = terms.start[layer - 1], terms.start[layer], terms.start[layer + 1]
    weight, needed = layer_weight(terms, layer), terms.needed[first:end]
    activation, slope = space.activation[first:end], space.push[first:end]
    low, high = space.low[first:end], space.high[first:end]
    y = weight @ space.activation[last:first]
    below = space.push[last:first]
    below[:] = 0.0
    r, total, size = len(below), 0.0, 0.0
    for j in range(len(slope)):
        g, under, over = slope[j], low[j], high[j]
        activation[j] = 1.0 if under >= 0.0 else 0.0
        if g == 0.0 or over < 0.0:
            continue
        size += abs(g)
        if under >= 0.0:
            total += g
            continue
        x = y[j] - needed[j]
        if g > 0.0:
            lifted, push = (x - under) / -under, g / -under
            total += g
        else:
            lifted, push = (x + 1.0) / (over + 1.0), g / (over + 1.0)
            total += push
        activation[j] = min(max(lifted, 0.0), 1.0)
        if g > 0.0 and lifted >= 1.0:
            continue
        if g < 0.0 and lifted <= 0.0:
            total -= push
            continue
        total -= push * needed[j]
        row, most = weight[j], 0.0
        for i in range(r):
            below[i] += push * row[i]
            most += abs(row[i])
        size += abs(push) * (abs(needed[j]) + most)
    return total, size


@compiled
def second_curves(gain: Array, bends: bool, space: Workspace) -> float:
    """Replace each neuron of the second layer by the parabola that is lowest on average.

    It helps where x >= 0: x is its surplus y where its gain is positive, else -1 - y. At whole x
    from the least on, the line ``1 + x / -least`` and, for whole t from 2 to -least, the parabola
    ``(x + t) (x + t - 1) / (t (t - 1))`` are at least 0, and from x = 0 on at least 1.

    Parameters
    ----------
    gain : array, shape (r,)
        What each neuron's activation counts for.
    bends : bool
        Whether parabolas are allowed beside lines.
    space : Workspace
        Has the ranges and moments of the surplus; ``activation`` gets the means of the curves,
        ``slope`` and ``curve`` the coefficients of y and y^2.

    Returns
    -------
    float
        The sum of the constants.
    """
    low, high, mean, square = space.low, space.high, space.mean, space.square
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
        space.activation[j] = height if helps else 1.0 - height
        top = g if most >= 0.0 else 0.0  # the curve's value at x = 0
        # In y: x is y, or -1 - y.
        space.curve[j] = g * bend
        space.slope[j] = g * line if helps else g * (2.0 * bend - line)
        level += top if helps else top + g * (bend - line) - g
    return level


@compiled
def _lowest_curve(
    least: float, x: float, x_square: float, bends: bool
) -> tuple[float, float, float]:
    """Of the curves ``1 + line x + bend x^2`` the lowest mean, its line and its bend."""
    height, line, bend = 1.0 + x / -least, -1.0 / least, 0.0
    if bends and x < 0.0 and least <= -2.0:
        # A parabola's mean falls from t to t + 1 as long as t < x_square / -x.
        t = min(max(np.ceil(x_square / -x), 2.0), -least)
        parabola = 1.0 / (t * (t - 1.0))
        lifted = 1.0 + parabola * ((2.0 * t - 1.0) * x + x_square)
        if lifted < height:
            height, line, bend = lifted, parabola * (2.0 * t - 1.0), parabola
    if height >= 1.0:
        return 1.0, 0.0, 0.0
    return height, line, bend


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

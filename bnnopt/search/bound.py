r"""Upper bounds on the margin over all flip sets between F and F plus some candidates.

Compiled. Interval arithmetic first; then a *joint* bound: the indicator of each undecided neuron
is replaced by a line that lies above it where more of it helps, below it where less does. Going
backward through the layers, the margin is at most a linear function of the flips, ``constant +
sum of coefficient_i over the flips``, and its maximum over sets without a conflicting pair is at
most the sum over colour classes of their largest coefficient, where every two neurons of a class
conflict. For the second layer the lines are those of the convex hull that are lowest at a
fractional set; averages of such functions are the bound (docs/search.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

from bnnopt.search.problem import MarginTerms

__all__ = [
    "cardinality_colours",
    "colour_bound",
    "compiled",
    "deeper_lines",
    "margin_of",
    "orient",
    "second_lines",
    "surplus_ranges",
]

Array = Any

PASSES = 2
"""Over the classes, in search of those to leave out of a line."""

ROUNDED_UP = 1.0 + 4e-7
"""Keeps a slope in single precision above the exact one."""

Function = TypeVar("Function", bound=Callable[..., Any])

compiled: Callable[[Function], Function] = njit(
    cache=True,
    nogil=True,
    fastmath={"reassoc", "contract", "nsz", "arcp"},  # sums in any order; no NaN is assumed away
    error_model="numpy",
)


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
) -> float:
    """Replace all layers but the second by lines that are lowest at these activations.

    `activation` and `slope` have shape (1 + layers, r). The activations of deeper layers become
    what the lines make of those before; ``slope[0]`` gets what an activation of the second layer
    counts for. Returns the constant.
    """
    r = len(terms.gain)
    total = terms.constant
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
            for i in range(r):
                below[i] += push * weight[j, i]
    return total


@compiled
def orient(
    gain: Array, groups: int, least: Array, most: Array, sign: Array, base: Array, width: Array
) -> None:
    """What classes do to each neuron, in the direction in which it helps.

    A class adds ``sign * change - base``, 0 to `width`; `sign`, shape (r,), and `base` and
    `width`, shape (groups, r), are written.
    """
    for j in range(len(gain)):
        sign[j] = 1.0 if gain[j] > 0.0 else -1.0
    half = np.float32(0.5)
    for c in range(groups):
        under, over, lower, wide = least[c], most[c], base[c], width[c]
        for j in range(len(gain)):
            low, high, side = under[j], over[j], sign[j]
            wide[j] = high - low
            lower[j] = half * (side * (low + high) - (high - low))


@compiled
def second_lines(
    gain: Array,
    moves: Array,
    candidates: Array,
    group: Array,
    size: int,
    groups: int,
    sign: Array,
    base: Array,
    width: Array,
    low: Array,
    high: Array,
    share: Array,
    activation: Array,
    coefficient: Array,
) -> float:
    """Replace the neurons of the second layer by lines that are lowest at a fractional set.

    A neuron helps where the sum over classes of ``e_c``, 0 to ``width_c``, is at least `need`;
    for any classes S, ``sum_{c in S} e_c / (need - sum_{c not in S} width_c)`` is at least 1
    there, and never negative. Left out are the classes whose share of their width exceeds that
    quotient (docs/search.md).

    Parameters
    ----------
    gain, low, high : array, shape (r,)
        What each neuron's activation counts for, and the range of its surplus.
    moves : array, shape (k, r)
        Change of the surplus by each flip.
    candidates, group : array of int, shape (size,)
        The flips and their classes; of each class at most one flips.
    sign, base, width : array
        As in `orient`.
    share : array, shape (size,)
        The set: how far each candidate flips, 0 to 1.
    activation : array, shape (r,)
        Gets the lines' values at the set.
    coefficient : array, shape (size,)
        Gets the coefficients of the sum of all lines.

    Returns
    -------
    float
        The constant of that sum.
    """
    r = len(gain)
    e = np.zeros((groups, r), dtype=np.float32)
    whole, need = np.zeros(r, dtype=np.float32), np.ones(r, dtype=np.float32)
    for a in range(size):
        _add_scaled(e[group[a]], np.float32(share[a]), moves[candidates[a]])
    for c in range(groups):
        _turn(e[c], sign, base[c], width[c], whole)
    for j in range(r):
        if low[j] < 0.0 <= high[j]:
            need[j] = -low[j] if gain[j] > 0.0 else high[j] + 1.0
    limit = whole / need
    rest, left = np.empty(r, dtype=np.float32), np.empty(r, dtype=np.float32)
    for again in range(PASSES):
        if again > 0:
            limit[:] = rest / left
        rest[:], left[:] = whole, need
        for c in range(groups):
            _leave_out(e[c], width[c], limit, rest, left)
    factor = np.zeros(r, dtype=np.float32)
    total = _slopes(gain, low, high, whole, need, rest, left, activation, factor)
    part = np.empty((groups, r), dtype=np.float32)
    for c in range(groups):
        total -= _keep(e[c], width[c], limit, factor, base[c], sign, part[c])
    for a in range(size):
        coefficient[a] = _dot(moves[candidates[a]], part[group[a]])
    return total


@compiled
def _slopes(
    gain: Array,
    low: Array,
    high: Array,
    whole: Array,
    need: Array,
    rest: Array,
    left: Array,
    activation: Array,
    factor: Array,
) -> float:
    """Of each neuron's line: its value and its slope, in the direction that helps."""
    total = 0.0
    for j in range(len(gain)):
        g = gain[j]
        if low[j] >= 0.0 or high[j] < 0.0:
            activation[j] = 1.0 if low[j] >= 0.0 else 0.0
            total += g * activation[j]
        elif whole[j] >= need[j] or left[j] < 0.5:  # nothing is lower than the constant
            activation[j] = 1.0 if g > 0.0 else 0.0
            total += max(g, 0.0)
        else:
            lifted = float(rest[j]) / float(left[j])
            activation[j] = lifted if g > 0.0 else 1.0 - lifted
            total += min(g, 0.0)
            factor[j] = ROUNDED_UP * abs(g) / float(left[j])
    return total


@compiled
def _add_scaled(total: Array, share: Any, row: Array) -> None:
    for j in range(len(total)):
        total[j] += share * row[j]


@compiled
def _dot(left: Array, right: Array) -> float:
    total = 0.0
    for j in range(len(left)):
        total += float(left[j]) * float(right[j])
    return total


@compiled
def _turn(e: Array, sign: Array, base: Array, width: Array, whole: Array) -> None:
    """Turn what a class adds into what it helps, 0 to its width, and sum that."""
    zero = np.float32(0.0)
    for j in range(len(e)):
        here, wide = sign[j] * e[j] - base[j], width[j]
        here = here if here > zero else zero
        here = here if here < wide else wide
        e[j] = here
        whole[j] += here


@compiled
def _leave_out(e: Array, width: Array, limit: Array, rest: Array, left: Array) -> None:
    """Take a class out of the lines that are lower without it."""
    zero = np.float32(0.0)
    for j in range(len(e)):
        here, wide = e[j], width[j]
        leaves = here > limit[j] * wide
        less, narrower = here if leaves else zero, wide if leaves else zero
        rest[j] -= less
        left[j] -= narrower


@compiled
def _keep(
    e: Array, width: Array, limit: Array, factor: Array, base: Array, sign: Array, part: Array
) -> float:
    """Slopes of the lines that keep a class, with their sign; their sum at its base."""
    zero = np.float32(0.0)
    for j in range(len(e)):
        here, wide, slope = e[j], width[j], factor[j]
        part[j] = zero if here > limit[j] * wide else slope
    total = _dot(part, base)
    for j in range(len(e)):
        part[j] *= sign[j]
    return total


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


@compiled
def colour_bound(
    coefficient: Array,
    conflict: Array,
    count: int,
    order: Array,
    reach: Array,
    colour: Array,
    chosen: Array,
) -> int:
    """The most that a set without a conflicting pair adds, over growing sets of candidates.

    `order`, shape (k,), gets the candidates' places by ascending coefficient; ``reach[a]`` the
    bound over the first a + 1 of them; ``colour[a]`` the class of ``order[a]``, -1 where its
    coefficient is not positive; `chosen` the largest member of each class. Returns the number of
    classes.
    """
    for a in range(count):  # insertion sort: the lists are short
        b = a
        while b > 0 and coefficient[order[b - 1]] > coefficient[a]:
            order[b] = order[b - 1]
            b -= 1
        order[b] = a
    fits = np.empty(count, dtype=np.bool_)
    classes = 0
    total = 0.0
    for a in range(count):
        i = order[a]
        value = coefficient[i]
        colour[a] = -1
        if value > 0.0:
            fits[:classes] = True
            for b in range(a):
                if colour[b] >= 0 and not conflict[order[b], i]:
                    fits[colour[b]] = False
            best, best_value = -1, 0.0
            for c in range(classes):
                if fits[c] and coefficient[chosen[c]] > best_value:
                    best, best_value = c, coefficient[chosen[c]]
            if best < 0:
                best = classes
                classes += 1
            total += value - best_value
            chosen[best] = i
            colour[a] = best
        reach[a] = total
    return classes

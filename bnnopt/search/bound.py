r"""Upper bounds on the margin over all flip sets between F and F plus some candidates.

Compiled. Interval arithmetic first; then a *joint* bound: the indicator of each undecided neuron
is replaced by a line that lies above it where more of it helps, below it where less does. Above
``[y >= 0]`` on whole y in [lo, hi] lie the constant 1 and the line through (lo, 0) and (0, 1);
below it lie 0 and the line through (-1, 0) and (hi, 1); so does every mixture of the two. Going
backward through the layers, the margin is at most a linear function of the flips, ``constant +
sum of coefficient_i over the flips``, and its maximum over sets without a conflicting pair is at
most the sum over colour classes of their largest coefficient, where every two neurons of a class
conflict. The mixtures are improved by subgradient steps towards the threshold of pruning
(docs/search.md).
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
    "joint_bound",
    "margin_of",
    "mixture_step",
    "surplus_ranges",
]

Array = Any

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
    low: Array,
    high: Array,
) -> None:
    """Ranges of every layer's surplus; `low` and `high`, shape (1 + layers, r), are written.

    Candidates come class by class, `colour` growing; of each class at most one flips.
    """
    change, weight, needed = terms.change, terms.weight, terms.needed
    r = len(surplus)
    low[0], high[0] = surplus, surplus
    least, most = np.zeros(r), np.zeros(r)
    for a in range(count):
        row = change[candidates[a]]
        for j in range(r):
            least[j] = min(least[j], row[j])
            most[j] = max(most[j], row[j])
        if a + 1 == count or colour[a + 1] != colour[a]:
            for j in range(r):
                low[0, j] += least[j]
                high[0, j] += most[j]
                least[j] = most[j] = 0.0
    for at in range(len(weight)):
        for j in range(r):
            under = over = -needed[at, j]
            for i in range(r):
                w = weight[at, j, i]
                sure, possible = low[at, i] >= 0.0, high[at, i] >= 0.0
                if sure:
                    under += w
                    over += w
                elif possible:
                    under += min(w, 0.0)
                    over += max(w, 0.0)
            low[at + 1, j], high[at + 1, j] = under, over


@compiled
def joint_bound(
    terms: MarginTerms,
    surplus: Array,
    candidates: Array,
    count: int,
    low: Array,
    high: Array,
    mixture: Array,
    coefficient: Array,
    slope: Array,
) -> float:
    """The linear function above the margin: its constant; `coefficient` (k,) is written.

    `mixture`, shape (1 + layers, r), holds the share of the sloped line; `slope`, of the same
    shape, gets the coefficient of each undecided neuron's activation, for `mixture_step`.
    """
    r = len(surplus)
    change, weight, needed = terms.change, terms.weight, terms.needed
    layers = len(weight)
    total = terms.constant
    above = terms.gain.copy()
    for at in range(layers, -1, -1):
        below = np.zeros(r)
        for j in range(r):
            g = above[j]
            slope[at, j] = 0.0
            if g == 0.0 or high[at, j] < 0.0:
                continue
            if low[at, j] >= 0.0:
                total += g
                continue
            slope[at, j] = g
            share = mixture[at, j]
            if g > 0.0:
                tilt = share / -low[at, j]
                total += g * (1.0 - share) - g * tilt * low[at, j]
            else:
                tilt = share / (high[at, j] + 1.0)
                total += g * tilt
            push = g * tilt
            if at > 0:
                total -= push * needed[at - 1, j]
                for i in range(r):
                    below[i] += push * weight[at - 1, j, i]
            else:
                total += push * surplus[j]
                below[j] = push
        above = below
    for a in range(count):
        i = candidates[a]
        value = 0.0
        for j in range(r):
            value += change[i, j] * above[j]
        coefficient[a] = value
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


@compiled
def _relaxed(y: float, low: float, high: float, gain: float, share: float) -> tuple[float, float]:
    """The mixture of lines at a surplus y, and the bound's derivative by `share`, 0 at its end."""
    if gain > 0.0:
        lifted = (y - low) / -low
        value, derivative = 1.0 - share + share * lifted, gain * (lifted - 1.0)
    else:
        lifted = (y + 1.0) / (high + 1.0)
        value, derivative = share * lifted, gain * lifted
    if (derivative > 0.0 and share <= 0.0) or (derivative < 0.0 and share >= 1.0):
        derivative = 0.0
    return value, derivative


@compiled
def mixture_step(
    terms: MarginTerms,
    surplus: Array,
    candidates: Array,
    chosen: Array,
    classes: int,
    low: Array,
    high: Array,
    mixture: Array,
    slope: Array,
    excess: float,
) -> bool:
    """One Polyak step on the mixtures, aimed at lowering the bound by `excess`; False if none."""
    change, weight, needed = terms.change, terms.weight, terms.needed
    r = len(surplus)
    layers = len(weight)
    y = surplus.copy()
    for c in range(classes):
        row = change[candidates[chosen[c]]]
        for j in range(r):
            y[j] += row[j]
    norm = 0.0
    for at in range(layers + 1):
        on = np.zeros(r)
        for j in range(r):
            if low[at, j] >= 0.0:
                on[j] = 1.0
            elif high[at, j] >= 0.0:
                on[j], slope[at, j] = _relaxed(
                    y[j], low[at, j], high[at, j], slope[at, j], mixture[at, j]
                )
                norm += slope[at, j] ** 2
        if at < layers:
            y = weight[at] @ on - needed[at]
    if norm < 1e-12:
        return False
    length = excess / norm
    for at in range(layers + 1):
        for j in range(r):
            if low[at, j] < 0.0 and high[at, j] >= 0.0:
                mixture[at, j] = min(max(mixture[at, j] - length * slope[at, j], 0.0), 1.0)
    return True

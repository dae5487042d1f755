r"""Tabu search over flip sets: add a flip, drop one, or exchange two.

Compiled. A move must pass the sum test of `bnnopt.search.tree`; a set better than the best is
settled before it counts. Margins tie in steps, so moves are ranked by the margin plus a share of
a *potential*: how far second-layer neurons are from their thresholds, weighted by what they are
worth in a linear relaxation. After a while without a better set the walk restarts from the best
one with part of its flips dropped, or from a few random flips.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.bound import deeper_lines, margin_of, surplus_ranges
from bnnopt.search.compiled import compiled
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.reach import REACHED, settle_pattern

__all__ = ["Walk", "new_walk", "walk"]

Array = Any

MARGIN = 1e-6
SLACK, ENOUGH = 0.5, 0.05
TENURE = 6
"""Moves for which a neuron that moved stays; up to twice as many at random."""

PATIENCE = 60
"""Moves without a better set before a restart."""

NEAR = 3.0
"""Surpluses further from the threshold than this have no potential to gain."""


class Walk(NamedTuple):
    """A flip set on the move.

    Parameters
    ----------
    flipped, best : array of bool, shape (k,)
        The present set, and the best one that was settled.
    falls : array of float64, shape (m,)
    surplus : array of float64, shape (r,)
    value : array of float64, shape (3,)
        Margin of the best set, of the best since the restart, and the present demand.
    until : array of int64, shape (k,)
        The move at which a neuron may move again.
    clock : array of int64, shape (3,)
        Moves in all, moves since something improved, state of the generator.
    worth : array of float64, shape (r,)
        Of each second-layer neuron, for the potential.
    u : array of float64, shape (m,)
        A point of the best set, in units of the radius.
    """

    flipped: Array
    best: Array
    falls: Array
    surplus: Array
    value: Array
    until: Array
    clock: Array
    worth: Array
    u: Array


def new_walk(region: Region, terms: MarginTerms, seed: int, floor: float) -> Walk:
    """A walk from the empty set that looks for margins above `floor`."""
    (k, m), r = region.weight.shape, len(terms.surplus)
    shape = (len(terms.weight) + 1, r)
    low, high = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    least, most = np.zeros((k, r), dtype=np.float32), np.zeros((k, r), dtype=np.float32)
    slope = np.zeros(shape)
    places = np.arange(k)
    surplus_ranges(terms, terms.surplus, places, places, k, k, least, most, low, high)
    deeper_lines(terms, low, high, np.full(shape, 0.5), slope)
    slope[0, (low[0] >= 0.0) | (high[0] < 0.0)] = 0.0
    return Walk(
        flipped=np.zeros(k, dtype=np.bool_),
        best=np.zeros(k, dtype=np.bool_),
        falls=np.zeros(m),
        surplus=terms.surplus.copy(),
        value=np.array([floor, -np.inf, 0.0]),
        until=np.zeros(k, dtype=np.int64),
        clock=np.array([0, 0, seed + 1]),
        worth=slope[0],
        u=np.zeros(m),
    )


@compiled
def _random(walk: Walk, bound: int) -> int:
    """A whole number below `bound`, by a 31-bit linear congruential generator."""
    walk.clock[2] = (walk.clock[2] * 1103515245 + 12345) % 2147483648
    return int((walk.clock[2] >> 8) % bound)


@compiled
def _potential(walk: Walk, surplus: Array) -> float:
    total = 0.0
    for j in range(len(surplus)):
        total += walk.worth[j] * min(max(surplus[j] + 0.5, -NEAR), NEAR)
    return total / (2.0 * NEAR)


@compiled
def _toggle(region: Region, terms: MarginTerms, walk: Walk, j: int) -> None:
    sign = -1.0 if walk.flipped[j] else 1.0
    walk.flipped[j] = not walk.flipped[j]
    for i in range(len(walk.falls)):
        walk.falls[i] += sign * region.weight[j, i]
    for i in range(len(walk.surplus)):
        walk.surplus[i] += sign * terms.change[j, i]
    walk.value[2] += sign * region.demand[j]


@compiled
def _fits(region: Region, walk: Walk, out: int, into: int) -> bool:
    """Whether the sum test lets `into` join when `out` (-1: none) leaves."""
    reach = 0.0
    demand = walk.value[2] + region.demand[into]
    if out >= 0:
        demand -= region.demand[out]
        for i in range(len(walk.falls)):
            s = walk.falls[i] + region.weight[into, i] - region.weight[out, i]
            reach += region.radius[i] * abs(s)
    else:
        for i in range(len(walk.falls)):
            reach += region.radius[i] * abs(walk.falls[i] + region.weight[into, i])
    return bool(reach >= demand - MARGIN)


@compiled
def _settled(region: Region, walk: Walk, margin: float) -> bool:
    """Take the present set as the best one if a point has it."""
    u = -np.sign(walk.falls)
    multipliers = np.zeros(len(walk.flipped))
    if settle_pattern(region, walk.flipped, SLACK, ENOUGH, u, multipliers) != REACHED:
        return False
    walk.value[0] = margin
    walk.best[:] = walk.flipped
    walk.u[:] = u
    return True


@compiled
def _restart(region: Region, terms: MarginTerms, walk: Walk) -> None:
    """From the best set less a random half of its flips, or from a few random flips."""
    k = len(walk.flipped)
    keep = _random(walk, 2) > 0
    for j in range(k):
        wanted = keep and walk.best[j] and _random(walk, 2) == 0
        if walk.flipped[j] != wanted:
            _toggle(region, terms, walk, j)
        walk.until[j] = 0
    if not keep:
        for _ in range(1 + _random(walk, 5)):
            j = _random(walk, k)
            if not walk.flipped[j] and _fits(region, walk, -1, j):
                _toggle(region, terms, walk, j)
    walk.value[1] = -np.inf
    walk.clock[1] = 0


@compiled
def _best_move(region: Region, terms: MarginTerms, walk: Walk) -> tuple[int, int]:
    """The move of the highest score, as (out, into), -1 for none."""
    k, r = len(walk.flipped), len(walk.surplus)
    now = walk.clock[0]
    top, out, into = -np.inf, -1, -1
    without, trial = np.empty(r, dtype=np.float32), np.empty(r, dtype=np.float32)
    for f in range(-1, k):
        if f >= 0 and (not walk.flipped[f] or walk.until[f] > now):
            continue
        without[:] = walk.surplus
        if f >= 0:
            without -= terms.change[f]
        for c in range(-1, k):
            if (f < 0 and c < 0) or (c >= 0 and (walk.flipped[c] or walk.until[c] > now)):
                continue
            trial[:] = without
            if c >= 0:
                trial += terms.change[c]
            score = margin_of(terms, trial) + _potential(walk, trial)
            if score > top and (c < 0 or _fits(region, walk, f, c)):
                top, out, into = score, f, c
    return out, into


@compiled
def walk(region: Region, terms: MarginTerms, walk: Walk, moves: int) -> bool:
    """Make some moves; stop early, and return True, at a better set that has a point."""
    for _ in range(moves):
        walk.clock[0] += 1
        walk.clock[1] += 1
        if walk.clock[1] > PATIENCE:
            _restart(region, terms, walk)
        out, into = _best_move(region, terms, walk)
        if out < 0 and into < 0:
            walk.clock[1] = PATIENCE
            continue
        until = walk.clock[0] + TENURE + _random(walk, TENURE)
        if out >= 0:
            _toggle(region, terms, walk, out)
            walk.until[out] = until
        if into >= 0:
            _toggle(region, terms, walk, into)
            walk.until[into] = until
        margin = margin_of(terms, walk.surplus)
        if margin > walk.value[0] + 1e-9:
            if _settled(region, walk, margin):
                walk.clock[1] = 0
                walk.value[1] = margin
                return True
            # Out again, and back in only after a while.
            if into >= 0:
                _toggle(region, terms, walk, into)
        elif margin > walk.value[1] + 1e-9:
            walk.value[1] = margin
            walk.clock[1] = 0
    return False

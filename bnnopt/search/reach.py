r"""Whether a point of the box has a pattern of flips: a point, a certificate, or neither.

Compiled. Rows ``a_j @ u >= b_j`` over u in [-1, 1]^m state the pattern, where
``z = centre + radius * u``. Accelerated projected gradient (FISTA with restarts) lowers the
squared violation

    1/2 sum_j max(0, b_j + slack - a_j @ u)^2.

Its rows are nearly orthogonal, so a few dozen iterations do. If a point exists, one with some
slack is found; if not, the violations at the minimum are the multipliers of a certificate:
``sum_i |sum_j l_j a_ji| < sum_j l_j b_j``. What stays open is left to a linear program.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.problem import BINARY, Region
from bnnopt.search.rows import add_row, copy_row, product, zeros
from bnnopt.tolerances import CERTAIN_LEVELS

__all__ = ["OPEN", "REACHED", "REFUTED", "decide_pattern"]

Array = Any

OPEN, REACHED, REFUTED = 0, 1, 2
ITERATIONS, CHECK_EVERY = 400, 8


@compiled
def _violations(
    region: Region, flipped: Array, slack: float, u: Array, gradient: Array, multipliers: Array
) -> tuple[float, float]:
    """The least slack at u, and the largest violation; writes the violations and their pull."""
    weight, radius, is_dense = region.weight, region.radius, region.entries == BINARY
    demand, stay_demand = region.demand, region.stay_demand
    gradient[:] = 0.0
    moved = np.empty(len(u))
    for i in range(len(u)):
        moved[i] = radius[i] * u[i]
    least, largest = np.inf, 0.0
    for j in range(len(weight)):
        side = -1.0 if flipped[j] else 1.0
        need = demand[j] if flipped[j] else -stay_demand[j]
        row, places = weight[j], region.column[region.first[j] : region.first[j + 1]]
        activity = side * (product(row, moved) if is_dense else _at_places(row, moved, places))
        least = min(least, activity - need)
        violated = max(need + slack - activity, 0.0)
        multipliers[j] = violated
        largest = max(largest, violated)
        if violated > 0.0 and is_dense:
            add_row(gradient, row, side * violated)
        elif violated > 0.0:
            for i in places:
                gradient[i] += side * violated * row[i]
    return least, largest


@compiled
def _at_places(row: Array, moved: Array, places: Array) -> float:
    total = 0.0
    for i in places:
        total += row[i] * moved[i]
    return total


@compiled
def decide_pattern(
    region: Region,
    flipped: Array,
    slack: float,
    enough: float,
    u: Array,
    multipliers: Array,
) -> int:
    """Decide a pattern.

    Parameters
    ----------
    region : Region
    flipped : array of bool, shape (k,)
    slack, enough : float
        Levels aimed at, and levels that suffice.
    u : array, shape (m,)
        Becomes the point.
    multipliers : array, shape (k,)
        Becomes the certificate.
    """
    radius, demand, stay_demand = region.radius, region.demand, region.stay_demand
    curvature, m = region.curvature, len(region.radius)
    ahead, before, gradient = zeros(m), zeros(m), zeros(m)
    momentum = 1.0
    for iteration in range(ITERATIONS):
        least, largest = _violations(region, flipped, slack, ahead, gradient, multipliers)
        if least >= enough:
            copy_row(ahead, u)
            return REACHED
        if iteration % CHECK_EVERY == CHECK_EVERY - 1:
            pull, need, total = 0.0, 0.0, 0.0
            for i in range(m):
                pull += radius[i] * abs(gradient[i])
            for j in range(len(multipliers)):
                total += multipliers[j]
                need += multipliers[j] * (demand[j] if flipped[j] else -stay_demand[j])
            # As if the largest multiplier were 1.
            if pull < need - max(CERTAIN_LEVELS * largest, total * region.rounding):
                return REFUTED
        uphill = 0.0
        following = (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum)) / 2.0
        for i in range(m):
            new = min(max(ahead[i] + radius[i] * gradient[i] / curvature, -1.0), 1.0)
            uphill += (ahead[i] - new) * (new - before[i])
            u[i] = new
        if uphill > 0.0:
            following = 1.0
            momentum = 1.0
        share = (momentum - 1.0) / following
        for i in range(m):
            ahead[i] = min(max(u[i] + share * (u[i] - before[i]), -1.0), 1.0)
            before[i] = u[i]
        momentum = following
    return OPEN

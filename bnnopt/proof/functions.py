"""Functions above the margin for a proof: slopes and curves that keep few sets alive.

Compiled. As in `bnnopt.search.quadratic`, each neuron is replaced by the line or parabola whose
mean over some sets is lowest, those sets are moved to where the functions so far are large, and the
functions are averaged. Any slopes and curves do for the checker, which derives their constants; so
what is found here in floating point is rounded to whole numbers (`stated`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.proof.statement import Problem
from bnnopt.search.bound import cardinality_colours
from bnnopt.search.compiled import compiled

__all__ = ["conflict_classes", "fit", "join", "matrix_of", "ordered", "ranges_of", "stated"]

Array = Any

STEPS, PROGRESS = 12, 0.8
"""Functions that are averaged, at most; and the share of flips that may be left for another."""

LIMIT, ALL = 1000, 30_000
"""Sets seen before a search for one gives up, and before those of all flips do together."""

LARGE = 2**60
"""More than any function; less than none of a pair that conflicts."""


@compiled
def matrix_of(problem: Problem, layer: int) -> Array:
    """The weights of a further layer, shape (its neurons, those before)."""
    start, block = problem.start, problem.block
    rows, columns = start[layer + 1] - start[layer], start[layer] - start[layer - 1]
    return problem.weight[block[layer - 1] : block[layer]].reshape((rows, columns))


@compiled
def conflict_classes(apart: Array, kept: Array, classes: Array) -> int:
    """Put each open flip into the first class all of whose members exclude it; their number."""
    count = len(kept)
    conflict = np.empty((count, count), dtype=np.bool_)
    for a in range(count):
        for b in range(a):
            conflict[a, b] = apart[kept[a], kept[b]]
    return cardinality_colours(conflict, count, classes)


@compiled
def ranges_of(
    problem: Problem, surplus: Array, apart: Array, kept: Array, classes: Array
) -> tuple[Array, Array]:
    """The least and the largest surplus of every layer, where some of the kept flips are made."""
    count, r = conflict_classes(apart, kept, classes), len(surplus)
    low, high = np.zeros(problem.start[-1]), np.zeros(problem.start[-1])
    least, most = np.zeros((count, r)), np.zeros((count, r))
    for a in range(len(kept)):
        for j in range(r):
            move = float(problem.change[kept[a], j])
            least[classes[a], j] = min(least[classes[a], j], move)
            most[classes[a], j] = max(most[classes[a], j], move)
    for j in range(r):
        low[j] = high[j] = surplus[j]
        for c in range(count):
            low[j] += least[c, j]
            high[j] += most[c, j]
    for layer in range(1, len(problem.block)):
        before, first, weight = (
            problem.start[layer - 1],
            problem.start[layer],
            matrix_of(problem, layer),
        )
        for j in range(weight.shape[0]):
            under = over = float(problem.base[first + j])
            for i in range(weight.shape[1]):
                w = float(weight[j, i])
                if low[before + i] >= 0.0:
                    under += w
                    over += w
                elif high[before + i] >= 0.0:
                    under += min(w, 0.0)
                    over += max(w, 0.0)
            low[first + j], high[first + j] = under, over
    return low, high


@compiled
def deeper_lines(
    problem: Problem, low: Array, high: Array, mean: Array, slope: Array, gain: Array
) -> None:
    """Lines for the deeper layers, lowest where neurons are on as often as `mean` says.

    ``slope`` gets theirs, ``gain`` what the second layer's activations count for; ``mean`` becomes
    what the lines make of the layers before.
    """
    last = len(problem.block) - 1
    push = problem.gain.astype(np.float64)
    for layer in range(1, last + 1):
        before, first = problem.start[layer - 1], problem.start[layer]
        weight = matrix_of(problem, layer)
        for j in range(weight.shape[0]):
            total = float(problem.base[first + j])
            for i in range(weight.shape[1]):
                total += weight[j, i] * mean[before + i]
            slope[first + j] = total  # for now
            under, over = low[first + j], high[first + j]
            if under >= 0.0 or over < 0.0:
                mean[first + j] = 1.0 if under >= 0.0 else 0.0
            else:  # a guess of what the line will say, refined as functions are averaged
                mean[first + j] = min(max((total - under) / (over - under), 0.0), 1.0)
    for layer in range(last, 0, -1):
        before, first = problem.start[layer - 1], problem.start[layer]
        weight = matrix_of(problem, layer)
        for j in range(len(push)):
            g, under, over, y = push[j], low[first + j], high[first + j], slope[first + j]
            line = 0.0
            if under < 0.0 <= over and g > 0.0 and y < 0.0:
                line = g / -under
            elif under < 0.0 <= over and g < 0.0 and y > -1.0:
                line = g / (over + 1.0)
            slope[first + j] = line
        below = np.zeros(weight.shape[1])
        for j in range(len(push)):
            for i in range(len(below)):
                below[i] += slope[first + j] * weight[j, i]
        push = below
    gain[:] = push


@compiled
def second_curves(
    gain: Array, low: Array, high: Array, mean: Array, square: Array, slope: Array, curve: Array
) -> None:
    """Of the second layer's neurons, each by the lowest mean; see `bnnopt.search.bound`."""
    for j in range(len(gain)):
        g, helps = abs(gain[j]), gain[j] > 0.0
        least = low[j] if helps else -1.0 - high[j]
        most = high[j] if helps else -1.0 - low[j]
        x = mean[j] if helps else -1.0 - mean[j]
        x_square = max(square[j] if helps else square[j] + 2.0 * mean[j] + 1.0, x * x)
        height, line, bend = 1.0, 0.0, 0.0
        if least < 0.0 <= most and x < 0.0:
            height, line = 1.0 + x / -least, 1.0 / -least
            if least <= -2.0:
                root = np.sqrt(max(x_square * x_square - x * x, 0.0))
                t = min(max(np.floor((x_square + root) / (-2.0 * x) + 1.0), 2.0), -least)
                parabola = 1.0 / (t * (t - 1.0))
                lifted = 1.0 + parabola * ((2.0 * t - 1.0) * x + x_square)
                if lifted < height:
                    height, line, bend = lifted, parabola * (2.0 * t - 1.0), parabola
            if height >= 1.0:
                line = bend = 0.0
        curve[j] = g * bend
        slope[j] = g * line if helps else g * (2.0 * bend - line)


@compiled
def raised(steps: int, bits: int) -> int:
    """Times 2^bits, rounded up."""
    return steps << bits if bits >= 0 else -(-steps >> -bits)


@compiled
def stated(
    problem: Problem,
    surplus: Array,
    low: Array,
    high: Array,
    bits: int,
    coefficients: Array,
    kept: Array,
) -> tuple[int, Array, Array]:
    """A function in the flips: its value, what each adds, and each pair; all whole and exact.

    Parameters
    ----------
    bits : int
        A step of the margin counts 2^bits.
    coefficients : array of int64, shape (neurons + r,)
        Slopes of the second layer and of each further one, then curves.
    """
    r, neurons = len(surplus), problem.start[-1]
    value, gain = raised(problem.constant, bits), np.empty_like(problem.gain)
    for j in range(len(gain)):
        gain[j] = raised(problem.gain[j], bits)
    for layer in range(len(problem.block) - 1, 0, -1):
        first, weight = problem.start[layer], matrix_of(problem, layer)
        below = np.zeros(weight.shape[1], dtype=np.int64)
        for j in range(len(gain)):
            s, least, most = coefficients[first + j], int(low[first + j]), int(high[first + j])
            largest = -LARGE
            for y in (least, -1, 0, most):
                if least <= y <= most:
                    largest = max(largest, (gain[j] if y >= 0 else 0) - s * y)
            value += largest + s * problem.base[first + j]
            for i in range(len(below)):
                below[i] += s * weight[j, i]
        gain = below
    for j in range(r):
        a, b, largest = coefficients[j], coefficients[neurons + j], -LARGE
        for x in range(int(low[j]), int(high[j]) + 1):
            largest = max(largest, (gain[j] if x >= 0 else 0) - (a + b * x) * x)
        value += largest + (a + b * surplus[j]) * surplus[j]
    single = np.zeros(len(kept), dtype=np.int64)
    moves, bent = np.empty((len(kept), r)), np.empty((len(kept), r))
    for i in range(len(kept)):
        for j in range(r):
            move, b = problem.change[kept[i], j], coefficients[neurons + j]
            single[i] += move * (coefficients[j] + b * (2 * surplus[j] + move))
            moves[i, j], bent[i, j] = move, 2 * b * move
    pair = np.dot(bent, moves.T)  # whole numbers below 2^53
    return value, single, pair.astype(np.int64)


@compiled
def ordered(single: Array, pair: Array, apart: Array) -> tuple[Array, Array, Array, Array]:
    """Sort flips by use: their order, and by it what they add, their pairs and their gains.

    A pair that excludes each other counts `-LARGE`; arrays are of whole numbers.
    """
    n = len(single)
    use = np.empty(n, dtype=np.int64)
    for a in range(n):
        use[a] = 2 * single[a]
        for b in range(n):
            if a != b and not apart[a, b]:
                use[a] += max(pair[a, b], 0)
    order = np.argsort(use, kind="mergesort")
    alone, pairs, gains = (
        np.empty(n, dtype=np.int64),
        np.zeros((n, n), dtype=np.int64),
        np.zeros(n, dtype=np.int64),
    )
    for a in range(n):
        i = order[a]
        alone[a] = single[i]
        for b in range(a):
            excluded = apart[i, order[b]]
            pairs[a, b] = -LARGE if excluded else pair[i, order[b]]
            gains[a] += 0 if excluded else max(pair[i, order[b]], 0)
    return order, alone, pairs, gains


@compiled
def find_set(
    value: int,
    last: int,
    wanted: int,
    limit: int,
    alone: Array,
    pairs: Array,
    gains: Array,
    path: Array,
    adds: Array,
    reach: Array,
) -> int:
    """Find a set that the function allows, by its last member; see `bnnopt.search.sets`."""
    n = len(alone)
    values, places = np.empty(n + 2, dtype=np.int64), np.empty(n + 2, dtype=np.int64)
    path[0], values[1], places[1] = last, value + alone[last], last - 1
    if values[1] >= wanted:
        return 1
    for b in range(last):
        adds[1, b] = -LARGE if pairs[last, b] == -LARGE else alone[b] + pairs[last, b]
    _reach(last, adds[1], gains, reach[1])
    depth, seen = 1, 0
    while depth >= 1:
        at = places[depth]
        if at < 0 or values[depth] + reach[depth, at] < wanted:
            depth -= 1
            continue
        places[depth] -= 1
        if adds[depth, at] == -LARGE:
            continue
        path[depth] = at
        new = values[depth] + adds[depth, at]
        if new >= wanted:
            return depth + 1
        seen += 1
        if seen == limit:
            return -1
        join(adds, depth, pairs, gains, at)
        _reach(at, adds[depth + 1], gains, reach[depth + 1])
        depth += 1
        values[depth], places[depth] = new, at - 1
    return 0


@compiled
def join(adds: Array, depth: int, pairs: Array, gains: Array, at: int) -> int:
    """Write what the flips before one add beside it; what together at most."""
    reach = 0
    for b in range(at):  # rows are not taken out of tables: that costs more than these sums
        excluded = adds[depth, b] == -LARGE or pairs[at, b] == -LARGE
        added = -LARGE if excluded else adds[depth, b] + pairs[at, b]
        adds[depth + 1, b] = added
        reach += 0 if excluded else max(added + gains[b], 0)
    return reach


@compiled
def _reach(count: int, adds: Array, gains: Array, reach: Array) -> None:
    total = 0
    for b in range(count):
        if adds[b] != -LARGE:
            total += max(adds[b] + gains[b], 0)
        reach[b] = total


@compiled
def _spread(
    problem: Problem, surplus: Array, kept: Array, classes: Array, mean: Array, square: Array
) -> None:
    """Moments where classes flip independently, and their members are equally likely."""
    count, r = 0, len(surplus)
    for a in range(len(kept)):
        count = max(count, classes[a] + 1)
    size, part = np.ones(count), np.zeros((count, r))
    for a in range(len(kept)):
        size[classes[a]] += 1.0
    square[:] = 0.0
    for a in range(len(kept)):
        share = 1.0 / size[classes[a]]
        for j in range(r):
            move = problem.change[kept[a], j]
            part[classes[a], j] += share * move
            square[j] += share * move * move
    for j in range(r):
        mean[j] = surplus[j]
        for c in range(count):
            mean[j] += part[c, j]
            square[j] -= part[c, j] ** 2
        square[j] += mean[j] ** 2


@compiled
def fit(problem: Problem, surplus: Array, apart: Array, kept: Array, goal: int, bits: int) -> Array:
    """Slopes and curves of a function of whose sets few are wanted.

    Parameters
    ----------
    problem : Problem
    surplus : array of int64, shape (r,)
        Of the second layer, at the node's own flips.
    apart : array of bool, shape (k, k)
    kept : array of int64, shape (n,)
        The open flips, ascending.
    goal : int
        From which on the function allows a set that is wanted.
    bits : int

    Returns
    -------
    array of int64, shape (neurons + r,)
        As `stated` takes them.
    """
    n, r, neurons, scale = len(kept), len(surplus), problem.start[-1], 2.0**bits
    classes = np.zeros(n, dtype=np.int64)
    low, high = ranges_of(problem, surplus, apart, kept, classes)
    mean, square, active = np.empty(r), np.empty(r), np.empty(neurons)
    _spread(problem, surplus, kept, classes, mean, square)
    found, new = np.zeros(neurons + r), np.zeros(neurons + r)
    whole, gain = np.zeros(neurons + r, dtype=np.int64), np.zeros(r)
    inside = apart[kept][:, kept]
    path, adds, reach = (
        np.empty(n + 1, np.int64),
        np.empty((n + 2, n + 1), np.int64),
        np.empty((n + 2, n + 1), np.int64),
    )
    on, before = np.full(r, 0.5), n
    for step in range(STEPS):
        active[:r] = on
        deeper_lines(problem, low, high, active, new, gain)
        second_curves(gain, low, high, mean, square, new[:r], new[neurons:])
        found += 3.0 / (step + 3.0) * (new - found)
        for j in range(neurons + r):
            whole[j] = int(np.round(found[j] * scale))
        value, single, pair = stated(problem, surplus, low, high, bits, whole, kept)
        order, alone, pairs, gains = ordered(single, pair, inside)
        _reach(n, alone, gains, reach[0])
        alive = sets = 0
        seen, seen_square, seen_on = np.zeros(r), np.zeros(r), np.zeros(r)
        for last in range(n - 1, -1, -1):
            if value + reach[0, last] < goal:
                break
            members = find_set(
                value, last, goal, min(LIMIT, ALL // n), alone, pairs, gains, path, adds, reach
            )
            alive += members != 0
            if members > 0:
                sets += 1
                for j in range(r):
                    y = surplus[j]
                    for b in range(members):
                        y += problem.change[kept[order[path[b]]], j]
                    seen[j] += y
                    seen_square[j] += y * y
                    seen_on[j] += y >= 0
        if sets > 0:
            share = 1.0 / (step + 3.0)
            mean += share * (seen / sets - mean)
            square += share * (seen_square / sets - square)
            on += share * (seen_on / sets - on)
        if alive == 0 or (step >= 2 and alive > PROGRESS * before):
            break
        before = alive
    return whole

r"""Which unstable first-layer neurons can flip together: closed-form conflicts.

A neuron *flips* where its sign differs from the one at the centre c of the box. Let r be the
box's radii, R their sum, v_j the neuron's weights with the sign that makes its pre-activation
fall when it flips, and d_j its *demand*: how far the pre-activation must fall from c. A set S
of neurons can flip together only if some z has ``v_j @ (z - c) <= -d_j`` for all j in S, hence
only if ``sum_i r_i |sum_{j in S} v_ji| >= sum_{j in S} d_j``. A set that violates this is a
*conflict*: no point of the box flips all of it (docs/mathematics.md, "Flips and conflicts").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array, issparse

from bnnopt.bounds import interval_bounds
from bnnopt.instance import AttackInstance
from bnnopt.tolerances import certain_levels

__all__ = [
    "Flips",
    "first_layer_flips",
    "flip_limits",
    "flip_origin",
    "logits_of_pattern",
    "pair_conflicts",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAX_QUADRUPLE_NEURONS = 64
"""Conflicts of four are sought among the neurons hardest to flip; the cost grows as k**4."""

MAX_PAIRED_NEURONS = 4096
"""Of more neurons than these no conflicts are sought; their tables would take gigabytes."""

MAX_ROWS = 60
"""Most rows that limit the flips of a set to three."""


@dataclass(frozen=True, eq=False)
class Flips:
    """The unstable neurons of the first layer.

    Parameters
    ----------
    neurons : array of int64, shape (k,)
    signs : array of int8, shape (k,)
        At `flip_origin`.
    weight : array of float64, or csr_array, shape (k, n)
        v above: ``signs`` times the layer's weights; an array where those are ±1 throughout.
    demand : array of float64, shape (k,)
        d above, in levels; at least 0 where the origin is the centre.
    stay_demand : array of float64, shape (k,)
        How far the pre-activation may fall at most where a neuron does not flip.
    radius : array of float64, shape (n,)
        Of the box, in levels.
    """

    neurons: IntArray
    signs: npt.NDArray[np.int8]
    weight: FloatArray | csr_array
    demand: FloatArray
    stay_demand: FloatArray
    radius: FloatArray

    def reach(self, sets: IntArray) -> FloatArray:
        """The most that each set's pre-activations can fall in sum: (count, size) to (count,)."""
        count, size = sets.shape
        ends = np.arange(0, count * size + 1, size)
        chosen = csr_array((np.ones(sets.size), sets.ravel(), ends), (count, len(self.demand)))
        falls: Any = chosen @ self.weight
        return np.asarray(abs(falls) @ self.radius)

    def are_conflicts(self, sets: IntArray) -> BoolArray:
        """Which of the sets, shape (count, size), certainly cannot flip together."""
        certain = self._certainty(sets.shape[1])
        conflicts: BoolArray = self.reach(sets) < self.demand[sets].sum(axis=1) - certain
        return conflicts

    def _certainty(self, size: float) -> float:
        """Levels by which a sum with multipliers of this total must fail to be a conflict."""
        return certain_levels(2.0 * size * self.largest_reach)

    @cached_property
    def largest_reach(self) -> float:
        """At least how far any pre-activation can fall, in levels."""
        size: Any = abs(self.weight)
        largest = float(size.max()) if self.weight.size else 1.0
        return max(largest, 1.0) * float(self.radius.sum())

    def refutes(self, flipped: BoolArray, multipliers: FloatArray) -> bool:
        """Whether non-negative multipliers, shape (k,), prove that a pattern has no point.

        The rows ``v_j @ (z - c) <= -demand_j`` of flipped neurons and
        ``-v_j @ (z - c) <= stay_demand_j`` of the others, combined, must need more than the box
        has (Farkas' lemma).
        """
        largest = multipliers.max(initial=0.0)
        if largest <= 0.0:
            return False
        weights = np.where(multipliers > 1e-9 * largest, multipliers / largest, 0.0)
        needed = weights @ np.where(flipped, self.demand, -self.stay_demand)
        signed = np.where(flipped, weights, -weights)
        certain = self._certainty(float(weights.sum()))
        return bool(np.abs(signed @ self.weight) @ self.radius < needed - certain)


def flip_origin(instance: AttackInstance) -> FloatArray:
    """The levels, shape (n,), where nothing has flipped.

    The centre of the box; with an L1 budget the image, which the budget keeps points near.
    """
    low, high = instance.box
    return instance.levels if instance.max_l1 is not None else (low + high) / 2.0


def first_layer_flips(instance: AttackInstance) -> Flips:
    """Collect the unstable neurons of an instance."""
    layer = instance.network.hidden[0]
    neurons = interval_bounds(instance)[0].unstable
    low, high = instance.box
    centre, radius = (low + high) / 2.0, (high - low) / 2.0
    dense = layer.weight if isinstance(layer.weight, np.ndarray) else None
    weight = layer.rows(neurons) if dense is None else dense[neurons].astype(np.float64)
    origin = weight @ flip_origin(instance) - layer.threshold[neurons]
    signs = np.where(origin >= 0, 1, -1).astype(np.int8)
    slack = weight @ centre - layer.threshold[neurons]
    # In the pixel domain, off means a sum of at most threshold - 1.
    step = 1.0 if instance.domain == "pixels" else 0.0
    demand = np.where(signs > 0, slack + step, -slack)
    return Flips(neurons, signs, _scaled_rows(signs, weight), demand, demand - step, radius)


def _scaled_rows(factors: npt.NDArray[np.int8], rows: FloatArray | csr_array) -> Any:
    if issparse(rows):
        return csr_array(diags_array(factors.astype(np.float64)) @ rows)
    return factors[:, None] * rows


def logits_of_pattern(
    instance: AttackInstance, neurons: IntArray, signs: npt.NDArray[np.int8]
) -> FloatArray:
    """The logits of every point with these signs, shape (C,).

    Parameters
    ----------
    instance : AttackInstance
    neurons : array of int64, shape (k,)
        The unstable neurons of the first layer.
    signs : array of int8, shape (k,)
        Theirs, +1 or -1.
    """
    values = np.where(interval_bounds(instance)[0].sign > 0, 1.0, -1.0)[None]
    values[0, neurons] = signs
    for layer in instance.network.hidden[1:]:
        values = layer(values)
    logits: FloatArray = instance.network.output(values)[0]
    return logits


def flip_limits(
    flips: Flips, *, quadruples: bool = True, check: Callable[[], None] = lambda: None
) -> list[tuple[list[int], int]]:
    """Sets of neurons, each with the most of it that can flip together.

    Parameters
    ----------
    flips : Flips
    quadruples : bool
        Whether to look for conflicts of four, which takes longer; only where weights are ±1.
    check : callable
        Called before each set is sought; what it raises ends the search.

    Returns
    -------
    list of (list of int, int)
        Positions in `Flips.neurons`, and 1 or 3. The sets with 1 cover every conflicting pair;
        those with 3 cover the conflicts of four without such a pair, up to a number of rows.
    """
    if len(flips.neurons) > MAX_PAIRED_NEURONS:
        return []
    pairs = pair_conflicts(flips)
    limits = [(members, 1) for members in _clique_cover(pairs, check)]
    if quadruples and isinstance(flips.weight, np.ndarray):
        limits += [(members, 3) for members in _quadruple_cover(flips, pairs, check)]
    return limits


def pair_conflicts(flips: Flips) -> BoolArray:
    """Which two neurons cannot flip together, shape (k, k)."""
    if isinstance(flips.weight, np.ndarray):
        # r @ |v_i + v_j| = R + v_i @ diag(r) @ v_j, since weights are ±1.
        reach = float(flips.radius.sum()) + (flips.weight * flips.radius) @ flips.weight.T
    else:
        reach = _reach_of_pairs(flips.weight, flips.radius)
    certain = certain_levels(4.0 * flips.largest_reach)
    conflicts = reach < flips.demand[:, None] + flips.demand - certain
    np.fill_diagonal(conflicts, False)
    return np.asarray(conflicts)


def _reach_of_pairs(weight: csr_array, radius: FloatArray) -> FloatArray:
    """``r @ |v_i + v_j|``, shape (k, k): what both reach, less twice what they take apart."""
    size, scaled = abs(weight), weight @ diags_array(radius)
    alone = size @ radius
    if size.data.max(initial=0.0) <= 1.0:
        # min(|v|, |w|) where the signs differ is (|v| |w| - v w) / 2.
        apart = (abs(scaled) @ size.T - scaled @ weight.T).toarray() / 2.0
    else:
        rises, falls = weight.maximum(0.0), (-weight).maximum(0.0)
        apart = _shared(rises, falls, radius)
        apart = apart + apart.T
    return np.asarray(alone[:, None] + alone - 2.0 * apart)


def _shared(some: csr_array, others: csr_array, radius: FloatArray) -> FloatArray:
    """``r @ min(v_i, w_j)`` of rows that are nowhere negative, shape (k, k)."""
    shared = np.zeros((some.shape[0], others.shape[0]))
    for i in range(len(shared)):
        columns = some.indices[some.indptr[i] : some.indptr[i + 1]]
        row = some.data[some.indptr[i] : some.indptr[i + 1]]
        shared[i] = np.minimum(others[:, columns].toarray(), row) @ radius[columns]
    return shared


def _clique_cover(adjacent: BoolArray, check: Callable[[], None]) -> list[list[int]]:
    """Greedy cliques that cover every edge."""
    left = np.triu(adjacent)
    first, second = np.nonzero(left)
    degree = adjacent.sum(axis=1)
    order = np.argsort(-(degree[first] + degree[second]), kind="stable")
    cliques = []
    for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if not left[i, j]:
            continue
        check()
        members, candidates = [i, j], np.flatnonzero(adjacent[i] & adjacent[j])
        while len(candidates):
            common = adjacent[np.ix_(candidates, candidates)].sum(axis=1)
            members.append(int(candidates[np.argmax(common)]))
            candidates = candidates[adjacent[members[-1], candidates]]
        cliques.append(sorted(members))
        left[np.ix_(members, members)] = False
    return cliques


def _quadruple_cover(flips: Flips, pairs: BoolArray, check: Callable[[], None]) -> list[list[int]]:
    """Sets every four of which conflict, grown greedily from conflicts of four."""
    chosen = np.sort(np.argsort(-flips.demand, kind="stable")[:MAX_QUADRUPLE_NEURONS])
    quadruples = _quadruple_conflicts(flips, pairs, chosen)
    if len(quadruples) == 0:
        return []
    pairs = pairs[np.ix_(chosen, chosen)]
    conflict = _quadruple_table(quadruples, pairs)
    score = np.bincount(quadruples.ravel(), minlength=len(chosen))
    order = np.argsort(-score[quadruples].sum(axis=1), kind="stable")
    left = quadruples[order]
    cover: list[list[int]] = []
    while len(left) and len(cover) < MAX_ROWS:
        check()
        members = _grow(left[0].tolist(), conflict, score)
        cover.append(sorted(chosen[members].tolist()))
        inside = np.zeros(len(chosen), dtype=bool)
        inside[members] = True
        left = left[~inside[left].all(axis=1)]
    return cover


def _quadruple_conflicts(flips: Flips, pairs: BoolArray, chosen: IntArray) -> IntArray:
    """Positions in `chosen`, shape (count, 4), of conflicts of four without a pair's.

    For weights of ±1. With s = v_i + v_j + v_p + v_q at a pixel, |s| is 0, 2 or 4, hence
    (28 s^2 - s^4) / 48; and s^2 = 4 + 2 e2, e2^2 = 6 + 4 e2 + 6 e4 in the elementary symmetric sums
    e2 and e4. So the sum over pixels needs only products of pairs, which one matrix product gives
    for all quadruples.
    """
    weight, demand = np.asarray(flips.weight[chosen]), flips.demand[chosen]
    radius = flips.radius
    free = ~pairs[np.ix_(chosen, chosen)]
    first, second = np.nonzero(np.triu(free, 1))
    products = weight[first] * weight[second]
    fours = (products * radius) @ products.T
    gram = (weight * radius) @ weight.T
    x, y = np.nonzero((second[:, None] < first) & free[np.ix_(second, first)])
    i, j, p, q = first[x], second[x], first[y], second[y]
    keep = free[i, p] & free[i, q] & free[j, q]
    i, j, p, q, e4 = i[keep], j[keep], p[keep], q[keep], fours[x[keep], y[keep]]
    e2 = gram[i, j] + gram[i, p] + gram[i, q] + gram[j, p] + gram[j, q] + gram[p, q]
    total = radius.sum()
    square = 4 * total + 2 * e2
    fourth = 16 * total + 16 * e2 + 4 * (6 * total + 4 * e2 + 6 * e4)
    reach = (28 * square - fourth) / 48
    # 28 and 16 of `square` and `fourth` add up to 704 of the total, over 48.
    certain = certain_levels(32.0 * float(total))
    conflicts = reach < demand[i] + demand[j] + demand[p] + demand[q] - certain
    found: IntArray = np.stack([i, j, p, q], axis=1)[conflicts]
    return found


def _quadruple_table(quadruples: IntArray, pairs: BoolArray) -> BoolArray:
    """conflict[i, j, p, q] in every order; true where a pair conflicts or a neuron repeats."""
    rows = pairs[:, :, None] | pairs[:, None, :] | pairs[None, :, :]
    table = rows[:, :, :, None] | rows[:, :, None, :] | rows[:, None, :, :] | rows[None, :, :, :]
    for order in permutations(quadruples.T):
        table[order] = True
    same = np.arange(len(pairs))
    for one, other in combinations(range(4), 2):
        np.moveaxis(table, (one, other), (0, 1))[same, same] = True
    return np.asarray(table)


def _grow(members: list[int], conflict: BoolArray, score: IntArray) -> list[int]:
    """Add neurons while every four members conflict, those in most conflicts first."""
    candidates = np.ones(len(score), dtype=bool)
    for i, j, p in combinations(members, 3):
        candidates &= conflict[i, j, p]
    candidates[members] = False
    while candidates.any():
        new = int(np.argmax(np.where(candidates, score, -1)))
        candidates &= conflict[new][np.ix_(members, members)].all(axis=(0, 1))
        members.append(new)
        candidates[new] = False
    return members

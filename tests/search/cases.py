"""Random pieces of the kernel's problem, made without a network, and plain sums over flip sets."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from bnnopt.search.bound import cardinality_colours, surplus_ranges
from bnnopt.search.problem import MarginTerms, Region
from bnnopt.search.room import Room, new_room
from bnnopt.search.tree_state import Tree, new_tree

Members = tuple[int, ...]


def random_terms(
    rng: np.random.Generator, k: int, r: int = 4, layers: int = 0, scale: float = 1.0
) -> MarginTerms:
    """Surpluses near 0, so that flips matter; one neuron counts nothing, one may be absent."""
    surplus = rng.integers(-2, 3, r).astype(np.float32)
    change = rng.choice([-1.0, 1.0], (k, r)).astype(np.float32)
    weight = rng.choice([-1.0, 1.0], (layers, r, r))
    needed = rng.integers(-1, 2, (layers, r)).astype(np.float64)
    gain = scale * rng.choice([-4.0, -2.0, 2.0, 4.0], r)
    gain[rng.integers(r)] = 0.0
    if rng.random() < 0.3:
        surplus[-1], change[:, -1] = -1.0 - k, 0.0
        weight[:, -1], weight[:, :, -1], needed[:, -1], gain[-1] = 0.0, 0.0, 1.0, 0.0
    return MarginTerms(surplus, change, weight, needed, gain, scale * float(rng.integers(-3, 4)))


def random_region(
    rng: np.random.Generator, k: int, m: int = 5, always: int = 0, tight: float = 0.5
) -> Region:
    """Radii of quarter levels, so that sums are exact; demands up to a share of what there is."""
    weight = rng.choice([-1.0, 1.0], (k + always, m))
    radius = rng.integers(1, 12, m) / 4.0
    demand = np.round(rng.random(k + always) * tight * radius.sum() * 8.0) / 8.0
    if always:
        weight[-1] = 1.0
    largest = float(np.linalg.eigvalsh((weight * radius**2) @ weight.T)[-1])
    rate = float(rng.random()) if always else 0.0
    return Region(weight, radius, demand, demand.copy(), 1.001 * largest, always, rate)


def surplus_at(terms: MarginTerms, members: Members) -> np.ndarray:
    """Of the second layer, where these flip."""
    surplus = terms.surplus.astype(np.float64)
    for i in members:
        surplus = surplus + terms.change[i]
    return surplus


def margin_at(terms: MarginTerms, members: Members) -> float:
    """The margin where these flip, neuron by neuron."""
    on = [1.0 if y >= 0 else 0.0 for y in surplus_at(terms, members).tolist()]
    for weight, needed in zip(terms.weight.tolist(), terms.needed.tolist(), strict=True):
        sums = [sum(w * h for w, h in zip(row, on, strict=True)) for row in weight]
        on = [1.0 if y >= least else 0.0 for y, least in zip(sums, needed, strict=True)]
    return terms.constant + sum(g * h for g, h in zip(terms.gain.tolist(), on, strict=True))


def fails_sum_test(region: Region, members: Members) -> bool:
    """Whether the rows of these, added up, need more than there is; a budget's counts several."""
    total, need = region.weight[list(members)].sum(axis=0), region.demand[list(members)].sum()
    if region.always:
        times = np.ceil(region.rate * np.sqrt(len(members)))
        total, need = total + times * region.weight[-1], need + times * region.demand[-1]
    return bool(np.abs(total) @ region.radius < need - 1e-6)


def subsets(places: Any) -> list[Members]:
    """All, the empty one first."""
    places = tuple(places)
    return [members for size in range(len(places) + 1) for members in combinations(places, size)]


def without_conflict(sets: list[Members], conflict: np.ndarray) -> list[Members]:
    """Those no two of which conflict."""
    return [s for s in sets if not any(conflict[a, b] for a, b in combinations(s, 2))]


def random_conflicts(rng: np.random.Generator, k: int, share: float = 0.25) -> np.ndarray:
    upper = np.triu(rng.random((k, k)) < share, 1)
    return np.asarray(upper | upper.T)


class Node:
    """A node of a tree: a path of flips, candidates in some order, conflicts, ranges."""

    def __init__(self, seed: int, k: int = 8, layers: int = 0, scale: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self.rng, self.k = rng, k
        self.region, self.terms = random_region(rng, k), random_terms(rng, k, 4, layers, scale)
        self.tree: Tree = new_tree(self.region, self.terms)
        self.room: Room = new_room(self.region, self.terms)
        order = rng.permutation(k)
        self.depth = int(rng.integers(0, 3))
        self.path: Members = tuple(order[: self.depth].tolist())
        self.size = int(rng.integers(1, k - 1 - self.depth))
        self.kept = order[self.depth : self.depth + self.size]
        self._fill()

    def _fill(self) -> None:
        tree, room, size = self.tree, self.room, self.size
        tree.depth[0] = self.depth
        for d in range(1, self.depth + 1):
            tree.flipped[d] = self.path[d - 1]
            tree.surplus[d] = surplus_at(self.terms, self.path[:d])
        tree.order[self.depth, :size], tree.count[self.depth] = self.kept, size
        room.least[:], room.most[:] = -55.0, 55.0  # as other nodes leave them
        room.kept[:size] = self.kept
        room.conflict[:size, :size] = random_conflicts(self.rng, size)
        self.groups = cardinality_colours(room.conflict, size, room.group)
        surplus_ranges(
            self.terms,
            tree.surplus[self.depth],
            room.kept,
            room.group,
            size,
            self.groups,
            room.least,
            room.most,
            room.low,
            room.high,
        )

    @property
    def sets(self) -> list[Members]:
        """Of the subtree, as places in `kept`."""
        return without_conflict(subsets(range(self.size)), self.room.conflict)

    def members(self, places: Members) -> Members:
        """The whole flip set of some places."""
        return (*self.path, *(int(self.kept[a]) for a in places))

    def margin(self, places: Members) -> float:
        return margin_at(self.terms, self.members(places))

    def function(self, places: Members) -> float:
        """The node's function at a set."""
        tree, y = self.tree, surplus_at(self.terms, self.members(places))
        depth = self.depth
        return float(tree.level[depth] + tree.slope[depth] @ y + tree.curve[depth] @ y**2)

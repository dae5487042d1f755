"""Random pieces of the kernel's problem, made without a network, and plain sums over flip sets."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np

from bnnopt.search.bound import cardinality_colours, surplus_ranges
from bnnopt.search.descent import new_descent
from bnnopt.search.problem import BINARY, LARGE, TERNARY, MarginTerms, Region
from bnnopt.search.tree_state import Tree, new_tree
from bnnopt.search.workspace import Workspace, new_workspace

Members = tuple[int, ...]

ENTRIES = {BINARY: [-1.0, 1.0], TERNARY: [-1.0, 0.0, 1.0], LARGE: [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0]}
"""What weights are of each kind."""


def random_terms(
    rng: np.random.Generator, k: int, r: int = 4, layers: int = 0, scale: float = 1.0
) -> MarginTerms:
    """Surpluses near 0, so that flips matter; one neuron counts nothing, one may never turn."""
    widths = [r, *rng.integers(2, 6, layers).tolist()]
    surplus = rng.integers(-2, 3, r).astype(np.float32)
    change = rng.choice([-2.0, -1.0, -1.0, 0.0, 1.0, 1.0, 3.0], (k, r)).astype(np.float32)
    matrices = [
        rng.choice([-2.0, -1.0, -1.0, 0.0, 1.0, 1.0], (after, before))
        for before, after in pairwise(widths)
    ]
    needed = np.concatenate([np.zeros(r), *(rng.integers(-1, 2, n) for n in widths[1:])])
    gain = scale * rng.choice([-4.0, -2.0, 2.0, 4.0], widths[-1])
    gain[rng.integers(widths[-1])] = 0.0
    if rng.random() < 0.3:
        surplus[-1], change[:, -1] = -1.0 - k, 0.0
    return MarginTerms(
        surplus=surplus,
        change=change,
        weight=np.concatenate([np.zeros(0), *(matrix.ravel() for matrix in matrices)]),
        needed=needed,
        gain=gain,
        constant=scale * float(rng.integers(-3, 4)),
        start=np.concatenate([[0], np.cumsum(widths)]),
        block=np.concatenate([[0], np.cumsum([m.size for m in matrices])]).astype(np.int64),
        step=float(np.abs(change).max(initial=0.0)),
    )


def random_region(
    rng: np.random.Generator,
    k: int,
    m: int = 5,
    always: int = 0,
    tight: float = 0.5,
    entries: int | None = None,
) -> Region:
    """Radii of quarter levels, so that sums are exact; demands up to a share of what there is.

    Some flips exclude each other, and some cost too much together, but where there is a budget's
    row.
    """
    entries = int(rng.integers(3)) if entries is None else entries
    weight = rng.choice(ENTRIES[entries], (k + always, m))
    radius = rng.integers(1, 12, m) / 4.0
    demand = np.round(rng.random(k + always) * tight * radius.sum() * 8.0) / 8.0
    budgets = 0 if always else int(rng.choice([0, 0, 1, 2]))
    if always:
        weight[-1] = 1.0
    places = np.nonzero(weight != 0.0) if entries != BINARY else (np.zeros(0, dtype=int),) * 2
    return Region(
        weight=weight,
        first=np.searchsorted(places[0], np.arange(k + always + 1)),
        column=places[1],
        radius=radius,
        demand=demand,
        stay_demand=demand.copy(),
        curvature=1.001 * float(np.linalg.eigvalsh((weight * radius**2) @ weight.T)[-1]),
        always=always,
        rate=float(rng.random()) if always else 0.0,
        rounding=0.0,
        entries=entries,
        excludes=random_conflicts(rng, k + always, 0.0 if always else rng.choice([0.0, 0.1])),
        cost=rng.integers(0, 4, (k + always, budgets)).astype(np.float64),
        most=rng.integers(2, 2 * k, budgets).astype(np.float64),
    )


def one_region(**parts: Any) -> Region:
    """One flip that one pixel makes, but for what is said."""
    one = np.ones(1)
    region = Region(
        weight=np.ones((1, 1)),
        first=np.zeros(2, dtype=np.int64),
        column=np.zeros(0, dtype=np.int64),
        radius=one,
        demand=one,
        stay_demand=one,
        curvature=1.001,
        always=0,
        rate=0.0,
        rounding=0.0,
        entries=BINARY,
        excludes=np.zeros((1, 1), dtype=bool),
        cost=np.zeros((1, 0)),
        most=np.zeros(0),
    )
    region = region._replace(**parts)
    k = len(region.demand)
    first, excludes = np.zeros(k + 1, dtype=np.int64), np.zeros((k, k), dtype=bool)
    return region._replace(first=first, excludes=excludes, cost=np.zeros((k, 0)))


def without_limits(region: Region) -> Region:
    """The same without exclusions and costs."""
    k = len(region.demand)
    none = np.zeros((k, k), dtype=bool)
    return region._replace(excludes=none, cost=np.zeros((k, 0)), most=np.zeros(0))


def layers_of(terms: MarginTerms) -> list[tuple[np.ndarray, np.ndarray]]:
    """The weights of each further layer, shape (neurons, neurons before), and what they need."""
    layers, start = [], terms.start.tolist()
    for layer, (first, end) in enumerate(pairwise(start)):
        if layer == 0:
            continue
        block = terms.weight[terms.block[layer - 1] : terms.block[layer]]
        layers.append((block.reshape(end - first, -1), terms.needed[first:end]))
    return layers


def surplus_at(terms: MarginTerms, members: Members) -> np.ndarray:
    """Of the second layer, where these flip."""
    surplus = terms.surplus.astype(np.float64)
    for i in members:
        surplus = surplus + terms.change[i]
    return surplus


def margin_at(terms: MarginTerms, members: Members) -> float:
    """The margin where these flip, neuron by neuron."""
    on = [1.0 if y >= 0 else 0.0 for y in surplus_at(terms, members).tolist()]
    for weight, needed in layers_of(terms):
        sums = [sum(w * h for w, h in zip(row, on, strict=True)) for row in weight.tolist()]
        on = [1.0 if y >= least else 0.0 for y, least in zip(sums, needed.tolist(), strict=True)]
    return terms.constant + sum(g * h for g, h in zip(terms.gain.tolist(), on, strict=True))


def fails_sum_test(region: Region, members: Members) -> bool:
    """Whether these, added up, need more than there is; a budget's row counts several times."""
    if np.any(region.cost[list(members)].sum(axis=0) > region.most):
        return True
    total, need = region.weight[list(members)].sum(axis=0), region.demand[list(members)].sum()
    if region.always:
        times = np.ceil(region.rate * np.sqrt(len(members)))
        total, need = total + times * region.weight[-1], need + times * region.demand[-1]
    return bool(np.abs(total) @ region.radius < need - 1e-6)


def is_excluded(region: Region, members: Members) -> bool:
    """Whether a pair of these, or what they cost, rules them out whatever the box."""
    pairs = any(region.excludes[a, b] for a, b in combinations(members, 2))
    return pairs or bool(np.any(region.cost[list(members)].sum(axis=0) > region.most))


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


def tree_of(region: Region, terms: MarginTerms, few: tuple[int, int]) -> Tree:
    """A tree that enumerates the sets of so few candidates, or of two more in vain."""
    tree = new_tree(region, terms)
    tree.enumerated[:] = (*few, few[1] + 2 if few[1] > 0 else few[1])
    return tree._replace(at=new_descent(region, tree.terms, max(few[1] + 2, 0)))


class Node:
    """A node of a tree: a path of flips, candidates in some order, conflicts, ranges."""

    def __init__(self, seed: int, k: int = 8, layers: int = 0, scale: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self.rng, self.k = rng, k
        self.region, self.terms = random_region(rng, k), random_terms(rng, k, 4, layers, scale)
        self.tree: Tree = tree_of(self.region, self.terms, (-1, k))
        self.space: Workspace = new_workspace(self.region, self.terms)
        order = rng.permutation(k)
        self.depth = int(rng.integers(0, 3))
        self.path: Members = tuple(order[: self.depth].tolist())
        self.size = int(rng.integers(1, k - 1 - self.depth))
        self.kept = order[self.depth : self.depth + self.size]
        self._fill()

    def _fill(self) -> None:
        tree, space, size = self.tree, self.space, self.size
        tree.depth[0] = self.depth
        for d in range(1, self.depth + 1):
            tree.flipped[d] = self.path[d - 1]
            tree.surplus[d] = surplus_at(self.terms, self.path[:d])
            tree.spent[d] = self.region.cost[list(self.path[:d])].sum(axis=0)
        tree.order[self.depth, :size], tree.count[self.depth] = self.kept, size
        space.least[:], space.most[:] = -55.0, 55.0  # as other nodes leave them
        space.low[:], space.high[:] = -55.0, 55.0
        space.kept[:size] = self.kept
        space.conflict[:size, :size] = random_conflicts(self.rng, size)
        self.groups = cardinality_colours(space.conflict, size, space.group)
        surplus_ranges(self.terms, tree.surplus[self.depth], size, self.groups, space)

    @property
    def sets(self) -> list[Members]:
        """Of the subtree, as places in `kept`."""
        return without_conflict(subsets(range(self.size)), self.space.conflict)

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

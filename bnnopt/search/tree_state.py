"""The state of a search over flip sets: the path from the root to the present node."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.descent import Descent, new_descent
from bnnopt.search.position import TargetTerms, target_terms
from bnnopt.search.problem import MarginTerms, Region

__all__ = ["Tree", "deepened", "new_tree"]

Array = Any

ENUMERATED, ENUMERATED_DEEP, ENUMERATED_IN_VAIN = 3, 11, 15
"""Candidates whose sets are enumerated, in networks of two hidden layers; of more, where bounds are
weak; and there where the parent's function has ruled out none of its children."""

LEVELS, LARGEST_LEVELS = 48, 2**22
"""Depths that keep conflicts of their own, and bytes of those, at most."""

FEWEST_ROWS, LARGEST_START = 4, 2**16
"""Depths that a tree has room for at first: at least, and times neurons of the second layer."""


class Tree(NamedTuple):
    """The path from the root to the present node; rows are depths, of which there may be more.

    Parameters
    ----------
    depth : array of int64, shape (1,)
    root : array of int64, shape (1,)
        Its depth: the number of rows that every set has (`bnnopt.search.problem.Region`).
    nodes : array of int64, shape (1,)
        Visited so far.
    entering : array of bool, shape (1,)
        Whether the present node is new: its candidates are not bounded yet.
    falls : array of float64, shape (k + 1, m)
        Sum of the weights of the flips.
    demand : array of float64, shape (k + 1,)
        Sum of their demands.
    surplus : array of float64, shape (k + 1, r)
    flipped : array of int64, shape (k + 1,)
        The flip that each depth adds.
    order : array of int64, shape (k + 1, k)
        Candidates, by ascending use; children take them from the end.
    reach : array of float64, shape (k + 1, k)
        Bound on the margin over the subtrees of the children up to each.
    most : array of float64, shape (k + 1, k)
        Bound on the margin over the subtree of each child.
    level, size : array of float64, shape (k + 1,)
        Of the function below; what its level's terms add up to in size, which rounding is
        relative to.
    slope, curve : array of float64, shape (k + 1, r)
        ``level + sum of slope_j y_j + curve_j y_j^2`` is at least the margin where the second
        layer has surplus y.
    position : array of int64, shape (k + 1,)
        The child at work.
    count : array of int64, shape (k + 1,)
        Number of candidates.
    activation : array of float64, shape (k + 1, neurons)
        Mean activations over the distribution of sets to which the function is fitted.
    conflict : array of bool, shape (levels, k, k)
        Which two candidates cannot both join the present set; deeper nodes use the last level.
    spent : array of float64, shape (k + 1, budgets)
        What the flips cost (`bnnopt.search.problem.Region`).
    enumerated : array of int64, shape (3,)
        Candidates whose sets are enumerated at once; unless what the parent knew rules them out;
        and then if the parent's function has ruled out no child.
    terms : TargetTerms
    at : Descent
        Through the sets of the present node, unless it is over (`bnnopt.search.enumeration`).
    found : array of bool, shape (k,)
        The last set found.
    pending : array of bool, shape (1,)
        Whether the caller has not settled that set yet, which no other part of the state covers.
    u : array of float64, shape (m,)
        Its point, in units of the radius.
    """

    depth: Array
    root: Array
    nodes: Array
    entering: Array
    falls: Array
    demand: Array
    surplus: Array
    flipped: Array
    order: Array
    reach: Array
    most: Array
    level: Array
    size: Array
    slope: Array
    curve: Array
    position: Array
    count: Array
    activation: Array
    conflict: Array
    spent: Array
    enumerated: Array
    terms: TargetTerms
    at: Descent
    found: Array
    pending: Array
    u: Array


def new_tree(region: Region, terms: MarginTerms) -> Tree:
    """A tree at its root, the set without flips."""
    (k, m), r, layers = region.weight.shape, len(terms.surplus), len(terms.block) - 1
    deep = (ENUMERATED_DEEP, ENUMERATED_IN_VAIN) if layers else (ENUMERATED, ENUMERATED)
    root, few = region.always, [ENUMERATED, *deep]
    of_target, levels = (
        target_terms([terms]),
        min(k + 1, LEVELS, max(LARGEST_LEVELS // k**2, 1) if k else 1),
    )
    rows = min(k + 1, max(root + FEWEST_ROWS, LARGEST_START // r))
    tree = Tree(
        depth=np.full(1, root),
        root=np.full(1, root),
        nodes=np.zeros(1, dtype=np.int64),
        entering=np.ones(1, dtype=np.bool_),
        falls=np.zeros((rows, m)),
        demand=np.zeros(rows),
        surplus=np.zeros((rows, r), dtype=np.float32),
        flipped=np.full(rows, -1),
        order=np.zeros((rows, k), dtype=np.int64),
        reach=np.full((rows, k), np.inf),
        most=np.full((rows, k), np.inf),
        level=np.zeros(rows),
        size=np.zeros(rows),
        slope=np.zeros((rows, r)),
        curve=np.zeros((rows, r)),
        position=np.full(rows, -1),
        count=np.zeros(rows, dtype=np.int64),
        activation=np.full((rows, len(terms.needed)), 0.5),
        conflict=np.zeros((levels, k, k), dtype=np.bool_),
        spent=np.zeros((rows, len(region.most))),
        enumerated=np.array(few),
        terms=of_target,
        at=new_descent(region, of_target, max(few)),
        found=np.zeros(k, dtype=np.bool_),
        pending=np.zeros(1, dtype=np.bool_),
        u=np.zeros(m),
    )
    tree.surplus[root] = terms.surplus
    tree.conflict[max(root - 1, 0)] = region.excludes
    tree.flipped[1 : root + 1] = np.arange(k - root, k)
    tree.order[root, : k - root] = np.arange(k - root)
    tree.count[root] = k - root
    return tree


PATH = (
    *("falls", "demand", "surplus", "flipped", "order", "reach", "most", "level", "size"),
    *("slope", "curve", "position", "count", "activation", "spent"),
)
"""What has a row a depth."""


def deepened(tree: Tree) -> Tree:
    """The same tree with room for twice the depth."""
    rows = min(2 * len(tree.count), len(tree.found) + 1)
    more = {name: _lengthened(getattr(tree, name), rows) for name in PATH}
    return tree._replace(**more)


def _lengthened(rows: Array, count: int) -> Array:
    longer = np.zeros((count, *rows.shape[1:]), dtype=rows.dtype)
    longer[: len(rows)] = rows
    return longer

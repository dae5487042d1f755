"""Giving a part of a tree's open subtrees to another tree, so that two can go on at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.search.descent import Descent, copied
from bnnopt.search.position import TargetTerms
from bnnopt.search.tree_state import Tree

__all__ = ["hand_over", "split"]


def split(tree: Tree, wanted: float) -> Tree | None:
    """A tree of the children that another has not visited, at the smallest depth with such.

    Both have them until `hand_over`: whoever is interrupted between the two has lost nothing.

    Parameters
    ----------
    tree : Tree
    wanted : float
        Children that cannot reach this margin do not count.

    Returns
    -------
    Tree or None
        None if there are no such children.
    """
    for depth in range(int(tree.depth[0])):
        at = int(tree.position[depth])
        if at < 1 or tree.reach[depth, at - 1] < wanted:
            continue
        other = Tree(*map(_copy, tree))
        other.depth[0], other.position[depth] = depth, at - 1
        other.entering[0], other.pending[0], other.nodes[0] = False, False, 0
        other.at.depth[0] = -1
        return other
    return None


def hand_over(tree: Tree, other: Tree) -> None:
    """Take from a tree what `split` has given to another one."""
    depth = int(other.depth[0])
    tree.reach[depth, : int(other.position[depth]) + 1] = -np.inf


def _copy(value: Any) -> Any:
    if isinstance(value, TargetTerms):
        return value  # never changes
    return copied(value) if isinstance(value, Descent) else np.copy(value)

"""What a tree that has stopped leaves open: a bound on the sets that it has not visited."""

from __future__ import annotations

import numpy as np

from bnnopt.search.bound import margin_of
from bnnopt.search.descent import is_over
from bnnopt.search.problem import MarginTerms
from bnnopt.search.tree_state import Tree

__all__ = ["open_bound"]


def open_bound(terms: MarginTerms, tree: Tree) -> float:
    """A bound on the margins of the sets that a tree has neither visited nor ruled out.

    At every depth those are the children before the one at work, and below the present node all
    of its own. What a child may bring is bounded by its parent's function, and by what bounds the
    parent.

    Parameters
    ----------
    terms : MarginTerms
    tree : Tree
        Stopped anywhere.

    Returns
    -------
    float
        In units of the margin; ``-inf`` where nothing is open.
    """
    bound, above = -np.inf, np.inf
    present, root = int(tree.depth[0]), int(tree.root[0])
    for depth in range(root, present):
        at = int(tree.position[depth])
        if at > 0:
            bound = max(bound, min(above, float(tree.reach[depth, at - 1])))
        above = min(above, float(tree.most[depth, at]))
    if present >= root:
        at = int(tree.position[present])
        if not is_over(tree.at):
            bound = max(bound, above)
        elif tree.entering[0]:  # its children are not bounded yet
            bound = max(bound, above) if tree.count[present] > 0 else bound
        elif at >= 0:
            bound = max(bound, min(above, float(tree.reach[present, at])))
    if tree.pending[0]:
        surplus = terms.surplus + terms.change[tree.found].sum(axis=0)
        bound = max(bound, float(margin_of(terms, surplus)))
    return bound

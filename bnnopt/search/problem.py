r"""An attack as a search over flips: which unstable first-layer neurons leave their side.

The image enters the network through the signs of the first layer only. A *flip* is a change of
some of those from what they are at the origin: of one neuron, or, where each neuron looks at one
pixel, of those that a pixel's change turns. A *flip set* F says which of k flips are made; the
margin of a target is a function of F alone. Neurons beyond the first layer are counted in
activations h of 0 or 1: neuron j of a layer is on iff its *surplus* ``y_j = weight[j] @ h -
needed_j`` is at least 0, all whole numbers. A flip of one neuron changes a surplus of the second
layer by that neuron's weight or its negative.

The named tuples are what compiled functions take.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bnnopt.search.compiled import compiled
from bnnopt.tolerances import CERTAIN_LEVELS

__all__ = [
    "BINARY",
    "LANES",
    "LARGE",
    "TERNARY",
    "MarginTerms",
    "Region",
    "budget_multiplier",
    "certain_by",
    "layer_weight",
]

Array = npt.NDArray[Any]

LANES = 16
"""Numbers that vector instructions take at once, at most."""

BINARY, TERNARY, LARGE = 0, 1, 2
"""Rows of -1 and +1; of -1, 0 and +1; of larger whole numbers."""


class Region(NamedTuple):
    """What is reachable: the demands of k flips, over the m pixels that can move.

    Where flips are free of each other, as where each neuron looks at one pixel, m is 0.

    Parameters
    ----------
    weight : array of float64, shape (k, m)
        As in `Flips`; flips are sorted by descending demand.
    first, column : array of int64, shape (k + 1,), (nonzeros,)
        Where each row's nonzeros begin, and their places; none where `entries` is `BINARY`.
    radius : array of float64, shape (m,)
        Of the box, in levels.
    demand, stay_demand : array of float64, shape (k,)
    curvature : float
        At least the largest eigenvalue of ``weight @ diag(radius^2) @ weight.T``.
    always : int
        How many rows, the last ones, every flip set has: 1 for an L1 budget, else 0
        (`bnnopt.search.space`).
    rate : float
        What such a row counts in the sum of a set, over the root of its number of flips.
    rounding : float
        Levels that the reach and the demand of a set can be off by rounding, a flip.
    entries : int
        What weights are: `BINARY`, `TERNARY` or `LARGE`.
    excludes : array of bool, shape (k, k)
        Which two flips cannot be made together whatever the region, as those of one pixel.
    cost : array of float64, shape (k, budgets)
        Whole numbers that a set's flips add up to.
    most : array of float64, shape (budgets,)
        The most that they may add up to.
    """

    weight: Array
    first: Array
    column: Array
    radius: Array
    demand: Array
    stay_demand: Array
    curvature: float
    always: int
    rate: float
    rounding: float
    entries: int
    excludes: Array
    cost: Array
    most: Array


class MarginTerms(NamedTuple):
    """The margin of one target as a function of the flips, over the neurons that they can turn.

    Layer 0 here is the second of the network. All its r neurons and those of further layers are
    counted through; layer l has those from ``start[l]`` to ``start[l + 1]``. Margins are in units
    of `bnnopt.margins.Margins.unit`.

    Parameters
    ----------
    surplus : array of float32, shape (r,)
        Of layer 0, without flips.
    change : array of float32, shape (k, r)
        Of that surplus, by each flip.
    weight : array of float64
        Of the further layers: from ``block[l - 1]`` to ``block[l]`` the matrix of layer l, of
        shape (neurons of l, neurons of l - 1), row by row.
    needed : array of float64, shape (neurons,)
        Of all layers; 0 for layer 0.
    gain : array of float64, shape (neurons of the last layer,)
        Of the margin, by each of them that is on.
    constant : float
        The margin where all of those are off.
    start : array of int64, shape (2 + further layers,)
    block : array of int64, shape (1 + further layers,)
    step : float
        The largest size of a change.
    """

    surplus: Array
    change: Array
    weight: Array
    needed: Array
    gain: Array
    constant: float
    start: Array
    block: Array
    step: float


@compiled
def layer_weight(terms: MarginTerms, layer: int) -> Array:
    """The matrix of a further layer."""
    start, block = terms.start, terms.block
    rows, columns = start[layer + 1] - start[layer], start[layer] - start[layer - 1]
    return terms.weight[block[layer - 1] : block[layer]].reshape(rows, columns)


@compiled
def certain_by(region: Region, size: float) -> float:
    """Levels by which the sum of a set of so many flips must fail to be a conflict."""
    return max(CERTAIN_LEVELS, size * region.rounding)


@compiled
def budget_multiplier(region: Region, size: int) -> float:
    """What a budget's row counts in the sum of a set of so many flips: about its best multiplier.

    Any whole number will do, so that sums of whole rows are whole.
    """
    return float(np.ceil(region.rate * np.sqrt(size)))

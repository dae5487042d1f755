"""Arrays for the work at one node, made once a search."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.compiled import compiled
from bnnopt.search.problem import MarginTerms, Region

__all__ = ["Room", "new_room"]

Array = Any


class Room(NamedTuple):
    """What the candidates of the present node look like; places are those in `kept`.

    Parameters
    ----------
    low, high : array of float32, shape (1 + layers, r)
        Ranges of every layer's surplus.
    least, most : array of float32, shape (k, r)
        What each class adds to the second layer's, at least and at most.
    kept, group : array of int64, shape (k,)
        The candidates and their classes; of each class at most one flips.
    conflict : array of bool, shape (k, k)
    spare : array of float64, shape (k,)
        By how much the sum of the present set and each candidate does not fail.
    mean, square : array of float64, shape (r,)
        Moments of the second layer's surplus over a distribution of sets.
    seen, seen_square : array of float64, shape (r,)
        Sums over the sets found last.
    activation, deep : array of float64, shape (1 + layers, r)
        What `deeper_lines` makes of the distribution.
    slope, curve : array of float64, shape (r,)
        Of the function found last.
    single : array of float64, shape (k + 1, k)
    pair : array of float64, shape (k, k)
        The node's function in the flips, by single ones and by pairs. Rows of `single` are
        depths of the search over sets; there places are those in the order.
    by_single : array of float64, shape (k,)
    by_pair : array of float64, shape (k, k)
        The same by places in `kept`.
    rows, scaled : array of float64, shape (k, r)
        The changes that the candidates make, and those times the curve.
    gain : array of float64, shape (k,)
        What a candidate gains at most from the pairs with those before it.
    reach : array of float64, shape (k + 1, k)
        What the candidates up to each add at most.
    path : array of int64, shape (k + 1,)
        The members of a set, as places in the order.
    """

    low: Array
    high: Array
    least: Array
    most: Array
    kept: Array
    group: Array
    conflict: Array
    spare: Array
    mean: Array
    square: Array
    seen: Array
    seen_square: Array
    activation: Array
    deep: Array
    slope: Array
    curve: Array
    single: Array
    pair: Array
    by_single: Array
    by_pair: Array
    rows: Array
    scaled: Array
    gain: Array
    reach: Array
    path: Array


@compiled
def new_room(region: Region, terms: MarginTerms) -> Room:
    """Make the arrays."""
    k, layers, r = len(region.demand), len(terms.weight), len(terms.surplus)
    shape = (layers + 1, r)
    return Room(
        np.zeros(shape, dtype=np.float32),
        np.zeros(shape, dtype=np.float32),
        np.zeros((k, r), dtype=np.float32),
        np.zeros((k, r), dtype=np.float32),
        np.zeros(k, dtype=np.int64),
        np.zeros(k, dtype=np.int64),
        np.zeros((k, k), dtype=np.bool_),
        np.zeros(k),
        np.zeros(r),
        np.zeros(r),
        np.zeros(r),
        np.zeros(r),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(r),
        np.zeros(r),
        np.zeros((k + 1, k)),
        np.zeros((k, k)),
        np.zeros(k),
        np.zeros((k, k)),
        np.zeros((k, r)),
        np.zeros((k, r)),
        np.zeros(k),
        np.zeros((k + 1, k)),
        np.zeros(k + 1, dtype=np.int64),
    )

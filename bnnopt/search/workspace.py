"""Arrays for the work at one node, made once a search."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.problem import MarginTerms, Region

__all__ = ["Workspace", "new_workspace"]

Array = Any


class Workspace(NamedTuple):
    """What the candidates of the present node look like, by their places in `kept`.

    r is the number of neurons of the second layer; `neurons` that of all layers from there on.

    Parameters
    ----------
    low, high : array of float32, shape (neurons,)
        Ranges of their surplus.
    least : array of float32, shape (k + 1, r)
    most : array of float32, shape (k, r)
        What each class adds to the second layer's, at least and at most. Walks over sets keep
        the sums of their members in `least`, below those without any.
    kept, group : array of int64, shape (k,)
        The candidates and their classes; of each class at most one flips.
    conflict : array of bool, shape (k, k)
    spare : array of float64, shape (k,)
        By how much the sum of the present set and each candidate does not fail.
    mean, square : array of float64, shape (r,)
        Moments of the second layer's surplus over a distribution of sets.
    seen, seen_square : array of float64, shape (r,)
        Sums over the sets found last.
    activation, push : array of float64, shape (neurons,)
        What `deeper_lines` makes of the distribution, and what each activation counts for.
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
    gain : array of float64, shape (k + 1, k)
        Half of what each candidate gains from pairs with the first so many.
    reach : array of float64, shape (k,)
        What the candidates up to each add together at most.
    small_gain : array of float32, shape (r,)
        What a neuron of the second layer that is on counts for, with two hidden layers.
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
    push: Array
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
    small_gain: Array
    path: Array


def new_workspace(region: Region, terms: MarginTerms) -> Workspace:
    """Make the arrays."""
    k, r, neurons = len(region.demand), len(terms.surplus), len(terms.needed)
    return Workspace(
        low=np.zeros(neurons, dtype=np.float32),
        high=np.zeros(neurons, dtype=np.float32),
        least=np.zeros((k + 1, r), dtype=np.float32),
        most=np.zeros((k, r), dtype=np.float32),
        kept=np.zeros(k, dtype=np.int64),
        group=np.zeros(k, dtype=np.int64),
        conflict=np.zeros((k, k), dtype=np.bool_),
        spare=np.zeros(k),
        mean=np.zeros(r),
        square=np.zeros(r),
        seen=np.zeros(r),
        seen_square=np.zeros(r),
        activation=np.zeros(neurons),
        push=np.zeros(neurons),
        slope=np.zeros(r),
        curve=np.zeros(r),
        single=np.zeros((k + 1, k)),
        pair=np.zeros((k, k)),
        by_single=np.zeros(k),
        by_pair=np.zeros((k, k)),
        rows=np.zeros((k, r)),
        scaled=np.zeros((k, r)),
        gain=np.zeros((k + 1, k)),
        reach=np.zeros(k),
        small_gain=np.zeros(r, dtype=np.float32),
        path=np.zeros(k + 1, dtype=np.int64),
    )

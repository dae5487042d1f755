"""What a visit of cheap sets works on: flips sorted by cost, and where the visit stands."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bnnopt.search.position import TargetTerms

__all__ = ["PATTERNS", "WORD", "CheapFlips", "Walk", "begin_walk", "cheap_flips", "new_walk"]

Array = Any

WORD = 64
"""Bits of a word of a mask."""

PATTERNS = 2**20
"""Patterns that are remembered, at most: a newer one takes an older one's place."""


class CheapFlips(NamedTuple):
    """Flips sorted by cost, and the network at the image.

    Parameters
    ----------
    cost : array of int64, shape (k,)
        Ascending, above 0.
    pixel : array of int64, shape (k,)
        Flips of one pixel exclude each other.
    other : array of float64, shape (k, budgets)
        What each flip costs of further budgets.
    most : array of float64, shape (budgets,)
        The most that those may add up to.
    change : array of float32, shape (k, r)
        Of the second layer's surplus, by each flip.
    column : array of float32, shape (r, k)
        The same, by neuron.
    lowest, highest : array of float32, shape (r,)
        The least and the largest of those, and at most and at least 0.
    surplus : array of float32, shape (neurons,)
        Of every layer from the second on, where nothing has flipped.
    gain : array of int32, shape (neurons of the last layer, targets)
        As in `TargetTerms`.
    total : array of int32, shape (targets,)
        The gains of the neurons that are on where nothing has flipped.
    """

    cost: Array
    pixel: Array
    other: Array
    most: Array
    change: Array
    column: Array
    lowest: Array
    highest: Array
    surplus: Array
    gain: Array
    total: Array


class Walk(NamedTuple):
    """Where a visit of the sets stands; rows are numbers of flips.

    Parameters
    ----------
    depth : array of int64, shape (1,)
        Flips of the present set before its last one; -1 where all sets have been.
    members, following, last : array of int64, shape (most + 1,)
        Its flips; at each depth the flip to go on with, and the one to end with (-1: none).
    spent : array of int64, shape (most + 1,)
    paid : array of float64, shape (most + 1, budgets)
    near : array of int64, shape (u,)
        Neurons of the second layer that sets can turn, one a bit.
    sums : array of float32, shape (most + 1, u)
        Their surplus.
    mask : array of uint64, shape (words, k)
        Of each flip that ends the set, the pattern.
    known : array of uint64, shape (PATTERNS, words)
        Patterns that are no flip; that of the image where there is none yet.
    surplus : array of float32, shape (neurons,)
        Of a pattern; like what follows, room for the forward pass.
    total : array of int32, shape (targets,)
    switched : array of uint8, shape (neurons,)
    eights : array of uint64, shape (neurons / 8,)
    turned : array of int64, shape (neurons + 8,)
    visited : array of int64, shape (2,)
        Sets, and patterns, so far.
    """

    depth: Array
    members: Array
    following: Array
    last: Array
    spent: Array
    paid: Array
    near: Array
    sums: Array
    mask: Array
    known: Array
    surplus: Array
    total: Array
    switched: Array
    eights: Array
    turned: Array
    visited: Array


def cheap_flips(
    terms: TargetTerms, surplus: Array, cost: Array, pixel: Array, other: Array, most: Array
) -> CheapFlips:
    """Prepare flips that are sorted already; `surplus` is that of a new `Position`."""
    is_on = surplus[terms.start[-2] :] >= 0.0
    gain = np.ascontiguousarray(terms.gain_above.T)
    change = np.ascontiguousarray(terms.change)
    return CheapFlips(
        cost=cost,
        pixel=pixel,
        other=np.ascontiguousarray(other),
        most=most,
        change=change,
        column=np.ascontiguousarray(change.T),
        lowest=change.min(axis=0, initial=0.0),
        highest=change.max(axis=0, initial=0.0),
        surplus=surplus,
        gain=gain,
        total=gain[is_on].sum(axis=0, dtype=np.int32),
    )


def new_walk(flips: CheapFlips, most: int) -> Walk:
    """One that is over, with room for sets of up to `most` flips."""
    neurons, (k, r) = len(flips.surplus), flips.change.shape
    surplus = flips.surplus[:r]
    falls, rises = surplus + most * flips.lowest < 0.0, surplus + most * flips.highest >= 0.0
    near = np.flatnonzero(np.where(surplus >= 0.0, falls, rises))
    words = max(-(-len(near) // WORD), 1)
    switched = np.zeros(neurons, dtype=np.uint8)
    return Walk(
        depth=np.full(1, -1),
        members=np.zeros(most + 1, dtype=np.int64),
        following=np.zeros(most + 1, dtype=np.int64),
        last=np.zeros(most + 1, dtype=np.int64),
        spent=np.zeros(most + 1, dtype=np.int64),
        paid=np.zeros((most + 1, len(flips.most))),
        near=near,
        sums=np.tile(surplus[near], (most + 1, 1)),
        mask=np.zeros((words, k), dtype=np.uint64),
        known=np.zeros((PATTERNS, words), dtype=np.uint64),
        surplus=flips.surplus.copy(),
        total=flips.total.copy(),
        switched=switched,
        eights=switched.view(np.uint64),
        turned=np.zeros(neurons + 8, dtype=np.int64),
        visited=np.zeros(2, dtype=np.int64),
    )


def begin_walk(walk: Walk, part: int) -> None:
    """Begin with the sets whose first flip is `part`, or so many later; part 0 has single flips."""
    walk.depth[0] = 0
    walk.following[0] = part
    walk.last[0] = 0 if part == 0 else -1

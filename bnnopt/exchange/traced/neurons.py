"""Neurons for elements that jump, and the pooling of their signs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced.tensor import Block, Elements, Sums, Tensor, Term
from bnnopt.exchange.traced.thresholds import Indicators, neurons_above
from bnnopt.network import HiddenLayer
from bnnopt.network.weights import read_weight

__all__ = ["materialized"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def materialized(tensor: Tensor, name: str = "") -> Tensor:
    """The same tensor over the signs of neurons, if it takes a few values; else as it is.

    Parameters
    ----------
    tensor : Tensor
        Its elements have one term each.
    name : str
        What the file calls it.
    """
    if not tensor.is_stepped:
        return tensor
    if not tensor.is_pooled:
        return _unpooled(tensor, name)
    tensor, order = _in_window_order(tensor)
    found, outcomes = _jumps(tensor.elements, may_split=False)
    base = tensor.elements.sums.base
    before = [Block(one.layer, base, "", one.bound, one.slack) for one in found]
    found = [_pooled(tensor, one) for one in found]
    blocks = [
        Block(one.layer, (part,), name, one.bound, one.slack, is_pooling=True)
        for one, part in zip(found, before, strict=True)
    ]
    first = tensor.pick.max(axis=-1).ravel()
    pooled = _over(tensor, blocks, found, [values[first] for values in outcomes])
    return pooled.moved(lambda places: places.ravel()[order])


def _unpooled(tensor: Tensor, name: str) -> Tensor:
    """Neurons in the order of the elements, so that a convolution remains one."""
    order = tensor.pick[..., 0]
    if not np.array_equal(np.sort(order, axis=None), np.arange(len(tensor.elements))):
        tensor = tensor.gathered()
        order = tensor.pick[..., 0]
    found, outcomes = _jumps(tensor.elements, may_split=True)
    base = tensor.elements.sums.base
    blocks = [Block(one.layer, base, name, one.bound, one.slack) for one in found]
    flat = replace(tensor, pick=np.arange(len(tensor.elements))[:, None])
    return _over(flat, blocks, found, outcomes).moved(lambda places: places[order])


def _in_window_order(tensor: Tensor) -> tuple[Tensor, IntArray]:
    """Each window once, in order where they are a regular pooling; and which one is where."""
    flat = tensor.pick.reshape(-1, tensor.pick.shape[-1])
    if tensor.windows is not None and tensor.place is not None:
        place = tensor.place
        windows, first = np.unique(place, return_index=True)
        if np.array_equal(windows, np.arange(tensor.windows.shape[0])):
            return replace(tensor, pick=flat[first]), place
    order = np.arange(len(flat)).reshape(tensor.shape)
    return replace(tensor, pick=flat, windows=None, place=None), order


def _jumps(elements: Elements, may_split: bool) -> tuple[list[Indicators], list[Array]]:
    """Neurons for each jump at which some outcome changes, and the values around those."""
    outcomes = [values.astype(np.float64) for values in elements.outcomes]
    if not all(np.isfinite(values).all() for values in outcomes):
        raise NetworkFormatError("its values behind a sign are not finite")
    jumps = [j for j in range(len(outcomes) - 1) if (outcomes[j] != outcomes[j + 1]).any()]
    found = [neurons_above(elements, jump) for jump in jumps]
    values = [outcomes[jumps[0]] if jumps else outcomes[0], *(outcomes[j + 1] for j in jumps)]
    if len(found) < 2:
        return found, values
    lower, upper = found
    differs = _differ(lower, upper, elements.sums.pixels is None)
    values[1] = np.where(differs, values[1], values[2])
    if not differs.any():
        return [lower], [values[0], values[2]]
    if may_split and upper.layer.convolution is None and not differs.all():
        upper = _only(upper, differs)
    return [lower, upper], values


def _differ(lower: Indicators, upper: Indicators, are_signs: bool) -> Array:
    """Where a sum can lie between two jumps: where a sign can be 0."""
    one, two = lower.layer, upper.layer
    if are_signs:
        one, two = one.canonical(), two.canonical()
    return np.asarray((one.threshold != two.threshold) | (lower.turn != upper.turn))


def _only(found: Indicators, wanted: Array) -> Indicators:
    """Neurons of some elements only; the others, which do not count, have the first of them."""
    index = np.flatnonzero(wanted)
    layer = HiddenLayer(found.layer.rows(index), found.layer.threshold[index])
    row = np.zeros(len(wanted), dtype=np.int64)
    row[index] = np.arange(len(index))
    return Indicators(layer, row, found.turn, found.bound[index], found.slack[index])


def _over(
    tensor: Tensor, blocks: list[Block], found: list[Indicators], outcomes: list[Array]
) -> Tensor:
    """Each place of a tensor as an offset and what its indicators add."""
    offset = (outcomes[0] + outcomes[-1]) / 2.0
    starts = np.cumsum([0, *(block.size for block in blocks)])
    terms = []
    for number, one in enumerate(found):
        half = (outcomes[number + 1] - outcomes[number]) / 2.0
        terms.append(Term(one.row + starts[number], half * one.turn))
    sums = Sums(tuple(blocks))
    if not found:
        terms = [Term(np.zeros(len(offset), dtype=np.int64), np.zeros(len(offset)))]
        sums = tensor.elements.sums
    pick = np.arange(len(offset)).reshape(*tensor.shape, 1)
    return Tensor(Elements(sums, tuple(terms), offset), pick, tensor.precision)


def _pooled(tensor: Tensor, found: Indicators) -> Indicators:
    """Whether any element of a window is above a jump, or all are."""
    pick = _each_once(tensor.pick.reshape(-1, tensor.pick.shape[-1]))
    rises = tensor.elements.rises
    assert rises is not None
    present = pick >= 0
    first = pick.max(axis=-1)
    if ((rises[pick] != rises[first][:, None]) & present).any():
        raise NetworkFormatError("it takes the maximum of some numbers and the minimum of others")
    count = present.sum(axis=-1)
    threshold = np.where(rises[first], 2 - count, count)
    place = np.arange(len(pick))
    turn = np.ones(len(pick), dtype=np.int8)
    layer = _window_layer(tensor, pick, found, threshold)
    return Indicators(layer, place, turn, layer.threshold.astype(np.float64), np.zeros(len(pick)))


def _each_once(pick: IntArray) -> IntArray:
    """Windows without the elements that they hold twice, as windows of windows do."""
    ordered = np.sort(pick, axis=-1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = -1
    return ordered


def _window_layer(
    tensor: Tensor, pick: IntArray, found: Indicators, threshold: IntArray
) -> HiddenLayer:
    """Rows of the turns of each window's neurons: as a convolution where they are one."""
    windows = tensor.windows
    if windows is not None:
        turns = found.turn.reshape(windows.input_shape[0], -1)
        if (turns == turns[:, :1]).all():
            kernel = windows.kernel * turns[:, :1, None, None]
            return HiddenLayer(replace(windows, kernel=kernel), threshold)
    from scipy.sparse import csr_array

    present = pick >= 0
    starts = np.concatenate([[0], np.cumsum(present.sum(axis=-1))])
    chosen = pick[present]
    shape = (len(pick), found.layer.shape[0])
    turns = found.turn[chosen].astype(np.int64)
    rows = csr_array((turns, found.row[chosen], starts), shape=shape)
    return HiddenLayer(read_weight(rows), threshold)

"""Bounds on pre-activations over an instance's box, and which neurons they decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_fraction
from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork, HiddenLayer
from bnnopt.network.layers import Weight

__all__ = [
    "LayerBounds",
    "count_unstable",
    "interval_bounds",
    "layer_bounds",
    "margin_bound",
]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BATCH = 2**22
"""Numbers that are worked on at a time where all of them would take much memory."""


@dataclass(frozen=True, eq=False)
class LayerBounds:
    """What is known of one hidden layer.

    Parameters
    ----------
    lower, upper : array of float, shape (width,)
        Bounds on ``weight @ input``.
    sign : array of int8, shape (width,)
        +1 or -1 for a stable neuron, one that no point of the box can flip; 0 for an unstable
        one.
    """

    lower: FloatArray
    upper: FloatArray
    sign: npt.NDArray[np.int8]

    @property
    def unstable(self) -> npt.NDArray[np.int64]:
        """Indices of the neurons that are not stable."""
        return np.flatnonzero(self.sign == 0)


def interval_bounds(instance: AttackInstance) -> list[LayerBounds]:
    """Interval arithmetic through the hidden layers; stable neurons count as constants.

    A neuron is +1 iff its pre-activation reaches the threshold T, so it is stable at +1 if the
    lower bound reaches T, and at -1 if the upper bound stays strictly below.

    They are computed once an instance, and not to be written to.
    """
    if instance not in _FOUND:
        _FOUND[instance] = _interval_bounds(instance)
    return list(_FOUND[instance])


_FOUND: WeakKeyDictionary[AttackInstance, list[LayerBounds]] = WeakKeyDictionary()


def _interval_bounds(instance: AttackInstance) -> list[LayerBounds]:
    _, *deeper = instance.network.hidden
    layers = [_first_bounds(instance)]
    for layer in deeper:
        low = np.where(layers[-1].sign > 0, 1.0, -1.0)
        high = np.where(layers[-1].sign < 0, -1.0, 1.0)
        layers.append(_box_bounds(layer, low, high))
    return layers


def count_unstable(
    network: BinarizedNetwork, images: npt.ArrayLike, epsilon: float | str
) -> npt.NDArray[np.int64]:
    """How many first-layer neurons the box around each image can flip.

    The time of an exact attack grows with it, so it says which images to begin with.

    Parameters
    ----------
    network : BinarizedNetwork
    images : array_like, shape (count, n) or (count, *input_shape)
        Values in [0, 1].
    epsilon : float or str
        The only budget.

    Returns
    -------
    array of int64, shape (count,)
    """
    layer, levels = network.hidden[0], float(network.levels)
    z, reach = network.levels_of(images), float(read_fraction(epsilon, "epsilon")) * levels
    low, high = np.maximum(z - reach, 0.0), np.minimum(z + reach, levels)
    centre, radius = (low + high) / 2.0, (high - low) / 2.0
    size = max(BATCH // layer.shape[0], 1)
    counts = [
        _count_open(layer, centre[at : at + size], radius[at : at + size])
        for at in range(0, len(z), size)
    ]
    return np.concatenate([np.zeros(0, dtype=np.int64), *counts])


def _count_open(layer: HiddenLayer, centre: FloatArray, radius: FloatArray) -> IntArray:
    """How many neurons each of some boxes, shape (count, n), can flip."""
    middle, spread = layer.pre_activation(centre), layer.spread(radius)
    bounds = layer_bounds(layer, middle - spread, middle + spread)
    return np.asarray((bounds.sign == 0).sum(axis=1), dtype=np.int64)


def _first_bounds(instance: AttackInstance) -> LayerBounds:
    """Over the box; with an L0 or L1 budget, only the best changes that it pays for count."""
    layer, (low, high), image = instance.network.hidden[0], instance.box, instance.levels
    if instance.is_box:
        return _box_bounds(layer, low, high)
    here = layer.pre_activation(image[None])[0]
    rise, fall = np.zeros_like(here), np.zeros_like(here)
    for rows, weight, inputs in _parts(layer.weight):
        up, down = (high - image)[inputs], (image - low)[inputs]
        rise[rows] = _budgeted(instance, weight, np.where(weight > 0, up, down))
        fall[rows] = _budgeted(instance, weight, np.where(weight > 0, down, up))
    return layer_bounds(layer, here - fall, here + rise)


def _parts(weight: Weight) -> Iterator[tuple[Array, Array, Array]]:
    """Rows of a matrix that have weights, a few of similar length at a time.

    Yields
    ------
    rows : array of int, shape (count,)
    weight : array of int, shape (count, longest)
        Theirs, and zeros after them.
    inputs : array of int, shape (count or 1, longest)
        What each belongs to.
    """
    if isinstance(weight, np.ndarray):
        step = max(BATCH // weight.shape[1], 1)
        for at in range(0, len(weight), step):
            rows = np.arange(at, min(at + step, len(weight)))
            yield rows, weight[rows], np.arange(weight.shape[1])[None]
        return
    lengths = np.diff(weight.indptr)
    order = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
    at = 0
    while at < len(order):
        rows = order[at : at + max(BATCH // int(lengths[order[at]]), 1)]
        rows = rows[: max(BATCH // int(lengths[rows[-1]]), 1)]
        at += len(rows)
        places = weight.indptr[rows, None] + np.arange(lengths[rows[-1]])
        absent = places >= weight.indptr[rows + 1, None]
        places[absent] = 0
        yield rows, np.where(absent, 0, weight.data[places]), weight.indices[places]


def _budgeted(instance: AttackInstance, weight: Array, room: FloatArray) -> FloatArray:
    """The most that sums can move if each input can move by `room`, shape (rows, inputs)."""
    size = np.abs(weight.astype(np.float64))
    most = np.full(len(room), np.inf)
    if instance.max_pixels is not None:
        gains = np.sort(size * room, axis=1)
        most = gains[:, max(gains.shape[1] - instance.max_pixels, 0) :].sum(axis=1)
    if instance.max_l1 is not None:
        most = np.minimum(most, _paid(size, room, instance.l1_levels))
    return most


def _paid(size: FloatArray, room: FloatArray, budget: float) -> FloatArray:
    """The most that an L1 budget in levels pays for: where a level moves a sum most first."""
    if size.min() == size.max():
        return np.asarray(size[:, 0] * np.minimum(room.sum(axis=1), budget))
    order = np.argsort(-size, axis=1, kind="stable")
    size, room = np.take_along_axis(size, order, axis=1), np.take_along_axis(room, order, axis=1)
    left = np.maximum(budget - (np.cumsum(room, axis=1) - room), 0.0)
    return np.asarray((size * np.minimum(room, left)).sum(axis=1))


def _box_bounds(layer: HiddenLayer, low: FloatArray, high: FloatArray) -> LayerBounds:
    centre = layer.pre_activation((low + high)[None] / 2.0)[0]
    radius = layer.spread((high - low) / 2.0)
    return layer_bounds(layer, centre - radius, centre + radius)


def layer_bounds(layer: HiddenLayer, lower: FloatArray, upper: FloatArray) -> LayerBounds:
    """Bounds on a layer's sums, and the signs that they decide."""
    sign = np.zeros(lower.shape, dtype=np.int8)
    sign[lower >= layer.threshold] = 1
    sign[upper < layer.threshold] = -1
    for part in (lower, upper, sign):
        part.setflags(write=False)
    return LayerBounds(lower, upper, sign)


def margin_bound(instance: AttackInstance, target: int) -> float:
    """No point of the box has a larger margin of the target, by interval arithmetic."""
    gain, constant = instance.of_margins.terms(target)
    sign = interval_bounds(instance)[-1].sign
    return float(np.where(sign == 0, np.abs(gain), gain * sign).sum()) + constant

"""What a proof is about, in whole numbers, as `bnnopt.proof.check` derives it from the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from bnnopt.flips import Flips
from bnnopt.instance import AttackInstance
from bnnopt.network import GRID
from bnnopt.search.problem import Region
from bnnopt.search.region import region_of

__all__ = ["Geometry", "Problem", "geometry_of", "problem_of"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Geometry:
    """The flips of the first layer. Numbers are doubled and count grid steps: all are whole.

    Parameters
    ----------
    neurons : array of int64, shape (k,)
        Those that can flip, ascending.
    on : array of bool, shape (width,)
        Which neurons of the first layer are on where nothing has flipped.
    rows : array of float64, shape (k, m)
        Their weights, with the sign in which a flip needs the sum large, over the m pixels that
        can move.
    width : array of float64, shape (m,)
        How far each pixel can.
    demand, keep : array of float64, shape (k,)
        What the sum of a flip must reach from the centre of the box, and what its negative must
        where the neuron stays.
    level : float
        Steps of a level.
    image : array of float64, shape (m,)
        The pixels that can move; doubled, from the centre of the box.
    budget : int or None
        What the changes of all pixels may add up to; not doubled.
    """

    neurons: IntArray
    on: npt.NDArray[np.bool_]
    rows: FloatArray
    width: FloatArray
    demand: FloatArray
    keep: FloatArray
    level: float
    image: FloatArray
    budget: int | None

    def refutes(self, multipliers: IntArray) -> bool:
        """Whether multipliers, shape (k,), those of neurons that stay below 0, refute a set."""
        used = np.flatnonzero(multipliers)
        times = multipliers[used].astype(object)
        needed = np.where(multipliers[used] > 0, self.demand[used], self.keep[used])
        total = times @ _whole(self.rows[used])
        return bool(self._reach(total) < np.abs(times) @ _whole(needed))

    def _reach(self, total: Array) -> int:
        """The most that whole weights, shape (m,), make of the pixels, from the centre, doubled."""
        if self.budget is None:
            return int(np.abs(total) @ _whole(self.width))
        most, left = int(total @ _whole(self.image)), self.budget
        room = _whole((self.width - np.where(total > 0, self.image, -self.image)) / 2.0)
        for gain, steps in sorted(zip(np.abs(total), room, strict=True), reverse=True):
            most += 2 * gain * min(steps, left)
            left -= min(steps, left)
        return most

    def pairs(self) -> npt.NDArray[np.bool_]:
        """Which two flips exclude each other, by equal multipliers; no sum is rounded."""
        k = len(self.neurons)
        excluded = np.zeros((k, k), dtype=np.bool_)
        for j in range(k):
            reach = np.abs(self.rows + self.rows[j]) @ self.width
            excluded[j] = reach < self.demand + self.demand[j]
        np.fill_diagonal(excluded, False)
        return excluded

    def pairs_beside(self, flipped: npt.NDArray[np.bool_], kept: IntArray) -> IntArray:
        """Which two of the flips in `kept` have no image beside a set, by equal multipliers.

        Returns
        -------
        array of int64, shape (count, 2)
            Flips; where one has none by itself, it is a pair with itself.
        """
        rows, n = self.rows[kept], len(kept)
        total, needed = self.rows[flipped].sum(axis=0), self.demand[flipped].sum()
        excluded = np.zeros((n, n), dtype=np.bool_)
        for a in range(n):
            beside = rows[: a + 1] + rows[a]
            beside[a] = rows[a]
            demand = self.demand[kept[: a + 1]] + self.demand[kept[a]]
            demand[a] = self.demand[kept[a]]
            reach = np.abs(total + beside) @ self.width
            excluded[: a + 1, a] = reach < needed + demand
        return kept[np.argwhere(excluded)]

    def region(self) -> Region:
        """What the search's kernel takes, which finds multipliers in floating point."""
        unit = 2.0 * self.level
        signs = np.ones(len(self.neurons), dtype=np.int8)
        needs = self.demand / unit, -self.keep / unit
        return region_of(Flips(self.neurons, signs, -self.rows, *needs, self.width / unit))


def _whole(numbers: FloatArray) -> Array:
    """As Python's numbers, which have no largest."""
    return numbers.astype(np.int64).astype(object)


def geometry_of(instance: AttackInstance) -> Geometry:
    """The flips of an instance."""
    layer, level = instance.network.hidden[0], GRID if instance.domain == "continuous" else 1.0
    low, high = (bound * level for bound in instance.box)
    moving = np.flatnonzero(high > low)
    middle, width = low + high, high - low
    centre, reach = layer.pre_activation(middle[None])[0], layer.spread(width)
    needed = 2.0 * level * layer.threshold
    origin = centre
    if instance.max_l1 is not None:
        origin = 2.0 * layer.pre_activation(instance.levels[None] * level)[0]
    on = origin >= needed
    neurons = np.flatnonzero((centre - reach < needed) & (needed <= centre + reach))
    sign = np.where(on[neurons], -1.0, 1.0)
    above = (centre - needed)[neurons]  # of the threshold; a sum that is off is a step below it
    return Geometry(
        neurons,
        on,
        sign[:, None] * layer.rows(neurons)[:, moving].toarray(),
        width[moving],
        np.where(sign < 0, above + 2.0, -above),
        np.where(sign < 0, -above, above + 2.0),
        level,
        (2.0 * instance.levels * level - middle)[moving],
        None if instance.max_l1 is None else int(instance.l1_levels * level),
    )


class Problem(NamedTuple):
    """The margin of a target, in steps of the head, as compiled functions take it.

    Layer 0 is the second of the network; of each layer those neurons are kept that flips may turn.

    Parameters
    ----------
    surplus : array of int64, shape (r,)
        Of layer 0, without flips.
    change : array of int64, shape (k, r)
        Of that surplus, by each flip.
    weight : array of int64
        Of further layers, as in `bnnopt.search.problem.MarginTerms`.
    base : array of int64, shape (neurons,)
        Surplus of neurons of further layers where none before is on; 0 for layer 0.
    gain : array of int64, shape (neurons of the last layer,)
    constant : int
    start, block : array of int64
        Where the neurons of each layer begin, and the weights of each further one.
    """

    surplus: IntArray
    change: IntArray
    weight: IntArray
    base: IntArray
    gain: IntArray
    constant: int
    start: IntArray
    block: IntArray


def problem_of(instance: AttackInstance, geometry: Geometry, target: int, unit: float) -> Problem:
    """State the margin of a target; `unit` is a step of the head."""
    rows, surplus = _second_layer(instance, geometry)
    live, on = _split(surplus, rows)
    first = surplus[live], rows[live].toarray().T
    weights, bases, sizes = [np.zeros(0)], [np.zeros(len(live))], [len(live)]
    for layer in instance.network.hidden[2:]:
        rows = layer.columns(live)
        surplus = _needed(layer, layer.pre_activation(np.where(on, 1.0, -1.0)[None])[0])
        live, on = _split(surplus, rows)
        weights.append(rows[live].toarray().ravel())
        bases.append(surplus[live])
        sizes.append(len(live))
    output = instance.network.output
    gain, constant = output.gain(target, instance.source)
    steps = np.round(gain / unit).astype(np.int64)
    constant = round(constant / unit) - int(steps.sum()) + 2 * int(steps[on].sum())
    return Problem(
        first[0].astype(np.int64),
        np.ascontiguousarray(first[1], dtype=np.int64),
        np.concatenate(weights).astype(np.int64),
        np.concatenate(bases).astype(np.int64),
        2 * steps[live],
        constant,
        np.concatenate([[0], np.cumsum(sizes)]),
        np.concatenate([[0], np.cumsum([len(w) for w in weights[1:]])]).astype(np.int64),
    )


def _second_layer(instance: AttackInstance, geometry: Geometry) -> tuple[csr_array, FloatArray]:
    """What flips change in it, and the surplus without.

    Where there is one hidden layer, it is one that copies the first.
    """
    moves = np.where(geometry.on[geometry.neurons], -1.0, 1.0)
    k, width = len(moves), len(geometry.on)
    turns = csr_array((moves, (geometry.neurons, np.arange(k))), shape=(width, k))
    if instance.network.depth == 1:
        return turns, np.where(geometry.on, 0.0, -1.0)
    layer = instance.network.hidden[1]
    signs = np.where(geometry.on, 1.0, -1.0)
    surplus = _needed(layer, layer.pre_activation(signs[None])[0])
    rows = csr_array(layer.columns(geometry.neurons) @ turns[geometry.neurons])
    return rows, surplus


def _needed(layer: Any, sums: FloatArray) -> FloatArray:
    """The surplus in activations of 0 and 1, where these are the sums of -1 and 1."""
    return np.asarray(np.floor((sums - layer.threshold) / 2.0))


def _split(surplus: FloatArray, rows: csr_array) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Which neurons may turn, and which of all are on whatever happens."""
    least = surplus + rows.minimum(0).sum(axis=1)
    most = surplus + rows.maximum(0).sum(axis=1)
    return np.flatnonzero((least < 0.0) & (most >= 0.0)), least >= 0.0

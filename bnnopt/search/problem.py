r"""An attack as a search over flips: which unstable first-layer neurons leave their side.

The image enters the network through the signs of the first layer only. A *flip set* F says which
of the k unstable neurons have another sign than at the centre of the box (at the image, where an
L1 budget keeps points near it); the margin of a target is a function of F alone. Neurons beyond
the first layer are counted in activations h of 0 or 1: neuron j of a layer is on iff its *surplus*
``y_j = weight[j] @ h - needed_j`` is at least 0, all whole numbers. One flip changes a surplus of
the second layer by ±1.

The named tuples are what compiled functions take.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bnnopt.bounds import interval_bounds
from bnnopt.flips import Flips, first_layer_flips, flip_origin
from bnnopt.instance import AttackInstance
from bnnopt.search.compiled import compiled
from bnnopt.tolerances import CERTAIN_LEVELS, SUM_ROUNDING

__all__ = [
    "MarginTerms",
    "Region",
    "budget_multiplier",
    "certain_by",
    "margin_terms",
    "region_of",
    "sorted_flips",
    "without_idle",
]

Array = npt.NDArray[Any]


class Region(NamedTuple):
    """What is reachable: the demands of k flips, over the m pixels that can move.

    Parameters
    ----------
    weight : array of float64, shape (k, m)
        As in `Flips`; flips are sorted by descending demand.
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
    """

    weight: Array
    radius: Array
    demand: Array
    stay_demand: Array
    curvature: float
    always: int
    rate: float
    rounding: float = 0.0


class MarginTerms(NamedTuple):
    """The margin of one target as a function of the flips; r is the largest deeper width.

    Margins are in units of `bnnopt.margins.Margins.unit`.

    Parameters
    ----------
    surplus : array of float32, shape (r,)
        Of the second layer, without flips.
    change : array of float32, shape (k, r)
        Of that surplus, by each flip: ±1, and 0 where the layer is narrower than r.
    weight : array of float64, shape (layers, r, r)
        Of the third and further layers, with zeros where a layer is narrower.
    needed : array of float64, shape (layers, r)
    gain : array of float64, shape (r,)
        Of the margin, by each neuron of the last hidden layer that is on.
    constant : float
        The margin where all of those are off.
    """

    surplus: Array
    change: Array
    weight: Array
    needed: Array
    gain: Array
    constant: float


@compiled
def certain_by(region: Region, size: float) -> float:
    """Levels by which the sum of a set of so many flips must fail to be a conflict."""
    return max(CERTAIN_LEVELS, size * region.rounding)


@compiled
def budget_multiplier(region: Region, size: int) -> float:
    """What a budget's row counts in the sum of a set of so many flips: about its best multiplier.

    Any whole number will do, so that all sums are of one parity.
    """
    return float(np.ceil(region.rate * np.sqrt(size)))


def sorted_flips(instance: AttackInstance) -> Flips:
    """The unstable neurons of an instance, hardest to flip first."""
    flips = first_layer_flips(instance)
    low, high = instance.box
    at_origin = flips.demand + flips.weight @ (flip_origin(instance) - (low + high) / 2.0)
    order = np.argsort(-at_origin, kind="stable")
    return Flips(
        flips.neurons[order],
        flips.signs[order],
        flips.weight[order],
        flips.demand[order],
        flips.stay_demand[order],
        flips.radius,
    )


def region_of(flips: Flips, always: int = 0, rate: float = 0.0) -> Region:
    """Collect what reachability needs; the last two as for `Region`."""
    moving = flips.radius > 0
    weight, radius = np.ascontiguousarray(flips.weight[:, moving]), flips.radius[moving]
    gram = (weight * radius**2) @ weight.T
    largest = float(np.linalg.eigvalsh(gram)[-1]) if len(gram) else 0.0
    rounding = 2.0 * SUM_ROUNDING * float(radius.sum())
    demands = flips.demand, flips.stay_demand
    return Region(weight, radius, *demands, 1.001 * largest, always, rate, rounding)


def margin_terms(
    instance: AttackInstance, flips: Flips, target: int, always: int = 0
) -> MarginTerms:
    """State the margin of one target; the rows that every set has come last and change nothing."""
    terms = _margin_terms(instance, flips, target)
    idle = np.zeros((always, terms.change.shape[1]), dtype=np.float32)
    return terms._replace(change=np.vstack([terms.change, idle]))


def _margin_terms(instance: AttackInstance, flips: Flips, target: int) -> MarginTerms:
    network, unit = instance.network, instance.of_margins.unit
    signs = interval_bounds(instance)[0].sign.astype(np.float64)
    signs[flips.neurons] = flips.signs
    gain, constant = instance.of_margins.terms(target)
    gain, constant = gain / unit, (constant - float(gain.sum())) / unit
    if network.depth == 1:
        return _one_layer(signs, flips, 2.0 * gain, constant)
    second, *further = network.hidden[1:]
    width = max(layer.weight.shape[0] for layer in network.hidden[1:])
    # One flip moves a sum of ±1 by 2.
    sums = second.weight.astype(np.float64) @ signs
    surplus = np.full(width, -1.0 - len(flips.neurons))  # an absent neuron is off
    surplus[: len(sums)] = np.floor((sums - second.threshold) / 2.0)
    change = np.zeros((len(flips.neurons), width))
    change[:, : len(sums)] = -flips.signs[:, None] * second.weight[:, flips.neurons].T
    weight, needed = np.zeros((len(further), width, width)), np.ones((len(further), width))
    for at, layer in enumerate(further):
        out, fan_in = layer.weight.shape
        weight[at, :out, :fan_in] = layer.weight
        total = layer.weight.sum(axis=1, dtype=np.int64)
        needed[at, :out] = np.ceil((layer.threshold + total) / 2.0)
    gains = np.zeros(width)
    gains[: len(gain)] = 2.0 * gain
    return MarginTerms(_small(surplus), _small(change), weight, needed, gains, constant)


def without_idle(terms: MarginTerms) -> MarginTerms:
    """Drop the neurons of a last hidden layer that count nothing, where it is the second."""
    if len(terms.weight):
        return terms
    counts = np.flatnonzero(terms.gain)
    return MarginTerms(
        terms.surplus[counts],
        np.ascontiguousarray(terms.change[:, counts]),
        np.zeros((0, len(counts), len(counts))),
        np.zeros((0, len(counts))),
        terms.gain[counts],
        terms.constant,
    )


def _small(whole: Array) -> Array:
    """Whole numbers in single precision, which is exact for them up to 2^24."""
    return np.ascontiguousarray(whole, dtype=np.float32)


def _one_layer(signs: Array, flips: Flips, gain: Array, constant: float) -> MarginTerms:
    """A single hidden layer, as one whose neurons a layer of identities copies."""
    surplus = np.where(signs >= 0, 0.0, -1.0)
    change = np.zeros((len(flips.neurons), len(signs)))
    change[np.arange(len(flips.neurons)), flips.neurons] = -flips.signs
    return MarginTerms(
        _small(surplus),
        _small(change),
        np.zeros((0, len(signs), len(signs))),
        np.ones((0, len(signs))),
        gain,
        constant,
    )

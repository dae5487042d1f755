"""Bounds on pre-activations over an instance's box, and which neurons they decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_fraction
from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork, HiddenLayer

__all__ = [
    "LayerBounds",
    "count_unstable",
    "interval_bounds",
    "layer_bounds",
    "margin_bound",
]

FloatArray = npt.NDArray[np.float64]


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
    """
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
    centre = (low + high) / 2.0 @ layer.weight.T.astype(np.float64)
    radius = (high - low).sum(axis=1, keepdims=True) / 2.0
    bounds = layer_bounds(layer, centre - radius, centre + radius)
    return np.asarray((bounds.sign == 0).sum(axis=1))


def _first_bounds(instance: AttackInstance) -> LayerBounds:
    """Over the box; with an L0 or L1 budget, only the best changes that it pays for count."""
    layer, (low, high) = instance.network.hidden[0], instance.box
    if instance.is_box:
        return _box_bounds(layer, low, high)
    weight, image = layer.weight.astype(np.float64), instance.levels
    here = weight @ image
    rise = _budgeted(instance, np.where(weight > 0, high - image, image - low))
    fall = _budgeted(instance, np.where(weight > 0, image - low, high - image))
    return layer_bounds(layer, here - fall, here + rise)


def _budgeted(instance: AttackInstance, gains: FloatArray) -> FloatArray:
    """The most that `gains`, shape (width, n), can add up to within the budget."""
    if instance.max_pixels is not None:
        gains = np.sort(gains, axis=1)[:, max(gains.shape[1] - instance.max_pixels, 0) :]
    # A level changed by one moves every sum by one.
    return np.asarray(np.minimum(gains.sum(axis=1), instance.l1_levels))


def _box_bounds(layer: HiddenLayer, low: FloatArray, high: FloatArray) -> LayerBounds:
    centre = layer.weight.astype(np.float64) @ ((low + high) / 2.0)
    radius = float(np.sum(high - low)) / 2.0  # every weight is ±1
    return layer_bounds(layer, centre - radius, centre + radius)


def layer_bounds(layer: HiddenLayer, lower: FloatArray, upper: FloatArray) -> LayerBounds:
    """Bounds on a layer's sums, and the signs that they decide."""
    sign = np.zeros(lower.shape, dtype=np.int8)
    sign[lower >= layer.threshold] = 1
    sign[upper < layer.threshold] = -1
    return LayerBounds(lower, upper, sign)


def margin_bound(instance: AttackInstance, target: int) -> float:
    """No point of the box has a larger margin of the target, by interval arithmetic."""
    gain, constant = instance.of_margins.terms(target)
    sign = interval_bounds(instance)[-1].sign
    return float(np.where(sign == 0, np.abs(gain), gain * sign).sum()) + constant

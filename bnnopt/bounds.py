"""Bounds on pre-activations over an instance's box, and which neurons they decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnnopt.instance import AttackInstance
from bnnopt.network import HiddenLayer

__all__ = ["LayerBounds", "interval_bounds"]

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
    low, high = instance.box
    layers = []
    for layer in instance.network.hidden:
        bounds = _layer_bounds(layer, low, high)
        layers.append(bounds)
        low = np.where(bounds.sign > 0, 1.0, -1.0)
        high = np.where(bounds.sign < 0, -1.0, 1.0)
    return layers


def _layer_bounds(layer: HiddenLayer, low: FloatArray, high: FloatArray) -> LayerBounds:
    weight = layer.weight.astype(np.float64)
    centre = weight @ ((low + high) / 2.0)
    radius = float(np.sum(high - low)) / 2.0  # every weight is ±1
    lower, upper = centre - radius, centre + radius
    sign = np.zeros(len(lower), dtype=np.int8)
    sign[lower >= layer.threshold] = 1
    sign[upper < layer.threshold] = -1
    return LayerBounds(lower, upper, sign)

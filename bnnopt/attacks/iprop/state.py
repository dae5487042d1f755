"""Where an IProp search stands: a point, its activations, and which neurons are not ideal yet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bnnopt.instance import AttackInstance

__all__ = ["State", "ideal_target", "state_at"]

FloatArray = npt.NDArray[np.float64]
SignArray = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class State:
    """A point and what the network makes of it.

    Parameters
    ----------
    z : array of float, shape (n,)
        Admissible levels.
    margin : float
    is_flip : bool
    activations : tuple of array of int8, one (width,) a layer
    slacks : tuple of array of float, one (width,) a layer
        Pre-activations less their thresholds.
    ideal : array of int8, shape (width of the last layer,)
        T of section 4: +1 or -1; 0 for a neuron that does not count.
    """

    z: FloatArray
    margin: float
    is_flip: bool
    activations: tuple[SignArray, ...]
    slacks: tuple[FloatArray, ...]
    ideal: SignArray

    @cached_property
    def is_ideal(self) -> npt.NDArray[np.bool_]:
        """The set I as a mask."""
        met: npt.NDArray[np.bool_] = (self.ideal != 0) & (self.activations[-1] == self.ideal)
        return met

    @cached_property
    def unmet(self) -> npt.NDArray[np.int64]:
        """The neurons that are not ideal."""
        return np.flatnonzero((self.ideal != 0) & ~self.is_ideal)

    def target(self, chosen: npt.NDArray[np.int64]) -> SignArray:
        """The targets of the last layer: those of I and of the chosen set G."""
        target = np.where(self.is_ideal, self.ideal, 0).astype(np.int8)
        target[chosen] = self.ideal[chosen]
        return target


def ideal_target(instance: AttackInstance, target: int) -> SignArray:
    """T for one target class: the activations of the last layer that raise (1) most."""
    gain, _ = instance.of_margins.terms(target)
    ideal: SignArray = np.sign(gain).astype(np.int8)
    return ideal


def state_at(instance: AttackInstance, z: FloatArray) -> State:
    """The state of admissible levels; of several targets the best one at `z` is pursued."""
    network = instance.network
    slacks, values = [], z[None]
    for layer in network.hidden:
        slacks.append((layer.pre_activation(values) - layer.threshold)[0])
        values = np.where(slacks[-1] >= 0.0, 1.0, -1.0)[None]
    logits = network.output(values)[0]
    best = max(instance.targets, key=lambda c: (logits[c], -c))
    return State(
        z,
        float(logits[best] - logits[instance.source]),
        bool(instance.of_margins.is_flip(logits)),
        tuple(np.where(slack >= 0.0, 1, -1).astype(np.int8) for slack in slacks),
        tuple(slacks),
        ideal_target(instance, best),
    )

"""Differences of logits as statements on whole sums of the last activations.

A difference is ``gain @ h + constant``, where h are activations of ±1, and its gains are multiples
of one number. So it is at least some number iff a sum of whole weights reaches a whole threshold,
of the parity that all its sums have; nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from bnnopt.exchange.vnnlib import Choice, Difference
from bnnopt.network import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.network.checks import MAX_SINGLE, MAX_WEIGHT

__all__ = ["Literal", "all_of_each", "literal_of", "one_of_each"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

HEAD_BITS = 39
"""Of the largest weight of a head."""


@dataclass(frozen=True, eq=False)
class Literal:
    """That ``weight @ h`` is at least `threshold`, for h of ±1.

    Parameters
    ----------
    weight : array of int64, shape (width,)
        Below 2^53 in size, without a common factor.
    threshold : int
        Of the parity of all sums.
    """

    weight: IntArray
    threshold: int

    @property
    def most(self) -> int:
        """The largest sum."""
        return int(np.abs(self.weight).astype(object).sum())


def literal_of(output: OutputLayer, difference: Difference) -> Literal | bool:
    """The literal of a difference; whether it holds, where every point is alike.

    Parameters
    ----------
    output : OutputLayer
        On its grid.
    difference : Difference
    """
    gain, constant = output.gain(difference.target, difference.source)
    weight, unit = _whole(gain)
    needed = (difference.least - Fraction(constant)) / unit
    threshold = floor(needed) + 1 if difference.is_strict else ceil(needed)
    literal = Literal(weight, threshold)
    threshold += (threshold - literal.most) % 2
    if threshold <= -literal.most:
        return True
    return False if threshold > literal.most else Literal(weight, threshold)


def _whole(gain: FloatArray) -> tuple[IntArray, Fraction]:
    """Whole numbers without a common factor, and what they are multiplied with."""
    exponent = 53 - int(np.frexp(np.abs(gain).max())[1])
    whole = np.ldexp(gain, exponent).astype(np.int64)
    common = int(np.gcd.reduce(whole)) or 1
    return whole // common, common * Fraction(2) ** -exponent


def one_of_each(network: BinarizedNetwork, literals: Sequence[Literal]) -> BinarizedNetwork:
    """A network whose class 1, 2, ... beats class 0 where the literal of that place holds.

    Where its head cannot have the weights exactly, a class may beat 0 at other points too, if the
    literal nearly holds; never at fewer.
    """
    rows = [_head_row(literal) for literal in literals]
    width = network.output.shape[1]
    weight = np.vstack([np.zeros(width), *(row for row, _, _ in rows)])
    bias = np.array([0.0, *(constant for _, constant, _ in rows)])
    slack = np.zeros(len(bias))
    while True:
        built = _with_head(network, (), OutputLayer(weight, np.ones(len(bias)), bias + slack))
        given = built.output
        for at, (literal, (_, _, step)) in enumerate(zip(literals, rows, strict=True), 1):
            lost = _lost(literal, given.scale[at] * given.weight[at], given.bias[at], step)
            if lost >= step:
                slack[at] += 2.0 * float(lost)
                break
        else:
            return built


def _head_row(literal: Literal) -> tuple[FloatArray, float, float]:
    """Weights, bias and unit of a logit: one unit above 0, or more, where the literal holds."""
    size = max(int(np.abs(literal.weight).max()), abs(literal.threshold))
    step = 2.0 ** -max(size.bit_length() - HEAD_BITS, 0)
    return literal.weight.astype(np.float64) * step, (1 - literal.threshold) * step, step


def _lost(literal: Literal, weight: FloatArray, bias: float, step: float) -> Fraction:
    """By how much a row may be below the literal's own, which is a unit where that holds."""
    unit = Fraction(step)
    lost = (1 - literal.threshold) * unit - Fraction(float(bias))
    off = np.flatnonzero(weight != literal.weight * step)
    for i in off.tolist():
        lost += abs(int(literal.weight[i]) * unit - Fraction(float(weight[i])))
    return lost


def all_of_each(
    network: BinarizedNetwork, choices: Sequence[Choice], literals: dict[Difference, Literal]
) -> BinarizedNetwork:
    """A network whose class 1, 2, ... beats class 0 where the choice of that place holds.

    It has one more layer, with a neuron for each literal. Where a neuron cannot have the weights
    exactly, it may be on at other points too, if its literal nearly holds; never at fewer.

    Parameters
    ----------
    network : BinarizedNetwork
    choices : sequence of Choice
    literals : dict of Difference to Literal
        All that the choices have.
    """
    neurons = [_neuron(literal) for literal in literals.values()]
    rows = csr_array(np.stack([weight for weight, _ in neurons]))
    layer = HiddenLayer(rows, [threshold for _, threshold in neurons])
    place = {difference: at for at, difference in enumerate(literals)}
    weight = np.zeros((1 + len(choices), len(literals)))
    bias = np.zeros(len(weight))
    for at, choice in enumerate(choices, 1):
        weight[at, [place[difference] for difference in choice]] = 1.0
        bias[at] = 1 - len(choice)  # all on: 1; one off: -1
    return _with_head(network, (layer,), OutputLayer(weight, np.ones(len(bias)), bias))


def _neuron(literal: Literal) -> tuple[IntArray, int]:
    """Weights and a threshold that a layer can have; it is reached where the literal holds."""
    largest = int(np.abs(literal.weight).max())
    shift = max(largest.bit_length() - MAX_WEIGHT.bit_length(), 0)
    while literal.most >> shift >= MAX_SINGLE // 2:
        shift += 1
    weight = (literal.weight + (1 << shift >> 1)) >> shift
    weight = np.clip(weight, -MAX_WEIGHT, MAX_WEIGHT)
    lost = int(np.abs(literal.weight - (weight << shift)).astype(object).sum())
    return weight, -((lost - literal.threshold) // (1 << shift))


def _with_head(
    network: BinarizedNetwork, layers: tuple[HiddenLayer, ...], output: OutputLayer
) -> BinarizedNetwork:
    return BinarizedNetwork(
        (*network.hidden, *layers),
        output,
        levels=network.levels,
        name=network.name,
        input_shape=network.input_shape,
    )

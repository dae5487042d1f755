"""Functions of one number, as networks apply them between a sum and a sign.

Each is known by its values, in the precision of the file, and by the exact preimage of a half-line:
that is how a threshold behind a chain of functions becomes a threshold on the sum itself.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["CONTINUOUS", "SIGN", "Affine", "Function", "HalfLine", "Steps", "compare"]

Array = npt.NDArray[Any]
Number = Fraction | float
"""Exact, or infinite."""


class HalfLine(NamedTuple):
    """The numbers from `at` on: upwards or downwards, `at` itself among them if closed."""

    at: Number
    is_up: bool = True
    is_closed: bool = True

    @staticmethod
    def all_or_none(is_all: bool) -> HalfLine:
        """Every number, or none."""
        return HalfLine(-math.inf if is_all else math.inf, True, False)

    @property
    def is_constant(self) -> bool:
        """Whether it holds every number, or none."""
        return not isinstance(self.at, Fraction)

    def __contains__(self, number: object) -> bool:
        assert isinstance(number, Fraction | float | int)
        if number == self.at:
            return self.is_closed
        return bool(number > self.at) == self.is_up

    def moved(self, at: Number, turn: bool = False) -> HalfLine:
        """With another end, and turned over if asked."""
        return HalfLine(at, self.is_up != turn, self.is_closed)


@dataclass(frozen=True)
class Function(ABC):
    """A monotone function of one number and some constants.

    Parameters
    ----------
    name : str
    """

    name: str

    @abstractmethod
    def values(self, x: Array, *constants: Array) -> Array:
        """In the precision of `x`."""

    def direction(self, *constants: Array) -> Array:
        """1 where it rises, -1 where it falls, 0 where it is constant."""
        return np.ones(np.broadcast_shapes(*(np.shape(c) for c in constants)), dtype=np.int8)

    @abstractmethod
    def preimage(self, half: HalfLine, *constants: Fraction) -> HalfLine:
        """The numbers that it maps into a half-line; `half.at` is finite."""


class Affine(Function):
    """One that a gain and a shift describe."""

    @abstractmethod
    def affine(self, *constants: Array) -> tuple[Any, Any]:
        """Gain and shift, in double precision."""


class _Add(Affine):
    def values(self, x: Array, *constants: Array) -> Array:
        return np.asarray(x + constants[0].astype(x.dtype))

    def preimage(self, half: HalfLine, *constants: Fraction) -> HalfLine:
        return half.moved(half.at - constants[0])

    def affine(self, *constants: Array) -> tuple[Any, Any]:
        return 1.0, constants[0]


class _Multiply(Affine):
    def values(self, x: Array, *constants: Array) -> Array:
        return np.asarray(x * constants[0].astype(x.dtype))

    def direction(self, *constants: Array) -> Array:
        return np.sign(constants[0]).astype(np.int8)

    def preimage(self, half: HalfLine, *constants: Fraction) -> HalfLine:
        factor = constants[0]
        if factor == 0:
            return HalfLine.all_or_none(0 in half)
        return half.moved(half.at / factor, factor < 0)

    def affine(self, *constants: Array) -> tuple[Any, Any]:
        return constants[0], 0.0


class _Divide(_Multiply):
    def values(self, x: Array, *constants: Array) -> Array:
        return np.asarray(x / constants[0].astype(x.dtype))

    def preimage(self, half: HalfLine, *constants: Fraction) -> HalfLine:
        return half.moved(half.at * constants[0], constants[0] < 0)

    def affine(self, *constants: Array) -> tuple[Any, Any]:
        return 1.0 / constants[0], 0.0


class _Normalize(Affine):
    """Batch normalization by gamma, beta, mean and the standard deviation sigma.

    Its values are taken as inference programs do, as one product and one sum.
    """

    def values(self, x: Array, *constants: Array) -> Array:
        gamma, beta, mean, sigma = (c.astype(x.dtype) for c in constants)
        factor = gamma / sigma
        return np.asarray(x * factor + (beta - mean * factor))

    def direction(self, *constants: Array) -> Array:
        return np.sign(constants[0]).astype(np.int8)

    def preimage(self, half: HalfLine, *constants: Fraction) -> HalfLine:
        gamma, beta, mean, sigma = constants
        if gamma == 0:
            return HalfLine.all_or_none(beta in half)
        return half.moved(mean + (half.at - beta) * sigma / gamma, gamma < 0)

    def affine(self, *constants: Array) -> tuple[Any, Any]:
        gamma, beta, mean, sigma = constants
        factor = gamma / sigma
        return factor, beta - mean * factor


class _Clip(Function):
    """Clipped to [low, high], each of which may be infinite."""

    def values(self, x: Array, *constants: Array) -> Array:
        low, high = (c.astype(x.dtype) for c in constants)
        return np.asarray(np.minimum(np.maximum(x, low), high))

    def preimage(self, half: HalfLine, *constants: Fraction) -> HalfLine:
        high = constants[1]
        low = min(constants[0], high)  # where they are exchanged, all is `high`
        if (low in half) == (high in half):
            return HalfLine.all_or_none(low in half)
        return half


class _Leaky(Function):
    """x where that is positive, slope x elsewhere; the slope is above 0."""

    def values(self, x: Array, *constants: Array) -> Array:
        return np.asarray(np.where(x < 0, x * constants[0].astype(x.dtype), x))

    def preimage(self, half: HalfLine, *constants: Fraction) -> HalfLine:
        return half.moved(half.at / constants[0]) if half.at < 0 else half


@dataclass(frozen=True)
class _Curve(Function):
    """A rising curve between two limits that it does not reach."""

    low: float = -1.0
    high: float = 1.0

    def values(self, x: Array, *constants: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(_FORWARD[self.name](x)).astype(x.dtype)

    def preimage(self, half: HalfLine, *constants: Fraction) -> HalfLine:
        at = float(half.at)
        if not self.low < at < self.high:
            return HalfLine.all_or_none((at <= self.low) == half.is_up)
        return half.moved(Fraction(_BACKWARD[self.name](at)))


_FORWARD: dict[str, Any] = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
}
_BACKWARD: dict[str, Any] = {
    "tanh": math.atanh,
    "sigmoid": lambda y: math.log(y / (1 - y)),
    "softsign": lambda y: y / (1 - abs(y)),
}

CONTINUOUS: dict[str, Function] = {
    "add": _Add("add"),
    "multiply": _Multiply("multiply"),
    "divide": _Divide("divide"),
    "normalize": _Normalize("normalize"),
    "clip": _Clip("clip"),
    "leaky": _Leaky("leaky"),
    "tanh": _Curve("tanh"),
    "sigmoid": _Curve("sigmoid", low=0.0),
    "softsign": _Curve("softsign"),
}
"""By name; each takes its constants in the order of its `values`."""


@dataclass(frozen=True)
class Steps:
    """A function that jumps and is constant between: a sign, or a comparison.

    Parameters
    ----------
    closed : tuple of bool
        For each jump, upwards, whether its own place is above it already.
    outcomes : tuple of float
        The values, one more than jumps.
    """

    closed: tuple[bool, ...]
    outcomes: tuple[float, ...]

    def values(self, x: Array, at: Array) -> Array:
        """Of numbers `x`, all jumps lying at `at`."""
        rank = sum((x >= at) if is_closed else (x > at) for is_closed in self.closed)
        return np.asarray(self.outcomes, dtype=x.dtype)[np.asarray(rank, dtype=np.int64)]


SIGN = Steps((True, False), (-1.0, 0.0, 1.0))
"""-1, 0 at 0, 1."""


def compare(is_greater: bool, or_equal: bool, outcomes: Sequence[float] = (0.0, 1.0)) -> Steps:
    """A comparison with a number: its outcomes are for false and true."""
    false, true = outcomes
    if is_greater:
        return Steps((or_equal,), (false, true))
    return Steps((not or_equal,), (true, false))

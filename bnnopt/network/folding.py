"""Folding batch normalization into whole thresholds, in exact rational arithmetic.

A neuron is +1 iff ``gamma * (a - mu) / sigma + beta >= 0``. Dividing by gamma turns that into a
bound on the pre-activation ``a``:

- gamma > 0: ``a >= tau`` with ``tau = mu - beta * sigma / gamma``;
- gamma < 0: ``a <= tau``, stored as flipped weights with ``-a >= -tau``;
- gamma = 0: a constant, +1 iff ``beta >= 0``.

The first layer sees levels ``z = levels * x``, so its threshold is ``ceil(levels * tau)``, which
decides every image of whole levels as the rule does. Deeper pre-activations are integers of the
parity of f, the row's absolute weights, so their threshold is the smallest such integer that is at
least tau.

Inputs may be normalized: ``a = sum w (v - mean) / std`` over the inputs v that the neuron has, so
that the border of a zero-padded convolution gets only its share of the mean. Then ``a`` is
``unit * sum factor w (v - mean)`` with whole factors of the inputs and one unit for all.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array

from bnnopt.errors import NetworkFormatError
from bnnopt.network.checks import MAX_SINGLE, MAX_WEIGHT, numbers
from bnnopt.network.convolution import Convolution
from bnnopt.network.layers import HiddenLayer
from bnnopt.network.weights import LinearMap, read_weight

__all__ = ["fold", "whole_factors"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_LEVEL_SUM = 2**33
"""Sums of levels below this, on the grid of 2^-20, are exact in double precision."""

TRIALS = 2**20
"""Numbers of which `whole_factors` takes the best."""


def fold(
    weight: npt.ArrayLike | csr_array | Convolution,
    gamma: npt.ArrayLike,
    beta: npt.ArrayLike,
    mu: npt.ArrayLike,
    sigma: npt.ArrayLike,
    levels: int | None = None,
    *,
    mean: npt.ArrayLike = 0.0,
    std: npt.ArrayLike = 1.0,
) -> HiddenLayer:
    """Fold one batch-normalized sign layer.

    Parameters
    ----------
    weight : array_like or sparse matrix of int, shape (out, in), or Convolution
        Whole numbers; -1 and +1 in most networks.
    gamma, beta, mu, sigma : array_like of float, shape (out,), or (out_channels,)
        Trained scale and shift, running mean and standard deviation (sigma > 0), for a layer
        whose input is an image in [0, 1] or ±1 activations; one a channel for a convolution.
    levels : int, optional
        Steps between black and white for the first layer; None for a deeper one.
    mean, std : array_like of float, shape (), (in,), or (in_channels,) for a convolution
        The weights see ``(input - mean) / std``. Several deviations become whole factors of the
        weights, which are off by what `whole_factors` says. Activations of 0 and 1 are those of
        ±1 with mean -1 and std 2.

    Returns
    -------
    HiddenLayer
        A convolution remains one.

    Raises
    ------
    NetworkFormatError
        If a parameter is not finite, or sigma or std is not positive, or a shape does not fit.
    """
    linear = weight if isinstance(weight, LinearMap) else read_weight(weight)
    norms, channels = _channels(linear)
    scale, *others = (
        _read(value, name, norms)
        for name, value in {"gamma": gamma, "beta": beta, "mu": mu, "sigma": sigma}.items()
    )
    deviations = _read(std, "std", channels)
    for name, values in {"sigma": others[2], "std": deviations}.items():
        if np.any(values <= 0):
            raise NetworkFormatError(f"{name} must be positive, not {values.min()}")
    factors, unit, _ = whole_factors(deviations, _largest_factor(linear, levels))
    scaled = _scaled(linear, np.where(scale < 0, -1, 1), factors)
    bounds = [_bound(values, unit) for values in zip(scale, *others, strict=True)]
    shares = _shares(scaled, _read(mean, "mean", channels))
    return HiddenLayer(scaled, _thresholds(scaled, bounds, shares, levels))


def whole_factors(std: npt.ArrayLike, largest: int) -> tuple[IntArray, Fraction, float]:
    """Whole numbers in the ratio of the inverses of some deviations, or nearly so.

    Parameters
    ----------
    std : array_like of float, shape (count,)
        Positive.
    largest : int
        Of the factors.

    Returns
    -------
    factors : array of int64, shape (count,)
        ``1 / std`` is ``unit * factors``.
    unit : Fraction
    error : float
        The largest relative deviation from that; 0 where all deviations are equal. For two or
        three factors of up to 2**15 it is about 1e-7.
    """
    deviations, which = np.unique(numbers(std, "std").astype(np.float64), return_inverse=True)
    widest = float(deviations.max())
    ratios = widest / deviations
    if len(ratios) == 1:
        return np.ones(len(which), dtype=np.int64), 1 / Fraction(widest), 0.0
    last = max(int(largest / ratios.max()), 1)
    smallest = np.arange(max(last - TRIALS // len(ratios), 0), last) + 1.0
    exact = smallest[:, None] * ratios
    errors = np.abs(np.rint(exact) / exact - 1.0).max(axis=1)
    best = int(np.argmin(errors))
    unit = 1 / (int(smallest[best]) * Fraction(widest))
    return np.rint(exact[best]).astype(np.int64)[which], unit, float(errors[best])


def _channels(linear: LinearMap) -> tuple[int, int]:
    """How many norms a layer has, and how many means of its inputs."""
    if isinstance(linear, Convolution):
        return len(linear.kernel), linear.input_shape[0]
    return linear.shape


def _read(values: npt.ArrayLike, name: str, count: int) -> FloatArray:
    array = numbers(values, name).astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise NetworkFormatError(f"{name} must hold finite numbers")
    if array.shape not in ((), (count,)):
        raise NetworkFormatError(f"{name} has shape {array.shape}; it must be ({count},)")
    return np.broadcast_to(array, (count,))


def _largest_factor(linear: LinearMap, levels: int | None) -> int:
    """That keeps weights and sums within their bounds."""
    weights: Any = linear.kernel if isinstance(linear, Convolution) else linear.matrix
    size, total = int(abs(weights).max()), int(linear.spread(np.ones(linear.shape[1])).max())
    most = (MAX_SINGLE if levels is None else MAX_LEVEL_SUM // levels) - 1
    return min(MAX_WEIGHT // max(size, 1), most // max(total, 1))


def _scaled(linear: LinearMap, flip: IntArray, factors: IntArray) -> LinearMap:
    """With rows, or output channels, flipped and inputs multiplied by their factors."""
    if isinstance(linear, Convolution):
        seen = factors.reshape(linear.groups, linear.kernel.shape[1])  # of each group's channels
        each = np.repeat(seen, len(flip) // linear.groups, axis=0) * flip[:, None]
        return replace(linear, kernel=linear.kernel * each[:, :, None, None])
    if np.any(factors != 1):
        rows = diags_array(flip, dtype=None) @ csr_array(linear.matrix)
        return read_weight(rows @ diags_array(factors, dtype=None))
    if isinstance(linear.matrix, np.ndarray):
        return read_weight(linear.matrix * flip[:, None].astype(np.int8))
    return read_weight(diags_array(flip, dtype=None) @ linear.matrix)


def _bound(values: Iterable[float], unit: Fraction) -> Fraction | bool:
    """The bound on a sum of whole weights and inputs less their means; or a constant's sign."""
    gamma, beta, mu, sigma = (Fraction(float(value)) for value in values)
    if gamma == 0:
        return beta >= 0
    tau = (mu - beta * sigma / gamma) / unit
    return -tau if gamma < 0 else tau


def _shares(linear: LinearMap, means: FloatArray) -> list[Fraction]:
    """What the inputs' means add to each output's sum, exactly."""
    each = np.repeat(means, linear.shape[1] // len(means))
    values = np.unique(means[means != 0.0])
    exact = [Fraction(float(value)) for value in values]
    unit = max((value.denominator for value in exact), default=1)  # all are powers of 2
    whole = [int(value * unit) for value in exact]
    sums = linear.sums((each == values[:, None]).astype(np.float64)).T.astype(np.int64)

    @cache  # away from their border, the outputs of a convolution have few shares
    def total(weights: tuple[int, ...]) -> Fraction:
        return Fraction(sum(map(operator.mul, whole, weights)), unit)

    return [total(tuple(weights)) for weights in sums.tolist()]


def _thresholds(
    linear: LinearMap,
    bounds: Sequence[Fraction | bool],
    shares: Sequence[Fraction],
    levels: int | None,
) -> IntArray:
    places = linear.shape[0] // len(bounds)
    sizes = linear.spread(np.ones(linear.shape[1])).astype(np.int64).tolist()

    @cache  # away from their border, the neurons of a channel have one threshold
    def threshold(channel: int, share: Fraction, size: int) -> int:
        bound, largest, step = bounds[channel], size * (levels or 1), 1 if levels else 2
        if isinstance(bound, bool):
            return -largest if bound else largest + step
        # The integers that a sum can be are -largest, -largest + step, ..., largest.
        rank = ceil(((bound + share) * (levels or 1) + largest) / step)
        return -largest + step * min(max(rank, 0), 2 * largest // step + 1)

    rows = enumerate(zip(shares, sizes, strict=True))
    found = [threshold(row // places, share, size) for row, (share, size) in rows]
    return np.array(found, dtype=np.int64)

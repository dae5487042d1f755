"""Folding batch normalization into integer thresholds, in exact rational arithmetic.

A neuron is +1 iff ``gamma * (a - mu) / sigma + beta >= 0``. Dividing by gamma turns that into a
bound on the pre-activation ``a``:

- gamma > 0: ``a >= tau`` with ``tau = mu - beta * sigma / gamma``;
- gamma < 0: ``a <= tau``, stored as flipped weights with ``-a >= -tau``;
- gamma = 0: a constant, +1 iff ``beta >= 0``.

The first layer sees levels ``z = levels * x``, so its threshold is ``ceil(levels * tau)``, which
decides every image of whole levels as the rule does. Deeper pre-activations are integers of the
parity of the fan-in, so their threshold is the smallest such integer that is at least tau.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.network.layers import HiddenLayer

__all__ = ["fold"]


def fold(
    weight: npt.ArrayLike,
    gamma: npt.ArrayLike,
    beta: npt.ArrayLike,
    mu: npt.ArrayLike,
    sigma: npt.ArrayLike,
    levels: int | None = None,
) -> HiddenLayer:
    """Fold one batch-normalized sign layer.

    Parameters
    ----------
    weight : array_like, shape (out, in)
        Entries -1 or +1.
    gamma, beta, mu, sigma : array_like of float, shape (out,)
        Trained scale and shift, running mean and standard deviation (sigma > 0), for a layer
        whose input is an image in [0, 1] or ±1 activations.
    levels : int, optional
        Steps between black and white for the first layer; None for a deeper one.

    Returns
    -------
    HiddenLayer

    Raises
    ------
    NetworkFormatError
        If a parameter is not finite or a sigma is not positive.
    """
    parameters = np.array([gamma, beta, mu, sigma], dtype=np.float64)
    if not np.all(np.isfinite(parameters)) or np.any(parameters[3] <= 0):
        raise NetworkFormatError("batch normalization needs finite parameters and sigma > 0")
    weight = np.asarray(weight)
    flip = np.where(parameters[0] < 0, -1, 1)
    threshold = [
        _threshold([Fraction(value) for value in column], weight.shape[1], levels)
        for column in parameters.T.tolist()
    ]
    return HiddenLayer(weight * flip[:, None], np.array(threshold, dtype=np.int64))


def _threshold(parameters: list[Fraction], fan_in: int, levels: int | None) -> int:
    gamma, beta, mu, sigma = parameters
    largest = fan_in * (levels or 1)
    step = 1 if levels else 2
    if gamma == 0:
        return -largest if beta >= 0 else largest + step
    tau = mu - beta * sigma / gamma
    if gamma < 0:
        tau = -tau
    # The integers that a pre-activation can take are -largest, -largest + step, ..., largest.
    rank = ceil((tau * (levels or 1) + largest) / step)
    return -largest + step * min(max(rank, 0), 2 * largest // step + 1)

"""Threshold layers made of others: side by side, behind sums, and of signs that may be 0."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array, eye_array, hstack, vstack

from bnnopt.errors import NetworkFormatError
from bnnopt.network.layers import HiddenLayer, OutputLayer

__all__ = ["after_sums", "stack", "zero_signs"]

Layer = TypeVar("Layer", HiddenLayer, OutputLayer)


def stack(*layers: HiddenLayer) -> HiddenLayer:
    """Layers of the same input side by side: the neurons of the first, then of the second, ...

    Parameters
    ----------
    *layers : HiddenLayer
        All of one number of inputs.

    Examples
    --------
    Signs that skip a layer, beside what it makes of them:

    >>> from bnnopt.network.compose import stack
    >>> from bnnopt.network.unroll import conv2d, sum_pool2d
    >>> both = stack(conv2d([[[[1, -1]]]], 0, (1, 3, 3)), sum_pool2d((1, 3, 3), 1, 0))
    >>> both.shape
    (15, 9)
    """
    inputs = {layer.shape[1] for layer in layers}
    if len(inputs) != 1:
        raise NetworkFormatError(f"layers side by side need the same inputs, not {sorted(inputs)}")
    rows = vstack([csr_array(layer.weight) for layer in layers], format="csr")
    return HiddenLayer(rows, np.concatenate([layer.threshold for layer in layers]))


def after_sums(sums: HiddenLayer, following: Layer, divisor: int = 1) -> Layer:
    """One layer for sums without a sign and the layer behind: average pooling before a linear one.

    Parameters
    ----------
    sums : HiddenLayer
        Its weights count, such as those of `sum_pool2d`; its thresholds do not.
    following : HiddenLayer or OutputLayer
        What sees the sums, divided by `divisor`.
    divisor : int
        4 for means of windows of 2 x 2.

    Returns
    -------
    HiddenLayer or OutputLayer
        Of the inputs of `sums`; its weights are the products of the two.
    """
    return following.behind(csr_array(sums.weight), divisor)


def zero_signs(
    layer: HiddenLayer,
    following: Layer,
    levels: int | None = None,
    exact: npt.ArrayLike = True,
) -> tuple[HiddenLayer, Layer]:
    """Neurons that are 0 where their sum equals the threshold, as ``torch.sign`` has them.

    Such a neuron is half the difference of two: +1 iff ``sum >= threshold``, and +1 iff
    ``-sum >= -threshold``. Where the sum cannot equal the threshold, one neuron does.

    Parameters
    ----------
    layer : HiddenLayer
        Neuron j stands for ``sign(weight[j] @ input - threshold[j])``, which may be 0.
    following : HiddenLayer or OutputLayer
        What sees those signs: -1, 0 or +1.
    levels : int, optional
        The network's, if `layer` is its first; None for a deeper one, whose inputs are ±1.
    exact : array_like of bool, shape (out,), optional
        Neurons whose threshold is what it stands for. One that was rounded up, as folding does,
        is no sum at which the neuron is 0.

    Returns
    -------
    layer : HiddenLayer
        Neurons of ±1: all as they were, and behind them the seconds of those that need one.
    following : HiddenLayer or OutputLayer
        The same outputs, of those.
    """
    is_pair = _meets_threshold(layer, levels) & np.asarray(exact, dtype=bool)
    pairs = np.flatnonzero(is_pair)
    if not len(pairs):
        return layer, following
    seconds = HiddenLayer(-layer.rows(pairs), -layer.threshold[pairs])
    first = diags_array(np.where(is_pair, 1, 2), dtype=np.int64)
    second = eye_array(len(is_pair), dtype=np.int64, format="csr")[:, pairs]
    twice = hstack([first, -second], format="csr")
    return stack(layer, seconds), following.behind(twice, 2)


def _meets_threshold(layer: HiddenLayer, levels: int | None) -> npt.NDArray[np.bool_]:
    """Whether each neuron's sum can equal its threshold."""
    if levels is None:
        gap = layer.magnitude - np.abs(layer.threshold)
        return np.asarray((gap >= 0) & (gap % 2 == 0))
    total = layer.pre_activation(np.ones((1, layer.shape[1])))[0]
    low, high = (total - layer.magnitude) / 2 * levels, (total + layer.magnitude) / 2 * levels
    return np.asarray((layer.threshold >= low) & (layer.threshold <= high))

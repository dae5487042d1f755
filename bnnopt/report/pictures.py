"""Images of any shape as what can be drawn: signals, grey images, colour images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

__all__ = ["picture", "plot", "show"]

FloatArray = npt.NDArray[np.float64]

GAP = 1
"""Pixels between the channels of an image that is no colour image."""


def picture(image: FloatArray) -> FloatArray:
    """A signal (n,), a grey image (h, w) or a colour image (h, w, 3), of an image of any shape."""
    image = np.squeeze(image)
    if image.ndim < 3:
        return np.atleast_1d(image)
    if image.ndim == 3 and 3 in (image.shape[0], image.shape[-1]):
        return np.moveaxis(image, 0, -1) if image.shape[0] == 3 else image
    if image.ndim == 3 and image.shape[-1] < min(image.shape[:2]):
        image = np.moveaxis(image, -1, 0)
    return _tiled(image.reshape(-1, *image.shape[-2:]))


def _tiled(channels: FloatArray) -> FloatArray:
    """Grey images, shape (count, h, w), in one, row by row with nothing between them."""
    columns = math.ceil(math.sqrt(len(channels)))
    height, width = channels.shape[1] + GAP, channels.shape[2] + GAP
    rows = math.ceil(len(channels) / columns)
    sheet = np.full((rows * height - GAP, columns * width - GAP), np.nan)
    for number, channel in enumerate(channels):
        top, left = (number // columns) * height, (number % columns) * width
        sheet[top : top + height - GAP, left : left + width - GAP] = channel
    return sheet


def show(axis: Axes, picture: FloatArray, **how: Any) -> AxesImage:
    """A grey image or a colour image; further arguments are ``imshow``'s."""
    height, width = picture.shape[:2]
    slim = max(height, width) > 5 * min(height, width)
    axis.set_facecolor("lightsteelblue")  # of gaps between channels, as no grey is
    axis.set_xticks([])
    axis.set_yticks([])
    aspect: Any = "auto" if slim else "equal"
    return axis.imshow(picture, aspect=aspect, interpolation="nearest", **how)


def plot(axis: Axes, signal: FloatArray, low: float, high: float) -> None:
    """A signal as steps; a change, whose `low` is negative, as bars from 0."""
    is_change = low < 0.0
    edges = np.arange(len(signal) + 1) - 0.5
    axis.stairs(signal, edges, fill=is_change, baseline=0.0 if is_change else None, color="0.2")
    if is_change:
        axis.axhline(0.0, color="0.2", linewidth=0.6)
    slack = 0.05 * (high - low)
    axis.set_ylim(low - slack, high + slack)
    axis.set_yticks([low, (low + high) / 2.0, high])
    axis.set_yticklabels([f"{tick:.3g}" for tick in (low, (low + high) / 2.0, high)])
    axis.set_xlim(-0.5, len(signal) - 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axis.tick_params(labelsize=7)

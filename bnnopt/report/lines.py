"""Figures with lines: Figure 1's logits, and Figure 4's progress over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from bnnopt.network import BinarizedNetwork
from bnnopt.report.bootstrap import mean_interval
from bnnopt.report.panels import Look, add_legend, grid, panels, spell_out
from bnnopt.report.results import bounds_at, incumbents
from bnnopt.row_units import layer_scales, layer_units

__all__ = ["SOONEST", "logits_along_a_pixel", "over_time", "surrogate_logits"]

FloatArray = npt.NDArray[np.float64]

Curve = Callable[["pd.Series[float]", Any], FloatArray]
"""What a row of the table had at some times."""

STEPS = 201
PIXELS = 100
WORK = 2**26
"""Neurons that are evaluated to choose a pixel, at most."""

TIMES = 120
INTERVALS = 4
"""Of each curve."""

SOONEST = 0.01
"""Seconds; whatever is sooner is drawn there."""


def surrogate_logits(network: BinarizedNetwork, levels: FloatArray) -> FloatArray:
    """Logits of the differentiable network that gradient attacks see instead.

    The sign of each neuron is replaced by the pre-activation less its threshold, over about the
    spread of pre-activations (`bnnopt.row_units.layer_scales`), clipped to [-1, 1].

    Parameters
    ----------
    network : BinarizedNetwork
        Whose signs are replaced.
    levels : array of float, shape (batch, n)
        What its first layer sees.

    Returns
    -------
    array of float64, shape (batch, C)
    """
    values = levels
    for layer, scale in zip(network.hidden, layer_scales(network), strict=True):
        distances = (layer.pre_activation(values) - layer.threshold) / layer_units(layer)
        values = np.clip(distances / scale, -1.0, 1.0)
    return network.output(values)


def logits_along_a_pixel(
    network: BinarizedNetwork, image: FloatArray, class_names: Sequence[str]
) -> Figure:
    """Figure 1: logits of the network and of its surrogate as one pixel goes from 0 to 1.

    The two classes are the prediction and the runner-up; of up to 100 pixels, fewer where the
    network is large, the one along which the true logits change most often.

    Parameters
    ----------
    network : BinarizedNetwork
        Whose logits are drawn.
    image : array of float, shape (n,)
        In [0, 1].
    class_names : sequence of str
        For the key.
    """
    values = np.linspace(0.0, 1.0, STEPS)
    start = network.levels_of(image)[0]
    classes = np.argsort(-network.logits(image), kind="stable")[:2]
    count = int(np.clip(WORK // (STEPS * sum(network.widths)), 3, PIXELS))
    candidates = np.unique(np.linspace(0, len(start) - 1, count).astype(int))
    lines = {int(pixel): _line(start, int(pixel), values, network.levels) for pixel in candidates}
    pixel = max(lines, key=lambda at: _changes(network.logits_of_levels(lines[at])[:, classes]))
    figure, axes = grid(2, 2.6, is_shared=False)
    drawn = {
        "binarized network": network.logits_of_levels(lines[pixel]),
        "surrogate": surrogate_logits(network, lines[pixel]),
    }
    handles: dict[str, Artist] = {}
    for (axis, first), (title, logits) in zip(axes, drawn.items(), strict=True):
        for number, dash in zip(classes, ("-", "--"), strict=True):
            (handles[class_names[number]],) = axis.plot(values, logits[:, number], dash)
        axis.set(title=title, xlabel=f"value of pixel {pixel}")
        if first:
            axis.set_ylabel("logit")
    add_legend(figure, handles)
    return figure


def _line(start: FloatArray, pixel: int, values: FloatArray, levels: int) -> FloatArray:
    points = np.tile(start, (len(values), 1))
    points[:, pixel] = np.round(values * levels)
    return points


def _changes(logits: FloatArray) -> int:
    return int(np.count_nonzero(np.diff(logits, axis=0)))


def over_time(frame: pd.DataFrame, shown: dict[str, Look]) -> Figure:
    """Figure 4: the mean normalized objective of the incumbents against wall time.

    Intervals stand side by side, at times of each series' own: bands of several lie on each other.
    A thin line of the same color is the mean of the bounds, from when all attacks of a series have
    one.

    Parameters
    ----------
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    shown : dict
        The `Look` of each series.
    """
    longest = max(float(frame["wall_time"].max()), 10 * SOONEST)
    times = np.geomspace(SOONEST, longest, TIMES)
    figure, places = panels(frame, 2.6)
    handles: dict[str, Artist] = {}
    for axis, rows, first in places:
        groups = dict(iter(rows.groupby("series", sort=False)))
        for number, (name, group) in enumerate(groups.items()):
            mean, low, high = mean_interval(_of_images(group, incumbents, times))
            look = shown[str(name)]
            (handles[str(name)],) = axis.plot(times, mean, look.dash, color=look.color)
            bound = _of_images(group, bounds_at, times).mean(axis=0)
            if np.isfinite(bound).any():
                axis.plot(times, bound, look.dash, color=look.color, linewidth=0.6)
            start = round((number + 0.5) * TIMES / INTERVALS / len(groups))
            at = slice(start, None, TIMES // INTERVALS)
            reach = [(mean - low)[at], (high - mean)[at]]
            how: dict[str, Any] = {"fmt": "none", "elinewidth": 0.8, "capsize": 1.5}
            axis.errorbar(times[at], mean[at], reach, ecolor=look.color, **how)
        axis.set(xscale="log", xlabel="seconds")
        spell_out(axis.xaxis)
        if first:
            axis.set_ylabel("normalized objective")
    add_legend(figure, handles)
    return figure


def _of_images(group: pd.DataFrame, curve: Curve, times: FloatArray) -> FloatArray:
    """The curve of each image, shape (images, times): the mean of its attacks."""
    curves = np.array([curve(row, times) for _, row in group.iterrows()])
    images = group["image"].to_numpy()
    return np.array([curves[images == image].mean(axis=0) for image in np.unique(images)])

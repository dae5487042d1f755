"""Figures with lines: Figure 1's logits, Figure 4's progress over time, the cactus plot."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from bnnopt.network import BinarizedNetwork
from bnnopt.report.bootstrap import mean_interval
from bnnopt.report.panels import Look, panels
from bnnopt.report.results import incumbents
from bnnopt.row_units import layer_scales, layer_units

__all__ = ["cactus", "logits_along_a_pixel", "over_time", "surrogate_logits"]

FloatArray = npt.NDArray[np.float64]

STEPS = 201
PIXELS = 100
WORK = 2**26
"""Neurons that are evaluated to choose a pixel, at most."""

TIMES = 120
SOONEST = 0.01


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


def logits_along_a_pixel(network: BinarizedNetwork, image: FloatArray) -> Figure:
    """Figure 1: logits of the network and of its surrogate as one pixel goes from 0 to 1.

    The two classes are the prediction and the runner-up; of up to 100 pixels, fewer where the
    network is large, the one along which the true logits change most often.

    Parameters
    ----------
    network : BinarizedNetwork
        Whose logits are drawn.
    image : array of float, shape (n,)
        In [0, 1].
    """
    values = np.linspace(0.0, 1.0, STEPS)
    start = network.levels_of(image)[0]
    classes = np.argsort(-network.logits(image), kind="stable")[:2]
    count = int(np.clip(WORK // (STEPS * sum(network.widths)), 3, PIXELS))
    candidates = np.unique(np.linspace(0, len(start) - 1, count).astype(int))
    lines = {int(pixel): _line(start, int(pixel), values, network.levels) for pixel in candidates}
    pixel = max(lines, key=lambda at: _changes(network.logits_of_levels(lines[at])[:, classes]))
    figure = Figure(figsize=(6.4, 2.6))
    truth, relaxed = figure.subplots(1, 2)
    for axis, title, logits in (
        (truth, "binarized network", network.logits_of_levels(lines[pixel])),
        (relaxed, "surrogate", surrogate_logits(network, lines[pixel])),
    ):
        for number, dash in zip(classes, ("-", "--"), strict=True):
            axis.plot(values, logits[:, number], dash, label=f"class {number}")
        axis.set(title=title, xlabel=f"value of pixel {pixel}", ylabel="logit")
        axis.legend()
    return figure


def _line(start: FloatArray, pixel: int, values: FloatArray, levels: int) -> FloatArray:
    points = np.tile(start, (len(values), 1))
    points[:, pixel] = np.round(values * levels)
    return points


def _changes(logits: FloatArray) -> int:
    return int(np.count_nonzero(np.diff(logits, axis=0)))


def over_time(frame: pd.DataFrame, shown: dict[str, Look]) -> Figure:
    """Figure 4: the mean normalized objective of the incumbents against wall time.

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
    for axis, rows, first in places:
        for name, group in rows.groupby("series", sort=False):
            curves = pd.DataFrame([incumbents(row, times) for _, row in group.iterrows()])
            curves = curves.groupby(group["image"].to_numpy()).mean()
            mean, low, high = mean_interval(curves.to_numpy())
            look = shown[str(name)]
            axis.plot(times, mean, look.dash, color=look.color, label=name)
            axis.fill_between(times, low, high, color=look.color, alpha=0.15, linewidth=0)
        axis.set(xscale="log", xlabel="seconds")
        if first:
            axis.set_ylabel("normalized objective")
    _line_legend(figure)
    return figure


def cactus(frame: pd.DataFrame, shown: dict[str, Look]) -> Figure:
    """Attacks proved optimal against the seconds that each may take.

    Parameters
    ----------
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    shown : dict
        The `Look` of each series.
    """
    datasets = sorted(frame["dataset"].unique())
    figure = Figure(figsize=(3.2 * len(datasets) + 0.6, 3.0))
    for place, dataset in enumerate(datasets):
        axis = figure.add_subplot(1, len(datasets), place + 1)
        rows = frame[(frame["dataset"] == dataset) & (frame["proved"] > 0)]
        for name, group in rows.groupby("series", sort=False):
            seconds = np.sort(group["wall_time"].to_numpy()).clip(SOONEST)
            look = shown[str(name)]
            counts = np.arange(1, len(seconds) + 1)
            how: dict[str, Any] = {"color": look.color, "marker": ".", "markersize": 3}
            axis.step(counts, seconds, look.dash, where="post", label=name, **how)
        axis.set(title=dataset, xlabel="attacks proved optimal", ylabel="seconds", yscale="log")
    _line_legend(figure)
    return figure


def _line_legend(figure: Figure) -> None:
    found: dict[str, Artist] = {}
    for axis in figure.axes:
        handles, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    if found:
        columns = max(1, min(len(found), int(figure.get_figwidth() / 1.6)))
        figure.legend(found.values(), found, loc="outside lower center", ncols=columns)

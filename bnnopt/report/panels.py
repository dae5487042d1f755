"""Panels of a figure, one a data set and epsilon; bars and boxes by network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bnnopt.report.bootstrap import mean_interval

__all__ = ["Look", "bars", "boxes", "looks", "panels"]

HATCHES = ("", "////", "....", "xxxx")
DASHES = ("-", "--", ":", "-.")
GROUP_WIDTH = 0.84
MOST_INCHES = 11.0
"""Of epsilons side by side, as in the paper."""


@dataclass(frozen=True)
class Look:
    """How a series is drawn, in every figure the same.

    Parameters
    ----------
    color : str
        Of lines and areas.
    hatch : str
        Of areas, beside others of one colour.
    dash : str
        Of lines, likewise.
    """

    color: str
    hatch: str
    dash: str


def looks(series: Sequence[str]) -> dict[str, Look]:
    """A look for each series, no two alike, also without colour where they share one.

    Parameters
    ----------
    series : sequence of str
        Their names, in the order of the key.
    """
    colors = [to_hex(color) for color in mpl.rcParams["axes.prop_cycle"].by_key()["color"]]
    found = {}
    for number, name in enumerate(series):
        turn, place = divmod(number, len(colors))
        found[name] = Look(colors[place], HATCHES[turn % len(HATCHES)], DASHES[turn % len(DASHES)])
    return found


def panels(
    frame: pd.DataFrame, width: float
) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame, bool]]]:
    """A figure with a panel a data set and epsilon; epsilons go down where they are too many.

    Parameters
    ----------
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    width : float
        Inches a panel.

    Returns
    -------
    figure : Figure
    panels : iterator of (Axes, DataFrame, bool)
        A panel, its rows, and whether it is the first of its row of panels.
    """
    datasets = sorted(frame["dataset"].unique())
    epsilons = sorted(frame["epsilon"].unique())
    rows, columns = [*datasets], [*epsilons]
    turned = width * len(columns) > MOST_INCHES
    if turned:
        rows, columns = columns, rows
    figure = Figure(figsize=(width * len(columns) + 0.8, 2.0 * len(rows) + 0.7))
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharey=True)

    def walk() -> Iterator[tuple[Axes, pd.DataFrame, bool]]:
        for axes, row in zip(grid, rows, strict=True):
            for axis, column in zip(axes, columns, strict=True):
                dataset, epsilon = (column, row) if turned else (row, column)
                axis.set_title(f"{dataset}, ε = {epsilon:g}")
                chosen = (frame["dataset"] == dataset) & (frame["epsilon"] == epsilon)
                yield axis, frame[chosen], axis is axes[0]

    return figure, walk()


def bars(frame: pd.DataFrame, value: str, label: str, shown: dict[str, Look]) -> Figure:
    """The mean of a column by network and series, with bootstrap intervals over images.

    Parameters
    ----------
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    value : str
        The column.
    label : str
        Of its axis.
    shown : dict
        The `Look` of each series.
    """

    def draw(axis: Axes, places: list[float], width: float, groups: list[Any], look: Look) -> None:
        found = [mean_interval(group.groupby("image")[value].mean()) for group in groups]
        mean, low, high = (np.array(part) for part in zip(*found, strict=True))
        axis.bar(places, mean, width, color=look.color, hatch=look.hatch, edgecolor="white")
        axis.errorbar(
            places, mean, [mean - low, high - mean], fmt="none", ecolor="0.2", elinewidth=0.6
        )

    return _by_network(frame, label, shown, draw)


def boxes(frame: pd.DataFrame, value: str, label: str, shown: dict[str, Look]) -> Figure:
    """Box plots of a column over images, by network and series.

    Parameters
    ----------
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    value : str
        The column.
    label : str
        Of its axis.
    shown : dict
        The `Look` of each series.
    """

    def draw(axis: Axes, places: list[float], width: float, groups: list[Any], look: Look) -> None:
        drawn = axis.boxplot(
            [group[value].to_numpy() for group in groups],
            positions=places,
            widths=width * 0.85,
            patch_artist=True,
            manage_ticks=False,
            flierprops={"markersize": 2, "markeredgecolor": look.color},
            medianprops={"color": "black"},
        )
        for box in drawn["boxes"]:
            box.set(facecolor=look.color, hatch=look.hatch, edgecolor="0.2")

    return _by_network(frame, label, shown, draw)


def _by_network(
    frame: pd.DataFrame, label: str, shown: dict[str, Look], draw: Callable[..., None]
) -> Figure:
    """A group of marks a network, in each a mark a series."""
    series = [name for name in shown if name in set(frame["series"])]
    order = frame.sort_values(["depth", "width", "network"])["architecture"].unique()
    width = GROUP_WIDTH / len(series)
    figure, places = panels(frame, max(2.0, 0.5 + len(order) * (0.065 * len(series) + 0.15)))
    for axis, rows, first in places:
        for number, name in enumerate(series):
            groups = dict(iter(rows[rows["series"] == name].groupby("architecture")))
            at = [i for i, architecture in enumerate(order) if architecture in groups]
            if at:
                shift = (number - (len(series) - 1) / 2) * width
                chosen = [groups[order[i]] for i in at]
                draw(axis, [i + shift for i in at], width, chosen, shown[name])
        axis.set_xticks(range(len(order)), order, rotation=30 if len(order) > 3 else 0)
        axis.set_xlim(-0.6, len(order) - 0.4)
        if first:
            axis.set_ylabel(label)
    _legend(figure, series, shown)
    return figure


def _legend(figure: Figure, series: Sequence[str], shown: dict[str, Look]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=shown[name].color, hatch=shown[name].hatch, edgecolor="white", label=name)
        for name in series
    ]
    columns = max(1, min(len(handles), int(figure.get_figwidth() / 1.6)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)

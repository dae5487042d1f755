"""Panels of a figure, one a data set and epsilon; bars and boxes by network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bnnopt.report.bootstrap import mean_interval
from bnnopt.report.theme import INK, PAPER, QUIET

__all__ = ["Look", "add_legend", "bars", "boxes", "grid", "looks", "panels", "spell_out"]

HATCHES = ("", "////", "....", "xxxx")
DASHES = ("-", "--", ":", "-.")
GROUP_WIDTH = 0.84
PANEL_WIDTH = 2.8
"""Inches that a panel gets where there is room."""

MARGIN = 0.8
"""Inches beside the panels, for the label of the axis."""


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


def grid(
    count: int, width: float, columns: int = 0, *, is_shared: bool = True
) -> tuple[Figure, list[tuple[Axes, bool]]]:
    """A figure with `count` panels, in lines that are as long as the style lets figures be wide.

    Parameters
    ----------
    count : int
        At least 1.
    width : float
        Inches that a panel needs.
    columns : int
        Panels a line, if they fit; as many as fit for 0.
    is_shared : bool
        Whether all have one vertical axis.

    Returns
    -------
    figure : Figure
    panels : list of (Axes, bool)
        A panel, and whether it is the first of its line.
    """
    room = mpl.rcParams["figure.figsize"][0] - MARGIN
    fit = max(1, int(room / width))
    columns = columns if 0 < columns <= fit else min(fit, count)
    lines = -(-count // columns)
    width = max(width, min(PANEL_WIDTH, room / columns))
    figure = Figure(figsize=(width * columns + MARGIN, 2.0 * lines + 0.4))
    axes = figure.subplots(lines, columns, squeeze=False, sharey=is_shared).ravel()
    for empty in axes[count:]:
        empty.remove()
    return figure, [(axis, place % columns == 0) for place, axis in enumerate(axes[:count])]


def panels(
    frame: pd.DataFrame, width: float
) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame, bool]]]:
    """A figure with a panel a data set and epsilon; epsilons go down where they are too many.

    Parameters
    ----------
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    width : float
        Inches that a panel needs.

    Returns
    -------
    figure : Figure
    panels : iterator of (Axes, DataFrame, bool)
        A panel, its rows, and whether it is the first of its line of panels.
    """
    datasets = sorted(frame["dataset"].unique())
    epsilons = sorted(frame["epsilon"].unique())
    places = [(dataset, epsilon) for dataset in datasets for epsilon in epsilons]
    columns = len(epsilons)
    if width * columns > mpl.rcParams["figure.figsize"][0] - MARGIN and len(datasets) > 1:
        places.sort(key=lambda place: place[1])
        columns = len(datasets)
    figure, axes = grid(len(places), width, columns)

    def walk() -> Iterator[tuple[Axes, pd.DataFrame, bool]]:
        for (axis, first), (dataset, epsilon) in zip(axes, places, strict=True):
            axis.set_title(f"{dataset}, ε = {epsilon:g}")
            chosen = (frame["dataset"] == dataset) & (frame["epsilon"] == epsilon)
            yield axis, frame[chosen], first

    return figure, walk()


def bars(frame: pd.DataFrame, value: str, label: str, shown: dict[str, Look]) -> Figure:
    """The mean of a column by network and series, with bootstrap intervals over images.

    No value is below 0. A mean of 0 is written as 0, so that it is not taken for a series without
    results, which has a cross.

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
        axis.bar(places, mean, width, color=look.color, hatch=look.hatch, edgecolor=PAPER)
        axis.errorbar(
            places, mean, [mean - low, high - mean], fmt="none", ecolor=INK, elinewidth=0.6
        )
        for place in np.array(places)[mean == 0.0]:
            _mark(axis, place, "0", INK)

    figure = _by_network(frame, label, shown, draw)
    figure.axes[0].set_ylim(bottom=0.0)
    return figure


def _mark(axis: Axes, place: float, text: str, color: str) -> None:
    """A sign at the foot of the panel, where a bar would stand."""
    how: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7}
    foot = axis.get_xaxis_transform()
    axis.annotate(text, (place, 0.0), (0, 1), xycoords=foot, color=color, **how)


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
            medianprops={"color": INK},
            whiskerprops={"color": INK},
            capprops={"color": INK},
        )
        for box in drawn["boxes"]:
            box.set(facecolor=look.color, hatch=look.hatch, edgecolor=INK)

    return _by_network(frame, label, shown, draw)


def _by_network(
    frame: pd.DataFrame, label: str, shown: dict[str, Look], draw: Callable[..., None]
) -> Figure:
    """A group of marks a network, in each a mark a series."""
    series = [name for name in shown if name in set(frame["series"])]
    most = frame.groupby(["dataset", "epsilon"])["architecture"].nunique().max()
    width = GROUP_WIDTH / len(series)
    figure, places = panels(frame, max(2.0, 0.5 + most * (0.065 * len(series) + 0.15)))
    for axis, rows, first in places:
        order = list(rows.sort_values(["depth", "width", "network"])["architecture"].unique())
        for number, name in enumerate(series):
            groups = dict(iter(rows[rows["series"] == name].groupby("architecture")))
            shift = (number - (len(series) - 1) / 2) * width
            at = {i + shift: groups[each] for i, each in enumerate(order) if each in groups}
            if at:
                draw(axis, list(at), width, list(at.values()), shown[name])
            for missing in [i + shift for i in range(len(order)) if i + shift not in at]:
                _mark(axis, missing, "×", QUIET)
        axis.set_xticks(range(len(order)), order)
        if len(order) > 3 or max(map(len, order)) * len(order) > 30:
            axis.tick_params("x", rotation=30)
        axis.set_xlim(-0.6, len(order) - 0.4)
        if first:
            axis.set_ylabel(label)
    handles = [
        Patch(facecolor=shown[name].color, hatch=shown[name].hatch, edgecolor=PAPER)
        for name in series
    ]
    add_legend(figure, dict(zip(series, handles, strict=True)))
    return figure


def add_legend(figure: Figure, handles: dict[str, Artist]) -> None:
    """A legend below, in as many columns as the names leave room for; the figure grows by it.

    Parameters
    ----------
    figure : Figure
        With room for nothing below its axes.
    handles : dict
        What stands for each name.
    """
    inches = 0.5 + 0.065 * max(map(len, handles), default=1)
    columns = max(1, min(len(handles), int(figure.get_figwidth() / inches)))
    height = figure.get_figheight() + 0.17 * -(-len(handles) // columns)
    figure.set_figheight(height)
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=columns)


def spell_out(axis: Axis) -> None:
    """The numbers of a logarithmic axis as 0.1, not as powers; 2 and 5 too where it is short.

    Parameters
    ----------
    axis : Axis
        Of logarithmic scale.
    """
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0,) if high > 50.0 * low else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())

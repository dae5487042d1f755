"""Figures of how soon attacks are proved: the cactus plot, and performance profiles of solvers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bnnopt.report.lines import SOONEST
from bnnopt.report.panels import Look, add_legend, grid, spell_out
from bnnopt.report.results import INSTANCE

__all__ = ["cactus", "profile", "ratios"]

WIDTH = 2.9
"""Inches a panel."""


def cactus(frame: pd.DataFrame, shown: dict[str, Look]) -> Figure:
    """Attacks proved against the seconds that each may take, a panel a data set."""
    datasets = sorted(frame["dataset"].unique())
    figure, places = grid(len(datasets), WIDTH)
    handles: dict[str, Artist] = {}
    for (axis, first), dataset in zip(places, datasets, strict=True):
        rows = frame[(frame["dataset"] == dataset) & (frame["proved"] > 0)]
        for name, group in rows.groupby("series", sort=False):
            seconds = np.sort(group["wall_time"].to_numpy()).clip(SOONEST)
            look = shown[str(name)]
            counts = np.arange(1, len(seconds) + 1)
            how: dict[str, Any] = {"color": look.color, "marker": ".", "markersize": 3}
            (handles[str(name)],) = axis.step(counts, seconds, look.dash, where="post", **how)
        axis.set(title=dataset, xlabel="attacks proved", yscale="log")
        axis.set_xlim(left=0)
        axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        spell_out(axis.yaxis)
        if first:
            axis.set_ylabel("seconds")
    add_legend(figure, handles)
    return figure


def ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """How many times as long as the fastest solver each solver takes to prove each instance.

    Parameters
    ----------
    frame : DataFrame
        The rows of one attack: see `bnnopt.report.results.finished`.

    Returns
    -------
    DataFrame
        A row an instance that every solver has finished, a column a series; at least 1, and
        infinite where a solver did not prove it.

    References
    ----------
    Dolan and Moré, Benchmarking optimization software with performance profiles, 2002.
    """
    seconds = frame["wall_time"].clip(lower=SOONEST).where(frame["proved"] > 0, np.inf)
    table = frame.assign(seconds=seconds).pivot_table("seconds", INSTANCE, "series", sort=False)
    table = table.dropna()
    fastest = table.min(axis=1).replace(np.inf, 1.0)
    return table.div(fastest, axis=0)


def profile(frame: pd.DataFrame, shown: dict[str, Look]) -> Figure:
    """Share of the instances that a solver proves within a factor of the fastest, by attack."""
    tables = {str(attack): ratios(rows) for attack, rows in frame.groupby("attack", sort=False)}
    figure, places = grid(len(tables), WIDTH)
    handles: dict[str, Artist] = {}
    for (axis, first), (attack, table) in zip(places, tables.items(), strict=True):
        found = table.to_numpy()
        longest = 1.2 * max(2.0, found[np.isfinite(found)].max(initial=1.0))
        for name in table:
            factors = np.sort(table[name].to_numpy())
            factors = np.concatenate([[1.0], factors[np.isfinite(factors)], [longest]])
            shares = np.arange(len(factors)) / max(len(table), 1)
            shares[-1] = shares[-2]
            look = shown[str(name)]
            (handles[str(name)],) = axis.step(
                factors, shares, look.dash, where="post", color=look.color
            )
        axis.set(title=attack, xlabel="times the fastest solver's seconds", xscale="log")
        axis.set(xlim=(1.0, longest), ylim=(0.0, 1.05))
        spell_out(axis.xaxis)
        if first:
            axis.set_ylabel("share proved")
    add_legend(figure, handles)
    return figure

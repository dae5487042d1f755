"""The tables of a report's page: verdicts, a summary of the attacks, and all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from bnnopt.goal import Goal
from bnnopt.report.verdicts import PLACE
from bnnopt.rounded import at_least, at_most

__all__ = ["KEY_LENGTH", "cells_table", "page_table", "summary_table", "verdict_table"]

KEY_LENGTH = 12
"""Of a cell's key, as `bnnopt campaign check` prints it."""

CELLS = {
    "network": "network",
    "epsilon": "epsilon",
    "image": "image",
    "series": "attack",
    "flipped": "flipped",
    "objective": "objective",
    "bound": "bound",
    "gap": "gap to best",
    "wall_time": "seconds",
    "status": "status",
    "label": "label",
    "source": "source",
    "target": "target",
    "start_objective": "start",
    "attempts": "attempts",
    "key": "cell",
}
"""Columns of the table of all attacks, what matters first, and their headings."""

GOAL = {"goal": "goal", "goal_value": "goal's value", "goal_bound": "goal's bound"}
"""Likewise, where a goal is another one than the margin or a flip."""


def verdict_table(decided: pd.DataFrame) -> pd.DataFrame:
    """A row a network, epsilon and attack that decides; accuracies are rounded down.

    Parameters
    ----------
    decided : DataFrame
        See `bnnopt.report.verdicts.verdicts`.
    """
    shares = {
        f"{name} accuracy": (10000 * decided[name] // decided["images"]) / 10000
        for name in ("certified", "clean")
    }
    counts = decided[["robust", "vulnerable", "unknown", "images"]]
    seconds = decided["seconds"].rename("median seconds")
    return pd.concat([_place(decided), pd.DataFrame(shares), counts, seconds], axis=1)


def summary_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a network, epsilon and attack, of the results of `bnnopt.report.results.finished`."""
    sought = frame.assign(
        objective=frame["objective"].where(frame["maximizes"]),
        normalized=frame["normalized"].where(frame["maximizes"]),
    )
    table = sought.groupby(PLACE, sort=False).agg(
        **{
            "share flipped": ("flipped", "mean"),
            "share proved": ("proved", "mean"),
            "mean gap to best": ("gap", "mean"),
            "median seconds": ("wall_time", "median"),
            "mean objective": ("objective", "mean"),
            "mean normalized": ("normalized", "mean"),
            "cells": ("key", "size"),
        }
    )
    table = table.reset_index()
    return pd.concat([_place(table), table.drop(columns=PLACE)], axis=1)


def cells_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row an attack; margins are rounded down and their bounds up."""
    shown = CELLS | ({} if set(frame["goal"]) <= {"margin", "flip"} else GOAL)
    cells = frame.assign(
        flipped=frame["flipped"].map({1.0: "yes", 0.0: "no"}),
        key=frame["key"].str[:KEY_LENGTH],
        objective=_rounded(frame["objective"], at_least),
        start_objective=_rounded(frame["start_objective"], at_least),
        bound=_rounded(frame["bound"], at_most),
    )
    if len(shown) > len(CELLS):
        gains = frame["goal"].map(_is_maximised)
        cells["goal_value"] = _rounded(frame["goal_value"], at_least).where(
            gains, _rounded(frame["goal_value"], at_most)
        )
        cells["goal_bound"] = _rounded(frame["goal_bound"], at_most).where(
            gains, _rounded(frame["goal_bound"], at_least)
        )
    return cells[list(shown)].rename(columns=shown)


def _is_maximised(goal: str) -> bool:
    """Of its first stage; a flip has none."""
    return any(stage.is_maximised for stage in Goal.parse(goal).stages[:1])


def _place(frame: pd.DataFrame) -> pd.DataFrame:
    """Network, epsilon and attack, and the data set where there are several."""
    wanted = PLACE[1:] if frame["dataset"].nunique() == 1 else PLACE
    return frame[wanted].rename(columns={"series": "attack"})


def _rounded(values: pd.Series[Any], side: Callable[..., str]) -> pd.Series[float]:
    """Rounded to the safe side."""
    return values.map(lambda value: math.nan if pd.isna(value) else float(side(value)))


def page_table(title: str, name: str, frame: pd.DataFrame, digits: int) -> Mapping[str, Any]:
    """A table as the page's script takes it: columns with anything in them, rows of JSON values.

    Parameters
    ----------
    title : str
    name : str
        What links to it lead to.
    frame : DataFrame
    digits : int
        Of numbers that are not whole.
    """
    frame = frame.dropna(axis=1, how="all")
    rows = json.loads(frame.to_json(orient="values", double_precision=15))
    shown = [[float(f"{v:.{digits}g}") if isinstance(v, float) else v for v in row] for row in rows]
    return {
        "title": title,
        "name": name,
        "data": {"columns": list(frame.columns), "rows": shown},
    }

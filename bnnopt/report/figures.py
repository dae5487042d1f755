"""Every figure of a campaign's report: the paper's 1 to 6, and ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from bnnopt.campaign.cell import Cell
from bnnopt.campaign.store import Store
from bnnopt.report.lines import cactus, logits_along_a_pixel, over_time
from bnnopt.report.panels import Look, bars, boxes, looks

__all__ = ["Drawing", "drawings"]

ERROR_BARS = "Error bars: 95 % bootstrap intervals over images."


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn.

    Parameters
    ----------
    name : str
        Of its files.
    title, caption : str
    draw : callable or None
        None where the campaign lacks what it shows.
    missing : str
        What the campaign lacks.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure] | None
    missing: str = ""


def drawings(store: Store, frame: pd.DataFrame) -> list[Drawing]:
    """The figures, the paper's first.

    Parameters
    ----------
    store : Store
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    """
    shown = looks(list(dict.fromkeys(frame["series"])))
    return [*_papers(store, frame, shown), *_ours(frame, shown)]


def _papers(store: Store, frame: pd.DataFrame, shown: dict[str, Look]) -> list[Drawing]:
    flips = "share flipped"
    iprop = frame[(frame["method"] == "iprop")]
    steps = iprop[iprop["start"] == "none"]
    starts = iprop[iprop["options"].isin(iprop.loc[iprop["start"] != "none", "options"])]
    return [
        Drawing(
            "figure-1",
            "Figure 1: the network and its surrogate along one pixel",
            "Logits of the predicted class and the runner-up as one pixel varies: of the "
            "binarized network, and of the differentiable surrogate that gradients come from.",
            lambda: _figure_1(store, frame),
        ),
        Drawing(
            "figure-2",
            "Figure 2: share flipped",
            f"Share of the images whose prediction an attack flips. {ERROR_BARS}",
            lambda: bars(frame, "flipped", flips, shown),
        ),
        Drawing(
            "figure-3",
            "Figure 3: normalized objective",
            "The margin over the largest that any activations of the last hidden layer have; "
            "above 0 the prediction flips. Boxes: quartiles over images; whiskers: 1.5 times the "
            "interquartile range.",
            lambda: boxes(frame, "normalized", "normalized objective", shown),
        ),
        Drawing(
            "figure-4",
            "Figure 4: normalized objective over time",
            "Of the incumbents, mean over networks and images. Bands: 95 % bootstrap intervals "
            "over images.",
            lambda: over_time(frame, shown),
        ),
        _flips_if(
            "figure-5",
            "Figure 5: step sizes of IProp",
            steps,
            "options",
            shown,
            "iprop with several options",
        ),
        _flips_if(
            "figure-6",
            "Figure 6: starts of IProp",
            starts,
            "start",
            shown,
            "iprop with and without a start",
        ),
    ]


def _flips_if(
    name: str, title: str, rows: pd.DataFrame, key: str, shown: dict[str, Look], lacks: str
) -> Drawing:
    draws = rows[key].nunique() > 1
    return Drawing(
        name,
        title,
        f"Share of the images flipped. {ERROR_BARS}",
        (lambda: bars(rows, "flipped", "share flipped", shown)) if draws else None,
        f"the campaign has no {lacks}",
    )


def _ours(frame: pd.DataFrame, shown: dict[str, Look]) -> list[Drawing]:
    several = frame.groupby("attack")["solver"].transform("nunique") > 1
    bounded = frame[frame["series"].isin(frame.loc[frame["bound"].notna(), "series"])]
    proves = bool(frame["proved"].any())
    return [
        Drawing(
            "solvers",
            "Solver comparison",
            f"Mean wall time of the same attack on several solvers. {ERROR_BARS}",
            (lambda: bars(frame[several], "wall_time", "seconds", shown))
            if several.any()
            else None,
            "no attack runs on several solvers",
        ),
        Drawing(
            "cactus",
            "Cactus plot",
            "How many attacks are proved optimal if each may take so many seconds; lower and "
            "further right is better.",
            (lambda: cactus(frame, shown)) if proves else None,
            "no attack is proved optimal",
        ),
        Drawing(
            "proved",
            "Proved optimal",
            f"Share of the attacks proved optimal, of the methods that prove. {ERROR_BARS}",
            (lambda: bars(bounded, "proved", "share proved optimal", shown))
            if len(bounded)
            else None,
            "no attack gives a bound",
        ),
        Drawing(
            "gap",
            "Gap to the best known",
            f"Mean normalized objective below the best of any attack here. {ERROR_BARS}",
            (lambda: bars(frame, "gap", "gap to the best known", shown))
            if frame["series"].nunique() > 1
            else None,
            "there is only one attack",
        ),
    ]


def _figure_1(store: Store, frame: pd.DataFrame) -> Figure:
    """Of the smallest network, on its first image."""
    first = frame.sort_values(["depth", "width", "network", "image"]).iloc[0]
    row = next(row for row in store.rows() if row.key == first["key"])
    cell = Cell.from_definition(row.definition)
    network = store.network(cell.network)
    values = network.levels_of(store.image(cell)[0])[0] / network.levels
    return logits_along_a_pixel(network, values)

"""Every figure of a campaign's report: verdicts, the paper's 1 to 6, and ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from bnnopt.campaign.cell import Cell
from bnnopt.campaign.store import Store
from bnnopt.report.gallery import class_names
from bnnopt.report.lines import logits_along_a_pixel, over_time
from bnnopt.report.panels import Look, bars, boxes, looks
from bnnopt.report.proofs import cactus, profile
from bnnopt.report.results import done
from bnnopt.report.verdicts import draw_verdicts, image_verdicts

__all__ = ["Drawing", "drawings"]

ERROR_BARS = "Error bars: 95 % bootstrap intervals over images; 0: a mean of 0; ×: no result."
NO_MARGINS = "no attack maximizes the margin"


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn.

    Parameters
    ----------
    name : str
        Of its files.
    title, caption : str
        Above it and below it, on the page.
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


def drawings(store: Store, attempts: pd.DataFrame) -> list[Drawing]:
    """The figures: of verdicts, then the paper's, then ours.

    Parameters
    ----------
    store : Store
        What to report of.
    attempts : DataFrame
        See `bnnopt.report.results.tried`.

    Raises
    ------
    InputError
        If no cell is done.
    """
    frame, images = done(attempts, store), image_verdicts(attempts)
    shown = looks(list(dict.fromkeys(frame["series"])))
    return [*_verdicts(images), *_papers(store, frame, shown), *_ours(frame, shown)]


def _verdicts(images: pd.DataFrame) -> list[Drawing]:
    return [
        Drawing(
            "verdicts",
            "Certified accuracy",
            "Share of the images that are predicted right and proved to keep that class, and what "
            "became of the others. The lower three parts are the clean accuracy.",
            None if images.empty else lambda: draw_verdicts(images),
            "no attack asks for any flip, as verify does",
        )
    ]


def _papers(store: Store, frame: pd.DataFrame, shown: dict[str, Look]) -> list[Drawing]:
    flips = "share flipped"
    margins = frame[frame["maximizes"]]
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
            (lambda: boxes(margins, "normalized", "normalized objective", shown))
            if len(margins)
            else None,
            NO_MARGINS,
        ),
        Drawing(
            "figure-4",
            "Figure 4: normalized objective over time",
            "Of the best point found so far, mean over networks and images; higher and further "
            "left is better. Bars: 95 % bootstrap intervals over images. Thin lines: the mean "
            "bound, from when all have one.",
            (lambda: over_time(margins, shown)) if len(margins) else None,
            NO_MARGINS,
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
    rivals = frame[several]
    margins = frame[frame["maximizes"]]
    bounded = frame[frame["series"].isin(frame.loc[frame["bound"].notna(), "series"])]
    proves = bool(frame["proved"].any())
    return [
        Drawing(
            "solvers",
            "Solver comparison",
            f"Mean wall time of the same attack on several solvers. {ERROR_BARS}",
            (lambda: bars(rivals, "wall_time", "seconds", shown)) if len(rivals) else None,
            "no attack runs on several solvers",
        ),
        Drawing(
            "profile",
            "Performance profile of the solvers",
            "Share of the instances that a solver proves within so many times the seconds of the "
            "fastest one (anything below 0.01 s counts as that); higher is better.",
            (lambda: profile(rivals, shown)) if rivals["proved"].any() else None,
            "no attack is proved on one of several solvers",
        ),
        Drawing(
            "cactus",
            "Cactus plot",
            "How many attacks are proved, optimal or impossible, if each may take so many seconds; "
            "lower and further right is better.",
            (lambda: cactus(frame, shown)) if proves else None,
            "no attack is proved",
        ),
        Drawing(
            "proved",
            "Share proved",
            "Share of the attacks proved, optimal or impossible, of the methods that prove. "
            f"{ERROR_BARS}",
            (lambda: bars(bounded, "proved", "share proved", shown)) if len(bounded) else None,
            "no attack gives a bound",
        ),
        Drawing(
            "gap",
            "Gap to the best known",
            f"Mean normalized objective below the best of any attack here. {ERROR_BARS}",
            (lambda: bars(margins, "gap", "gap to the best known", shown))
            if margins["series"].nunique() > 1
            else None,
            "no two attacks maximize the margin",
        ),
    ]


def _figure_1(store: Store, frame: pd.DataFrame) -> Figure:
    """Of the smallest network, on its first image."""
    first = frame.sort_values(["depth", "width", "network", "image"]).iloc[0]
    row = next(row for row in store.rows() if row.key == first["key"])
    cell = Cell.from_definition(row.definition)
    network = store.network(cell.network)
    values = network.levels_of(store.image(cell)[0])[0] / network.levels
    return logits_along_a_pixel(network, values, class_names(network, cell.dataset))

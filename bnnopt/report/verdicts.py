"""What share of the images is certified, where a campaign asks whether any flip is possible."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bnnopt.report.panels import add_legend, grid
from bnnopt.report.theme import PAPER
from bnnopt.result import Status

__all__ = ["PLACE", "draw_verdicts", "image_verdicts", "verdicts"]

PLACE = ["dataset", "network", "epsilon", "series"]
"""What a row of a summary is about."""

PARTS = {
    "certified": ("certified: right, and proved robust", "#009e73", ""),
    "undecided": ("right, unknown", "#f0e442", ""),
    "broken": ("right, vulnerable", "#d55e00", "////"),
    "wrong": ("predicted wrong", "#767676", ""),
}
"""Parts of a bar from the bottom up, whose sum is every image: name, colour and hatch."""


def image_verdicts(tried: pd.DataFrame) -> pd.DataFrame:
    """A row an image, network, epsilon and attack of those that decide, over all seeds.

    Parameters
    ----------
    tried : DataFrame
        See `bnnopt.report.results.tried`; an attack that failed leaves its image unknown.

    Returns
    -------
    DataFrame
        Columns of `PLACE` and ``image``; booleans ``robust`` (no other class, proved),
        ``vulnerable`` (a flip was found), ``right`` (the image is predicted right; False where
        every attack on it failed) and ``certified`` (right and robust); and ``wall_time``.
    """
    rows = tried[tried["decides"]]
    rows = rows.assign(
        robust=rows["status"] == Status.INFEASIBLE.value,
        vulnerable=rows["flipped"].eq(True),
        right=rows["label"].notna() & (rows["label"] == rows["source"]),
        wall_time=rows["wall_time"].astype(float),
    )
    rows["right"] = rows.groupby(["dataset", "network", "image"])["right"].transform("any")
    each = rows.groupby([*PLACE, "image"], sort=False)
    found = each.agg(
        robust=("robust", "any"),
        vulnerable=("vulnerable", "any"),
        right=("right", "any"),
        wall_time=("wall_time", "mean"),
    ).reset_index()
    found["certified"] = found["right"] & found["robust"]
    return found


def verdicts(images: pd.DataFrame) -> pd.DataFrame:
    """A row a network, epsilon and attack: counts of images, clean and certified accuracy.

    Parameters
    ----------
    images : DataFrame
        Of `image_verdicts`.
    """
    table = images.groupby(PLACE, sort=False).agg(
        images=("image", "size"),
        clean=("right", "sum"),
        certified=("certified", "sum"),
        robust=("robust", "sum"),
        vulnerable=("vulnerable", "sum"),
        seconds=("wall_time", "median"),
    )
    table["unknown"] = table["images"] - table["robust"] - table["vulnerable"]
    return table.reset_index()


def draw_verdicts(images: pd.DataFrame) -> Figure:
    """A bar an epsilon of what became of the images, a panel a network and attack."""
    right, free = images["right"], ~images["robust"] & ~images["vulnerable"]
    parts = images.assign(undecided=right & free, broken=right & images["vulnerable"], wrong=~right)
    shares = parts.groupby(PLACE, sort=False)[list(PARTS)].mean()
    several = images["series"].nunique() > 1
    epsilons = sorted(images["epsilon"].unique())
    panels = dict(iter(shares.groupby(["dataset", "network", "series"], sort=False)))
    figure, places = grid(len(panels), max(1.8, 0.6 + 0.4 * len(epsilons)))
    for (axis, first), ((_, network, series), rows) in zip(places, panels.items(), strict=True):
        at = [epsilons.index(epsilon) for epsilon in rows.index.get_level_values("epsilon")]
        base = np.zeros(len(rows))
        for part, (_, color, hatch) in PARTS.items():
            heights = rows[part].to_numpy()
            axis.bar(at, heights, 0.8, base, color=color, hatch=hatch, edgecolor=PAPER)
            base += heights
        axis.set_title(f"{network}, {series}" if several else str(network))
        axis.set_xticks(range(len(epsilons)), [f"{epsilon:g}" for epsilon in epsilons])
        axis.set(xlabel="ε", xlim=(-0.6, len(epsilons) - 0.4), ylim=(0.0, 1.0))
        if first:
            axis.set_ylabel("share of the images")
    add_legend(
        figure,
        {
            name: Patch(facecolor=color, hatch=hatch, edgecolor=PAPER)
            for name, color, hatch in PARTS.values()
        },
    )
    return figure

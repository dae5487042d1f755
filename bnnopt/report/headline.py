"""What a campaign is about and what came of it, in a title and a sentence."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import pandas as pd

from bnnopt.counts import counted
from bnnopt.report.results import INSTANCE
from bnnopt.tables import percent

__all__ = ["heading", "listed", "sentence", "title"]

MOST = 6
"""Names that a list has before it only counts the others."""


def title(frame: pd.DataFrame) -> str:
    """Attacks, networks, epsilons and the day.

    Parameters
    ----------
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    """
    return f"{_attacks(frame)} on {heading(frame)}, {_days(frame)} (bnnopt)"


def heading(frame: pd.DataFrame) -> str:
    """Networks and epsilons."""
    epsilons = [f"{epsilon:.4g}" for epsilon in sorted(frame["epsilon"].unique())]
    return f"{listed(frame['network'].unique())} at ε\u00a0=\u00a0{listed(epsilons)}"


def sentence(frame: pd.DataFrame, decided: pd.DataFrame) -> str:
    """When, what, on how many images, and the main results.

    Parameters
    ----------
    frame : DataFrame
        See `bnnopt.report.results.finished`.
    decided : DataFrame
        See `bnnopt.report.verdicts.verdicts`; may be empty.
    """
    results = [*_flips(frame[~frame["decides"]]), *_proofs(frame), *_certified(decided)]
    images = counted(len(frame.groupby(["dataset", "image"])), "image")
    return f"{_attacks(frame)} on {images}, {_days(frame)}: {'; '.join(results)}."


def _attacks(frame: pd.DataFrame) -> str:
    """Names, with the solvers where there are several."""
    solvers = frame.groupby("attack", sort=False)["solver"].unique()
    return listed(
        f"{attack} ({' and '.join(map(str, found))})" if len(found) > 1 else str(attack)
        for attack, found in solvers.items()
    )


def _days(frame: pd.DataFrame) -> str:
    """The day on which the attacks ended, or the first and the last one."""
    ends = frame["finished"].agg(["min", "max"])
    return " to ".join(dict.fromkeys(time.strftime("%Y-%m-%d", time.gmtime(at)) for at in ends))


def listed(names: Iterable[str]) -> str:
    """``a, b and c``; quotes hold a name together that has a comma."""
    told = [f"“{name}”" if "," in name else name for name in names]
    if len(told) > MOST:
        told = [*told[: MOST - 1], f"{len(told) - MOST + 1} more"]
    return " and ".join(filter(None, [", ".join(told[:-1]), told[-1]]))


def _certified(decided: pd.DataFrame) -> list[str]:
    """The certified accuracy, or the least and the greatest."""
    if decided.empty:
        return []
    order = (decided["certified"] / decided["images"]).sort_values(kind="stable").index
    told = []
    for at in dict.fromkeys((order[0], order[-1])):
        row = decided.loc[at]
        certified, clean = (percent(row[name], row["images"]) for name in ("certified", "clean"))
        where = f"{row['network']}, ε\u00a0=\u00a0{row['epsilon']:.4g}"
        told.append(f"{certified} ({where}; clean {clean})")
    return [f"certified accuracy {' to '.join(told)}"]


def _flips(frame: pd.DataFrame) -> list[str]:
    """Who flips most, and how many are flipped by any."""
    if frame.empty:
        return []
    instances = frame.groupby(INSTANCE)["flipped"].max()
    flipped, count = int(instances.sum()), len(instances)
    if not flipped:
        return [f"no attack flipped any of {counted(count, 'prediction')}"]
    most, names = _best(frame, "flipped")
    rest = "" if most == flipped else f", all attacks together {flipped}"
    return [f"{listed(names)} flipped {most} of {counted(count, 'prediction')}{rest}"]


def _proofs(frame: pd.DataFrame) -> list[str]:
    """Who proves most."""
    rows = frame[~frame["decides"]]
    if not rows["proved"].any():
        return []
    most, names = _best(rows, "proved")
    count = len(rows.groupby(INSTANCE))
    return [f"{listed(names)} proved {most} of {counted(count, 'result')}"]


def _best(frame: pd.DataFrame, value: str) -> tuple[int, Sequence[str]]:
    """Most instances for which a column is 1, and the series that have so many."""
    each = frame.groupby(["series", *INSTANCE], sort=False)[value].max()
    sums = each.groupby("series", sort=False).sum()
    return int(sums.max()), list(sums.index[sums == sums.max()])

"""What a claim is: a number of the grid with its interval, and whether what was claimed holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.grid.frame import INSTANCE, truth
from benchmarks.grid.intervals import Estimate, of_settings

__all__ = [
    "Claim",
    "Judge",
    "Lines",
    "above",
    "always",
    "at",
    "claim_on",
    "column",
    "counts",
    "lead",
    "mean",
    "never",
    "no_claim",
    "share_above",
    "slug",
]

FloatArray = npt.NDArray[np.float64]
Judge = Callable[[Estimate], str]


@dataclass(frozen=True)
class Lines:
    """What there is to compute from.

    Parameters
    ----------
    attacks, models : DataFrame
        By `benchmarks.grid.frame`.
    """

    attacks: pd.DataFrame
    models: pd.DataFrame

    @property
    def known(self) -> pd.DataFrame:
        """`benchmarks.grid.frame.truth` of the attacks."""
        return truth(self.attacks)


@dataclass(frozen=True)
class Claim:
    """A number of the grid.

    Parameters
    ----------
    claim : str
        Its name, by which pages quote it.
    paper : str
        What the paper says; empty where it says nothing of it.
    measured : str
        What the number is.
    value, low, high : float
        And its 95 % bootstrap interval over images; infinite for never.
    images, cells : int
        How many it is of.
    holds : {"yes", "no", "open", ""}
        Whether the paper's claim holds here: open where the interval does not say, empty where
        there is no claim.
    """

    claim: str
    paper: str
    measured: str
    value: float
    low: float
    high: float
    images: int
    cells: int
    holds: str = ""


def claim_on(
    name: str,
    paper: str,
    measured: str,
    values: pd.Series[float],
    statistic: Callable[[FloatArray], FloatArray] | None = None,
    judge: Judge | None = None,
) -> list[Claim]:
    """A claim on values by instance; none where there are none.

    Parameters
    ----------
    name, paper, measured : str
        See `Claim`.
    values : Series
        By `INSTANCE`.
    statistic : callable
        Of the means of each network and epsilon; `mean` of them by default.
    judge : callable
        `no_claim` by default.
    """
    values = values.dropna()
    if values.empty:
        return []
    found = of_settings(values, statistic or mean)
    return [Claim(name, paper, measured, *found, *counts(values), (judge or no_claim)(found))]


def counts(values: pd.Series[float]) -> tuple[int, int]:
    """Images and cells of values by instance."""
    levels = values.index.get_level_values
    images = set(zip(levels("dataset"), levels("image"), strict=True))
    return len(images), len(values)


def mean(means: FloatArray) -> FloatArray:
    """Over settings: each network and epsilon counts the same."""
    averages: FloatArray = np.nanmean(means, axis=1)
    return averages


def share_above(means: FloatArray) -> FloatArray:
    """Of the settings: those whose mean is above 0."""
    shares: FloatArray = np.sum(means > 0, axis=1) / np.sum(~np.isnan(means), axis=1)
    return shares


def above(least: float) -> Judge:
    """Whether a number is above `least`, as far as its interval says."""

    def judge(found: Estimate) -> str:
        _, low, high = found
        return "yes" if low > least else "no" if high <= least else "open"

    return judge


def always(found: Estimate) -> str:
    """Whether a share is all; one exception is enough."""
    return "yes" if found[0] == 1.0 else "no"


def never(found: Estimate) -> str:
    """Whether a share is none; one case is enough."""
    return "yes" if found[0] == 0.0 else "no"


def no_claim(found: Estimate) -> str:
    """A number that nothing was said of."""
    return ""


def column(frame: pd.DataFrame, series: str | Sequence[str], value: str) -> pd.Series[float]:
    """A value of a series, by instance.

    Parameters
    ----------
    frame : DataFrame
        See `benchmarks.grid.frame.attacks`.
    series : str
    value : str
        A column.
    """
    return frame[frame["series"] == series].set_index(INSTANCE)[value].astype(float)


def lead(lines: Lines, one: str, other: str, value: str) -> pd.Series[float]:
    """A value of one series less another's, on the instances that both have."""
    return (column(lines.attacks, one, value) - column(lines.attacks, other, value)).dropna()


def at(
    values: pd.Series[float],
    network: Callable[[str], bool] = lambda name: True,
    epsilon: Callable[[float], bool] = lambda size: True,
) -> pd.Series[float]:
    """Values of some networks and epsilons."""
    levels = values.index.get_level_values
    places = zip(levels("network"), levels("epsilon"), strict=True)
    return values[np.array([network(name) and epsilon(size) for name, size in places], dtype=bool)]


def slug(series: str) -> str:
    """A series as part of a claim's name: ``milp-paper-highs``."""
    return re.sub("[^a-z0-9]+", "-", series.lower()).strip("-")

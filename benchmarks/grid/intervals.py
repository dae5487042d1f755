"""Intervals of what is computed from means: the images are drawn again, each with all its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["Estimate", "bootstrap", "of_settings"]

FloatArray = npt.NDArray[np.float64]
Estimate = tuple[float, float, float]
"""A value, and the ends of its 95 % interval."""

RESAMPLES = 1000
TAIL = 0.025


def bootstrap(
    values: FloatArray, strata: Sequence[object], statistic: Callable[[FloatArray], FloatArray]
) -> Estimate:
    """A statistic of column means, with a percentile interval.

    Parameters
    ----------
    values : array, shape (images, columns)
        NaN where an image has no value; a column has at least one.
    strata : sequence, length images
        Images are drawn anew among those of their own stratum: a data set.
    statistic : callable
        From means, shape (samples, columns), to shape (samples,). A column of which a sample has no
        image is NaN there. May give infinity.

    Returns
    -------
    (value, low, high)
        Of the images as they are; and of 1000 samples with replacement, the 2.5 % and 97.5 %
        quantiles.
    """
    rng = np.random.default_rng(0)
    labels = pd.factorize(pd.Series(list(strata)))[0]
    picks = np.zeros((RESAMPLES, len(values)))
    for label in range(labels.max() + 1):
        members = np.flatnonzero(labels == label)
        count = len(members)
        picks[:, members] = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    whole = statistic(_means(np.ones((1, len(values))), values))
    drawn = statistic(_means(picks, values))
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL], method="inverted_cdf")
    return float(whole[0]), float(low), float(high)


def _means(picks: FloatArray, values: FloatArray) -> FloatArray:
    there = ~np.isnan(values)
    counts = picks @ there
    sums = picks @ np.where(there, values, 0.0)
    means: FloatArray = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def of_settings(
    differences: pd.Series[float], statistic: Callable[[FloatArray], FloatArray]
) -> Estimate:
    """`bootstrap` with a column a network and epsilon.

    Parameters
    ----------
    differences : Series
        By `benchmarks.grid.frame.INSTANCE`.
    statistic : callable
        See `bootstrap`.
    """
    table = differences.unstack(["network", "epsilon"])
    strata = list(table.index.get_level_values("dataset"))
    return bootstrap(table.to_numpy(dtype=np.float64), strata, statistic)

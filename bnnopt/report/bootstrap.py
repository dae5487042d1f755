"""Error bars: how much a mean over images varies with the choice of the images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["mean_interval"]

RESAMPLES = 1000
LEVEL = 0.95


def mean_interval(values: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], ...]:
    """The mean over images, and a 95 % interval of it by the bootstrap.

    These are the percentile intervals of ``scipy.stats.bootstrap``. That keeps every resample of
    every image, where counts and one matrix product do, and refuses a single image.

    Parameters
    ----------
    values : array_like, shape (images,) or (images, points)
        At least one image.

    Returns
    -------
    (mean, low, high) : arrays of float64, shape () or (points,)
        Of 1000 resamples with replacement, the 2.5 % and 97.5 % quantiles of the mean.
    """
    array = np.asarray(values, dtype=np.float64)
    count = len(array)
    picks = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    means = picks @ array / count
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return array.mean(axis=0), low, high

"""Random choice with weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["weighted"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def weighted(
    rng: np.random.Generator, candidates: IntArray, log_weight: FloatArray, size: int
) -> IntArray:
    """Draw without replacement, each next one with a probability in proportion to its weight.

    The largest sums of logarithms and Gumbel noise are such a draw.
    """
    keys = log_weight + rng.gumbel(size=len(candidates))
    return candidates[np.argsort(-keys)[:size]]

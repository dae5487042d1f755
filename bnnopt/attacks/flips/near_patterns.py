"""Better sign patterns of the first layer near one, in neighbourhoods drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.draws import weighted
from bnnopt.search.neighbourhood import better_set
from bnnopt.search.position import exclude, new_position, target_terms
from bnnopt.search.problem import MarginTerms
from bnnopt.search.space import Space

__all__ = ["NearPatterns", "draw_neighbours"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

TESTS = 4
"""Patterns of a neighbourhood that are tested for a point."""

SPREAD = 0.5
"""A neuron is e times less likely where its distance grows by this share of the mean distance."""

CERTAIN = 1e6
"""Logarithm of the weight of those drawn first."""


def draw_neighbours(
    rng: np.random.Generator, distance: FloatArray, count: int, first: BoolArray | None = None
) -> IntArray:
    """Draw the neurons of a neighbourhood: those near their thresholds more often.

    Parameters
    ----------
    rng : numpy Generator
    distance : array of float, shape (k,)
    count : int
    first : array of bool, shape (k,), optional
        Those that are among them certainly.
    """
    mean = float(distance.sum()) / max(len(distance), 1)
    log_weight = distance / (-SPREAD * max(mean, 1e-9))
    if first is not None:
        log_weight = log_weight + CERTAIN * first
    return weighted(rng, np.arange(len(distance)), log_weight, count)


class NearPatterns:
    """Flip sets near one, and what is learnt of those that have no point.

    A *neighbourhood* is all sets that differ from the present one in a few neurons; those whose
    sums are near their thresholds at the present point are drawn more often, as they need least.

    Parameters
    ----------
    space : Space
    terms : sequence of MarginTerms
        One a target; a set is worth the best of them.
    """

    def __init__(self, space: Space, terms: Sequence[MarginTerms]) -> None:
        self._region, self._pairs = space.region, space.pairs()
        self._terms = target_terms(terms)
        self._position = new_position(self._terms)

    @property
    def flipped(self) -> BoolArray:
        """The set of the last call, shape (k,)."""
        return np.array(self._position.flipped)

    @property
    def margin(self) -> FloatArray:
        """Its margins, shape (targets,)."""
        return np.array(self._position.margin)

    def better(
        self,
        rng: np.random.Generator,
        flipped: BoolArray,
        distance: FloatArray,
        count: int,
        *,
        first: BoolArray | None = None,
        settles: bool = True,
    ) -> tuple[int, FloatArray]:
        """Look for a better set in one neighbourhood.

        Parameters
        ----------
        rng : numpy Generator
        flipped : array of bool, shape (k,)
            The present set.
        distance : array of float, shape (k,)
            Levels between each sum at a point of it and its threshold.
        count : int
            Neurons that may turn.
        first : array of bool, shape (k,), optional
            Which of them are among those certainly.
        settles : bool
            Whether to settle sets; else the most promising one is OPEN.

        Returns
        -------
        (status, u)
            As `better_set` does; where REACHED, u is a point in units of the radius.
        """
        moving = draw_neighbours(rng, distance, count, first)
        u = np.zeros(len(self._region.radius))
        status = better_set(
            self._region,
            self._terms,
            self._position,
            flipped,
            moving,
            self._pairs,
            distance,
            TESTS,
            settles,
            u,
        )
        return int(status), u

    def exclude(self) -> None:
        """Pass over the set of the last call from now on, as one that has no point."""
        exclude(self._position)

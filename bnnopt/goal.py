"""What an attack is after: the margin, any flip at all, or the smallest perturbation that flips.

A goal is one or two *stages*, in lexicographic order; a stage is a weighted sum of terms. The
margin is gained, distances are paid: ``margin+0.5*l1`` maximises margin - 0.5 * L1. If the first
stage has no margin, only flips count: points at which a target beats the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from bnnopt.errors import InputError, UnknownNameError

__all__ = ["DISTANCES", "Goal", "Stage", "distances"]

DISTANCES = ("linf", "l1", "l0")
"""Distances from the image: largest change, sum of changes ([0, 1] units), pixels changed."""

FLIP = "flip"
MAX_STAGES = 2


def distances(change: npt.NDArray[np.float64]) -> dict[str, float]:
    """The distances of a change, shape (n,) in [0, 1] units.

    Parameters
    ----------
    change : array of float, shape (n,)
        Of each pixel, in [0, 1] units.
    """
    moved = np.abs(change)
    return {
        "linf": float(moved.max()),
        "l1": float(moved.sum()),
        "l0": float(np.count_nonzero(moved)),
    }


@dataclass(frozen=True)
class Stage:
    """A weighted sum of the margin and of distances.

    Parameters
    ----------
    margin : float
        Weight of the margin, at least 0.
    distances : mapping from a name of `DISTANCES` to a positive weight
        What a unit of each distance costs; a stage without a margin makes it small.
    """

    margin: float
    distances: Mapping[str, float]

    @property
    def is_maximised(self) -> bool:
        """With the margin in it a stage is maximised; distances alone are minimised."""
        return self.margin > 0

    def value(self, margin: float, moved: Mapping[str, float]) -> float:
        """Of a point with this margin and these distances, in the stage's own sense."""
        paid = sum(weight * moved[name] for name, weight in self.distances.items())
        return self.margin * margin - paid if self.is_maximised else paid


@dataclass(frozen=True)
class Goal:
    """One or two stages in lexicographic order; none of them is "any flip at all".

    Parameters
    ----------
    text : str
        As it was written.
    stages : tuple of Stage
        The first counts most.
    """

    text: str
    stages: tuple[Stage, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``margin``, ``flip``, ``l0``, ``margin,l1``, ``linf+0.1*l0`` and the like.

        Raises
        ------
        InputError
            If the text is no goal.
        """
        if not isinstance(text, str):
            raise InputError(f"goal must be text such as 'margin' or 'l1', not {text!r}")
        if text == FLIP:
            return cls(text, ())
        parts = text.split(",")
        if len(parts) > MAX_STAGES:
            raise InputError(f"goal {text!r} has {len(parts)} stages; at most two are possible")
        return cls(text, tuple(_stage(part, text) for part in parts))

    @property
    def needs_flip(self) -> bool:
        """Whether only flips count."""
        return not (self.stages and self.stages[0].is_maximised)

    @property
    def is_margin(self) -> bool:
        """Whether the margin alone is maximised."""
        return self.stages == (Stage(1.0, {}),)

    @property
    def pays_distances(self) -> bool:
        """Whether a distance counts in any stage."""
        return any(stage.distances for stage in self.stages)

    def values(self, margin: float, moved: Mapping[str, float]) -> list[float]:
        """The value of each stage at a point."""
        return [stage.value(margin, moved) for stage in self.stages]

    def rank(self, margin: float, is_flip: bool, moved: Mapping[str, float]) -> tuple[float, ...]:
        """A key that is larger for a better point; a flip is better than a tie that is none.

        `moved` needs the distances that the stages pay.
        """
        if self.needs_flip and not is_flip:
            return (-np.inf, margin)
        ranks = [
            value if stage.is_maximised else -value
            for stage, value in zip(self.stages, self.values(margin, moved), strict=True)
        ]
        return (*ranks, margin, float(is_flip))


def _stage(text: str, whole: str) -> Stage:
    margin = 0.0
    paid: dict[str, float] = {}
    for term in text.split("+"):
        factor, _, name = term.strip().rpartition("*")
        name = name.strip()
        if name not in ("margin", *DISTANCES):
            raise UnknownNameError(
                "goal", name or whole, (FLIP, "margin", *DISTANCES), ", or a sum or pair of those"
            )
        weight = _weight(factor, whole)
        if name == "margin":
            margin += weight
        else:
            paid[name] = paid.get(name, 0.0) + weight
    return Stage(margin, paid)


def _weight(text: str, whole: str) -> float:
    try:
        weight = float(text) if text.strip() else 1.0
    except ValueError:
        weight = np.nan
    if not 0.0 < weight <= 1e6:
        raise InputError(
            f"goal {whole!r}: a weight is a number above 0 and at most 1e6, as in margin+0.5*l1"
        )
    return weight

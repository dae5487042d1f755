"""One attack problem: a network, an image, a perturbation budget and a goal."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_choice, read_class, read_fraction, read_whole
from bnnopt.errors import InputError
from bnnopt.goal import Goal, distances
from bnnopt.images import read_mask
from bnnopt.margins import TIES, Margins, Ties
from bnnopt.network import GRID, BinarizedNetwork
from bnnopt.tolerances import BUDGET_LEVELS

__all__ = ["DIRECTIONS", "DOMAINS", "AttackInstance", "Direction", "Domain"]

Domain = Literal["continuous", "pixels"]
DOMAINS: tuple[Domain, ...] = get_args(Domain)
Direction = Literal["both", "lighten", "darken"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
TARGETS = ("runner-up", "untargeted")
FloatArray = npt.NDArray[np.float64]

HALFWAY = 2.0**-10
"""Grid steps: more than an image's levels, times 2^20 in float64, are off."""


@dataclass(frozen=True, eq=False)
class AttackInstance:
    """Maximise the margin of a target class over the source class within a budget.

    Parameters
    ----------
    network : BinarizedNetwork
        Whose prediction is to be changed.
    image : array_like, shape (n,) or the network's input_shape
        Values in [0, 1], or whole levels in an array of integers.
    epsilon : float or str
        Largest change of a pixel, in [0, 1]: the box is [x - epsilon, x + epsilon] within
        [0, 1]. It is what is written: ``0.1`` is a tenth, ``"8/255"`` eight levels of 255.
    target : {"runner-up", "untargeted"}, int or str
        The class with the second-highest logit (the paper's choice), the best of all others,
        or a class by number or name.
    domain : {"continuous", "pixels"}
        Any real value, as in the paper, or whole levels of the network only, such as k/255.
    mask : array_like of bool, shape (n,) or the network's input_shape, optional
        True where a pixel may change; every pixel may if it is not given.
    direction : {"both", "lighten", "darken"}
        Whether pixels may rise, fall or both.
    max_pixels : int, optional
        Most pixels that may change (L0).
    max_l1 : float or str, optional
        Largest sum of the changes, in [0, 1] units; read as `epsilon` is.
    goal : str
        What is sought: ``"margin"``, the largest margin (the paper's (1)); ``"flip"``, any flip;
        ``"linf"``, ``"l1"`` or ``"l0"``, the smallest perturbation that flips;
        a weighted sum such as ``"margin+0.5*l1"``, in which distances are paid;
        or two of those in lexicographic order, ``"l0,linf"``.
    ties : {"lowest", "never", "always"}
        When a target beats the source at a margin of 0: as the prediction goes, to the lowest
        index; never, as in the paper; or always. Above 0 it does in any case.
    source : int or str, optional
        The class whose loss counts as a flip; the prediction for the image if not given.
    within : pair of array_like, shape (n,) or the network's input_shape each, optional
        The lowest and the highest value of each pixel, which `epsilon` does not widen: any box
        that has the image in it. Read as `image` is.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    network: BinarizedNetwork
    image: npt.ArrayLike
    epsilon: float
    target: int | str = "runner-up"
    domain: Domain = "continuous"
    mask: npt.ArrayLike | None = None
    direction: Direction = "both"
    max_pixels: int | None = None
    max_l1: float | None = None
    goal: str = "margin"
    ties: Ties = "lowest"
    source: int = cast("int", None)
    within: tuple[npt.ArrayLike, npt.ArrayLike] | None = None
    _scaled: FloatArray = field(init=False, repr=False)
    _radius: Fraction = field(init=False, repr=False)
    _max_l1: Fraction | None = field(init=False, repr=False)
    _limits: tuple[FloatArray, FloatArray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        scaled = self.network.scaled(self.image)
        if len(scaled) != 1:
            raise InputError(f"an attack takes one image, not {len(scaled)}")
        self._set("_scaled", scaled[0])
        image = self.network.images(self.image)[0]
        self._set("image", image.reshape(self.network.input_shape))
        exact = read_fraction(self.epsilon, "epsilon", low=0, high=1, levels=self.network.levels)
        self._set("_radius", exact * self.network.levels)
        self._set("epsilon", float(exact))
        self._set("domain", read_choice(self.domain, "domain", DOMAINS))
        if self.domain == "pixels" and np.any(self.levels != np.round(self.levels)):
            raise InputError(
                f"domain 'pixels' needs an image of whole levels k/{self.network.levels}; "
                "round it, or use domain 'continuous'"
            )
        self._check_budget()
        self._check_within()
        self._set("ties", read_choice(self.ties, "ties", TIES))
        self._check_classes()
        Goal.parse(self.goal)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_budget(self) -> None:
        self._set("direction", read_choice(self.direction, "direction", DIRECTIONS))
        if self.max_pixels is not None:
            self._set("max_pixels", read_whole(self.max_pixels, "max_pixels", low=0))
        exact: Fraction | None = None
        if self.max_l1 is not None:
            exact = read_fraction(self.max_l1, "max_l1", low=0) * self.network.levels
            self._set("max_l1", float(exact / self.network.levels))
        self._set("_max_l1", exact)
        if self.mask is None:
            return
        mask = read_mask(self.mask, self.network.input_shape)
        self._set("mask", mask.reshape(self.network.input_shape))

    def _check_within(self) -> None:
        """Limits on the levels, before they are rounded to the grid; whole ones for pixels."""
        if self.within is None:
            least = np.zeros(self.network.num_inputs)
            self._set("_limits", (least, least + self.network.levels))
            return
        try:
            low, high = self.within
        except (TypeError, ValueError):
            raise InputError("within is a pair: the lowest and the highest values") from None
        limits = [self.network.scaled(bound) for bound in (low, high)]
        if any(len(bound) != 1 for bound in limits):
            raise InputError("within is a pair of single images, not of batches")
        (least,), (most,) = limits
        outside = np.flatnonzero((self._scaled < least) | (self._scaled > most))
        if len(outside):
            raise InputError(
                f"the image must lie within the box: pixel {outside[0]} does not, in the order "
                "of the flat image"
            )
        values = (
            self.network.images(bound).reshape(self.network.input_shape) for bound in (low, high)
        )
        self._set("within", tuple(values))
        if self.domain == "pixels":
            least = np.ceil(least - HALFWAY / GRID)
            most = np.floor(most + HALFWAY / GRID)
        self._set("_limits", (least, most))

    def _check_classes(self) -> None:
        if self.network.num_classes < 2:
            raise InputError("a network with one class cannot be attacked")
        if self.source is None:
            self._set("source", int(np.argmax(self.logits)))
        self._set("source", self._class("source", self.source))
        if isinstance(self.target, str) and self.target in TARGETS:
            return
        self._set("target", self._class("target", self.target, TARGETS))
        if self.target == self.source:
            is_predicted = self.source == np.argmax(self.logits)
            what = "already the prediction" if is_predicted else "the source"
            raise InputError(f"target {self.target} is {what}: choose another class")

    def _class(self, what: str, value: Any, others: tuple[str, ...] = ()) -> int:
        network = self.network
        return read_class(value, what, network.num_classes, network.class_names, others)

    @property
    def exact_epsilon(self) -> Fraction:
        """`epsilon` as it was written."""
        return self._radius / self.network.levels

    @property
    def exact_l1(self) -> Fraction | None:
        """`max_l1` as it was written."""
        return None if self._max_l1 is None else self._max_l1 / self.network.levels

    @cached_property
    def levels(self) -> FloatArray:
        """The image as the network sees it, shape (n,), on the grid."""
        return np.asarray(np.round(self._scaled * GRID) / GRID)

    @cached_property
    def logits(self) -> FloatArray:
        """Logits of the image, shape (C,)."""
        logits: FloatArray = self.network.logits_of_levels(self.levels[None])[0]
        return logits

    @cached_property
    def targets(self) -> tuple[int, ...]:
        """The classes whose margin counts: one, or all but the source if untargeted."""
        if isinstance(self.target, int):
            return (self.target,)
        others = [c for c in range(self.network.num_classes) if c != self.source]
        if self.target == "untargeted":
            return tuple(others)
        return (max(others, key=lambda c: (self.logits[c], -c)),)

    @cached_property
    def of_margins(self) -> Margins:
        """What margins can be, and which of them are flips."""
        return Margins(self.network.output, self.source, self.targets, self.ties)

    @cached_property
    def sought(self) -> Goal:
        """The goal, read."""
        return Goal.parse(self.goal)

    def rank(self, z: FloatArray) -> tuple[float, ...]:
        """A key of levels `z`, shape (n,), that is larger for a better point.

        Parameters
        ----------
        z : array of float, shape (n,)
            Levels.
        """
        return self.ranks(z[None])[0]

    def ranks(self, points: FloatArray) -> list[tuple[float, ...]]:
        """`rank` of each of several points.

        Parameters
        ----------
        points : array of float, shape (count, n)
            Levels.
        """
        logits = self.network.logits_of_levels(points)
        values = self.of_margins.best(logits), self.of_margins.is_flip(logits)
        pays = self.sought.pays_distances
        return [
            self.sought.rank(objective, is_flip, self.distances(z) if pays else {})
            for z, objective, is_flip in zip(points, *values, strict=True)
        ]

    def distances(self, z: FloatArray) -> dict[str, float]:
        """How far levels `z`, shape (n,), are from the image: see `bnnopt.goal.DISTANCES`.

        Parameters
        ----------
        z : array of float, shape (n,)
            Levels.
        """
        return distances((z - self.levels) / self.network.levels)

    @cached_property
    def box(self) -> tuple[FloatArray, FloatArray]:
        """Bounds on the levels, each (n,), that contain every feasible point: for proofs."""
        low, high = self._reached(up=True)
        # An image between two grid values is seen as the nearer one, and so is a changed image.
        low = np.ceil(low * GRID - 0.5 - HALFWAY) / GRID
        high = np.floor(high * GRID + 0.5 + HALFWAY) / GRID
        return self._limited(low, high)

    @cached_property
    def point_box(self) -> tuple[FloatArray, FloatArray]:
        """Bounds on the levels, each (n,), on the grid and within the budget: for points."""
        low, high = self._reached(up=False)
        low = np.ceil(low * GRID - HALFWAY) / GRID
        high = np.floor(high * GRID + HALFWAY) / GRID
        low, high = self._limited(low, high)
        return np.minimum(low, self.levels), np.maximum(high, self.levels)

    def _reached(self, *, up: bool) -> tuple[FloatArray, FloatArray]:
        """What epsilon, rounded up or down, leaves of the limits on the levels."""
        reach, (least, most) = self._on_grid(self._radius, up=up), self._limits
        return np.maximum(self._scaled - reach, least), np.minimum(self._scaled + reach, most)

    def _on_grid(self, levels: Fraction, *, up: bool) -> float:
        """A budget in levels as a multiple of the grid step, or a whole number for pixels.

        It is the nearest one where that is meant (`BUDGET_LEVELS`), else the next one up or down.
        """
        if self.domain == "pixels":
            return float((levels + Fraction(BUDGET_LEVELS)).__floor__())
        steps = levels * int(GRID)
        nearest = round(steps)
        if abs(steps - nearest) > BUDGET_LEVELS * GRID:
            nearest = steps.__ceil__() if up else steps.__floor__()
        return nearest / GRID

    def _limited(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds with the image's own level where a pixel may not move that way."""
        moves = np.full(len(low), self._radius > 0)
        if self.mask is not None:
            moves &= np.ravel(cast("npt.NDArray[np.bool_]", self.mask))
        falls = moves & (self.direction != "lighten")
        rises = moves & (self.direction != "darken")
        low = np.where(falls, low, self.levels)
        high = np.where(rises, high, self.levels)
        return low, high

    @cached_property
    def reach(self) -> FloatArray:
        """How far each level can move at most, shape (n,)."""
        low, high = self.box
        return np.maximum(high - self.levels, self.levels - low)

    def largest_distance(self, name: str) -> float:
        """The largest of a distance, one of `bnnopt.goal.DISTANCES`, that the budget allows.

        Parameters
        ----------
        name : {"linf", "l1", "l0"}
            Of `bnnopt.goal.DISTANCES`.
        """
        if name == "linf":
            return self.epsilon
        if name == "l1":
            return float(min(self.reach.sum(), self.l1_levels)) / self.network.levels
        most = np.inf if self.max_pixels is None else self.max_pixels
        return float(min(np.count_nonzero(self.reach), most))

    @property
    def is_box(self) -> bool:
        """Whether the box is all that limits the perturbation."""
        return self.max_pixels is None and self.max_l1 is None

    @cached_property
    def l1_levels(self) -> float:
        """The budget `max_l1` in levels, rounded up: for proofs. Infinite if there is none."""
        return np.inf if self._max_l1 is None else self._on_grid(self._max_l1, up=True)

    @cached_property
    def l1_point_levels(self) -> float:
        """The budget `max_l1` in levels, rounded down: for points. Infinite if there is none."""
        return np.inf if self._max_l1 is None else self._on_grid(self._max_l1, up=False)

    def snap(self, z: FloatArray) -> FloatArray:
        """Admissible levels near `z`: in `point_box` and the budget, on the grid or whole.

        Parameters
        ----------
        z : array of float, shape (n,)
            Levels of any size; (count, n) as well where the box is all that limits them.
        """
        step = 1.0 if self.domain == "pixels" else GRID
        low, high = self.point_box
        snapped = np.clip(np.round(z * step) / step, low, high)
        if self.is_box:
            return snapped
        change = snapped - self.levels
        if self.max_pixels is not None:
            change[np.argsort(-np.abs(change), kind="stable")[self.max_pixels :]] = 0.0
        total = float(np.abs(change).sum())
        if total > self.l1_point_levels:
            # Truncation towards the image keeps every change within the box; a hair less, so
            # that no rounding of the product reaches the next grid value.
            share = self.l1_point_levels / total * (1.0 - 2.0**-40)
            change = np.trunc(change * share * step) / step
        return self.levels + change

    def admits(self, x: npt.ArrayLike) -> bool:
        """Whether the network sees an image as levels within the budget: exactly so.

        Parameters
        ----------
        x : array_like, shape (n,) or the network's input_shape
            An image: values in [0, 1], or whole levels in an array of integers.
        """
        z = self.network.levels_of(x)[0]
        low, high = self.box
        moved = np.abs(z - self.levels)
        return bool(
            np.all((z >= low) & (z <= high))
            and (self.domain == "continuous" or np.all(z == np.round(z)))
            and (self.max_pixels is None or np.count_nonzero(moved) <= self.max_pixels)
            and moved.sum() <= self.l1_levels
        )

    def margins(self, z: FloatArray) -> FloatArray:
        """Margins of levels `z`, shape (batch, n) to (batch,): the best over the targets.

        Parameters
        ----------
        z : array of float, shape (batch, n)
            Levels on the grid.
        """
        return np.asarray(self.of_margins.best(self.network.logits_of_levels(z)))

    def are_flips(self, z: FloatArray) -> npt.NDArray[np.bool_]:
        """Which levels `z`, shape (batch, n), are flips by the rule on ties, shape (batch,).

        Parameters
        ----------
        z : array of float, shape (batch, n)
            Levels on the grid.
        """
        return np.asarray(self.of_margins.is_flip(self.network.logits_of_levels(z)))

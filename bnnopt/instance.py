"""One attack problem: a network, an image, a perturbation budget and a goal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from bnnopt.errors import InputError, UnknownNameError
from bnnopt.goal import Goal, distances
from bnnopt.network import GRID, BinarizedNetwork

__all__ = ["DIRECTIONS", "DOMAINS", "ROUNDING", "AttackInstance", "Direction", "Domain"]

Domain = Literal["continuous", "pixels"]
DOMAINS: tuple[Domain, ...] = get_args(Domain)
Direction = Literal["both", "lighten", "darken"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
FloatArray = npt.NDArray[np.float64]

ROUNDING = 1e-9
"""Relative slack, far below a grid step, for budgets such as 2/255 that float64 rounds down."""


@dataclass(frozen=True, eq=False)
class AttackInstance:
    """Maximise the margin of a target class over the predicted one within a budget.

    Parameters
    ----------
    network : BinarizedNetwork
    image : array_like, shape (n,) or the network's input_shape
        Values in [0, 1].
    epsilon : float
        Largest change of a pixel, in [0, 1]: the box is [x - epsilon, x + epsilon] within
        [0, 1].
    target : {"runner-up", "untargeted"} or int
        The class with the second-highest logit (the paper's choice), the best of all others,
        or a class.
    domain : {"continuous", "pixels"}
        Any real value, as in the paper, or whole levels k/255 only.
    mask : array_like of bool, shape (n,) or the network's input_shape, optional
        True where a pixel may change; every pixel may if it is not given.
    direction : {"both", "lighten", "darken"}
        Whether pixels may rise, fall or both.
    max_pixels : int, optional
        Most pixels that may change (L0).
    max_l1 : float, optional
        Largest sum of the changes, in [0, 1] units.
    goal : str
        What is sought: ``"margin"``, the largest margin (the paper's (1)); ``"flip"``, any
        positive margin; ``"linf"``, ``"l1"`` or ``"l0"``, the smallest perturbation with a
        positive margin; a weighted sum such as ``"margin+0.5*l1"``, in which distances are paid;
        or two of those in lexicographic order, ``"l0,linf"``.

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

    def __post_init__(self) -> None:
        flat = self.network.images(self.image)
        if len(flat) != 1:
            raise InputError(f"an attack takes one image, not {len(flat)}")
        object.__setattr__(self, "image", flat[0].reshape(self.network.input_shape))
        if not 0.0 <= self.epsilon <= 1.0:  # also catches NaN
            raise InputError(f"epsilon must lie in [0, 1], not {self.epsilon}")
        if self.domain not in DOMAINS:
            raise UnknownNameError("domain", self.domain, DOMAINS)
        if self.domain == "pixels" and np.any(self.levels != np.round(self.levels)):
            raise InputError(
                f"domain 'pixels' needs an image of whole levels k/{self.network.levels}; "
                "round it, or use domain 'continuous'"
            )
        self._check_budget()
        self._check_target()
        Goal.parse(self.goal)

    def _check_budget(self) -> None:
        if self.direction not in DIRECTIONS:
            raise UnknownNameError("direction", self.direction, DIRECTIONS)
        if self.max_pixels is not None and (
            not isinstance(self.max_pixels, int | np.integer) or self.max_pixels < 0
        ):
            raise InputError(f"max_pixels must be a whole number >= 0, not {self.max_pixels!r}")
        if self.max_l1 is not None and not 0.0 <= self.max_l1 < np.inf:
            raise InputError(f"max_l1 must be a finite number >= 0, not {self.max_l1!r}")
        if self.mask is None:
            return
        mask = np.asarray(self.mask)
        if mask.shape not in ((self.network.num_inputs,), self.network.input_shape):
            raise InputError(
                f"mask has shape {mask.shape}; it must be that of the image, "
                f"{self.network.input_shape}"
            )
        if mask.dtype.kind not in "biuf" or not np.all((mask == 0) | (mask == 1)):
            raise InputError("mask must hold true or false (1 or 0) for each pixel")
        object.__setattr__(self, "mask", mask.astype(bool).reshape(self.network.input_shape))

    def _check_target(self) -> None:
        if isinstance(self.target, str):
            if self.target not in ("runner-up", "untargeted"):
                raise UnknownNameError(
                    "target", self.target, ("runner-up", "untargeted"), ", or a class number"
                )
        elif not 0 <= self.target < self.network.num_classes:
            raise InputError(
                f"target {self.target} is not a class: choose 0 to {self.network.num_classes - 1}"
            )
        elif self.target == self.source:
            raise InputError(
                f"target {self.target} is already the prediction: choose another class"
            )
        if self.network.num_classes < 2:
            raise InputError("a network with one class cannot be attacked")

    @cached_property
    def levels(self) -> FloatArray:
        """The image as the network sees it, shape (n,), on the grid."""
        levels: FloatArray = self.network.levels_of(self.image)[0]
        return levels

    @cached_property
    def logits(self) -> FloatArray:
        """Logits of the image, shape (C,)."""
        logits: FloatArray = self.network.logits_of_levels(self.levels[None])[0]
        return logits

    @cached_property
    def source(self) -> int:
        """The class that the network predicts for the image."""
        return int(np.argmax(self.logits))

    @cached_property
    def targets(self) -> tuple[int, ...]:
        """The classes whose margin counts: one, or all but the source if untargeted."""
        if isinstance(self.target, int | np.integer):
            return (int(self.target),)
        others = [c for c in range(self.network.num_classes) if c != self.source]
        if self.target == "untargeted":
            return tuple(others)
        return (max(others, key=lambda c: (self.logits[c], -c)),)

    @cached_property
    def sought(self) -> Goal:
        """The goal, read."""
        return Goal.parse(self.goal)

    def distances(self, z: FloatArray) -> dict[str, float]:
        """How far levels `z`, shape (n,), are from the image: see `bnnopt.goal.DISTANCES`."""
        return distances((z - self.levels) / self.network.levels)

    @cached_property
    def box(self) -> tuple[FloatArray, FloatArray]:
        """Bounds on the levels, each (n,), that contain every feasible point: for proofs."""
        low, high = self._budget()
        if self.domain == "pixels":
            return low, high
        return self._clip(np.floor(low * GRID) / GRID, np.ceil(high * GRID) / GRID)

    @cached_property
    def point_box(self) -> tuple[FloatArray, FloatArray]:
        """Bounds on the levels, each (n,), on the grid and within the budget: for points."""
        low, high = self._budget()
        if self.domain == "pixels":
            return low, high
        slack = ROUNDING * GRID
        low = np.ceil(low * GRID - slack) / GRID
        high = np.floor(high * GRID + slack) / GRID
        return np.minimum(low, self.levels), np.maximum(high, self.levels)

    def _budget(self) -> tuple[FloatArray, FloatArray]:
        step = self.network.levels * self.epsilon
        if self.domain == "pixels":
            step = np.floor(step + ROUNDING)
        reach = np.full_like(self.levels, step)
        if self.mask is not None:
            reach[~np.ravel(self.mask)] = 0.0
        fall = 0.0 if self.direction == "lighten" else reach
        rise = 0.0 if self.direction == "darken" else reach
        return self._clip(self.levels - fall, self.levels + rise)

    def _clip(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.maximum(low, 0.0), np.minimum(high, float(self.network.levels))

    @property
    def is_box(self) -> bool:
        """Whether the box is all that limits the perturbation."""
        return self.max_pixels is None and self.max_l1 is None

    @property
    def l1_levels(self) -> float:
        """The budget `max_l1` in levels; infinite if there is none."""
        return np.inf if self.max_l1 is None else self.max_l1 * self.network.levels

    def snap(self, z: FloatArray) -> FloatArray:
        """Admissible levels near `z`: in `point_box` and the budget, on the grid or whole."""
        step = 1.0 if self.domain == "pixels" else GRID
        low, high = self.point_box
        snapped = np.clip(np.round(z * step) / step, low, high)
        if self.is_box:
            return snapped
        change = snapped - self.levels
        if self.max_pixels is not None:
            change[np.argsort(-np.abs(change), kind="stable")[self.max_pixels :]] = 0.0
        total = float(np.abs(change).sum())
        if total > self.l1_levels * (1.0 + ROUNDING):
            # Truncation towards the image keeps every change within the box.
            change = np.trunc(change * (self.l1_levels / total) * step) / step
        return self.levels + change

    def admits(self, x: FloatArray) -> bool:
        """Whether an image, shape (n,) in [0, 1], is within the budget.

        Distances in float64 are rounded, so 1e-9 is allowed on each.
        """
        change = x - np.ravel(self.image)
        moved = np.abs(change)
        fixed = np.zeros(0) if self.mask is None else moved[~np.ravel(self.mask)]
        sign = {"both": 0.0, "lighten": -1.0, "darken": 1.0}[self.direction]
        return bool(
            moved.max() <= self.epsilon + ROUNDING
            and np.all(fixed <= ROUNDING)
            and np.all(sign * change <= ROUNDING)
            and (self.max_pixels is None or np.sum(moved > ROUNDING) <= self.max_pixels)
            and (self.max_l1 is None or moved.sum() <= self.max_l1 + ROUNDING)
        )

    def margins(self, z: FloatArray) -> FloatArray:
        """Margins of levels `z`, shape (batch, n) to (batch,): the best over the targets."""
        logits = self.network.logits_of_levels(z)
        best = logits[:, self.targets].max(axis=1)
        margins: FloatArray = best - logits[:, self.source]
        return margins

    def lattice(self, target: int) -> tuple[float, float] | None:
        """(offset, step) such that every margin of `target` is offset + step * integer.

        With the integer head the weights of two classes differ by 0 or ±2 and activations are
        ±1, so margins move in steps of 4. None for another head.
        """
        output = self.network.output
        if not output.is_integer:
            return None
        difference = output.weight[target].astype(np.int64) - output.weight[self.source]
        bias = output.bias[target] - output.bias[self.source]
        return float(difference.sum() + bias), 4.0

    @property
    def proof_step(self) -> float:
        """An absolute gap below which a bound on the margin proves its optimum.

        Where all targets share one lattice, a gap below its step does.
        """
        lattices = {self.lattice(target) for target in self.targets}
        offsets = {None if lattice is None else lattice[0] % lattice[1] for lattice in lattices}
        return 3.9 if len(offsets) == 1 and None not in offsets else 1e-6

    def smallest_flip(self) -> float:
        """The least positive margin of any target where margins have a lattice, else 0."""
        values = []
        for target in self.targets:
            lattice = self.lattice(target)
            if lattice is None:
                return 0.0
            offset, step = lattice
            values.append(offset + step * (np.floor(-offset / step) + 1.0))
        return float(min(values))

    def round_bound(self, bound: float) -> float:
        """The largest margin that any point can have, given that none exceeds `bound`.

        The margin of the best target lies on that target's lattice. Solvers prove a bound up
        to their tolerance only, so a value within 0.001 below a lattice point counts as on it.
        """
        rounded = []
        for target in self.targets:
            lattice = self.lattice(target)
            if lattice is None:
                return bound
            offset, step = lattice
            rounded.append(offset + step * np.floor((bound + 1e-3 - offset) / step))
        return float(max(rounded))

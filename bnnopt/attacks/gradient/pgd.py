"""PGD made for sign networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bnnopt.attacks.gradient.ascent import Ascent
from bnnopt.attacks.gradient.base import GradientAttack, at_least_one
from bnnopt.attacks.gradient.rows import Rows
from bnnopt.surrogate import Activation, AdaptiveSign

__all__ = ["PgdAttack"]

FloatArray = npt.NDArray[np.float64]

CLIPS = (0.05, 0.5)
"""Of `AdaptiveSign`: those of PGD's first and last restart, geometrically between."""

GOLDEN = (5.0**0.5 - 1.0) / 2.0

FIRST_RATE, LAST_RATE = 0.5, 0.1
"""PGD's first and last step, as shares of the box's width."""

MOMENTUM = 0.75
"""What a step of PGD keeps of the gradients before it."""


class PgdAttack(GradientAttack):
    """Projected gradient ascent on the margin, with restarts, made for sign networks.

    - The forward pass has the true signs, so that every iterate is a candidate at no extra cost.
    - The straight-through gradient is clipped adaptively, by layer and point
      (`bnnopt.surrogate.AdaptiveSign`), and the restarts spread over the width of the clip: no
      width is best for all networks, budgets and images. Where any flip will do, every
      second restart, the first among them, has another width at each step, which most often
      leads to one; the best margins come from restarts that keep theirs.
    - Restarts begin at corners of the box and at random points in turn, the first at the image;
      of an untargeted attack, every second one pursues a target of its own.
    - Steps shrink geometrically from `FIRST_RATE` to `LAST_RATE`, along the sign of a momentum of
      normalized gradients (Dong et al. 2018).

    Parameters
    ----------
    restarts, steps : int
        At least 1.
    device : str
        As for `GradientAttack`.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    method: ClassVar[str] = "pgd"

    def __init__(self, restarts: int = 40, steps: int = 100, device: str = "auto") -> None:
        super().__init__(restarts, device)
        self._steps = at_least_one("steps", steps)

    def activation(self, rows: Rows) -> Activation:
        """Signs with an adaptive clip, a width for each restart: that of the first step."""
        return AdaptiveSign(_clips(rows, 0), rows.reach())

    def begin(self, rows: Rows, seed: int, starts: Sequence[FloatArray]) -> Tensor:
        """The image, the starts, and scattered points."""
        return rows.begin(starts, rows.scattered(seed))

    def climb(self, ascent: Ascent, z: Tensor) -> None:
        """Climb from every restart at once."""
        rows, momentum = ascent.rows, torch.zeros_like(z)
        rows.spread_targets()
        reach = rows.reach()
        for step in range(self._steps):
            if rows.seek_any_flip:
                ascent.follow(AdaptiveSign(_clips(rows, step), reach))
            point = rows.admissible(z, momentum)
            margins, gradients = ascent.gradients(point)
            ascent.update(point, margins)
            if ascent.is_finished:
                return
            size = torch.linalg.vector_norm(gradients, dim=1, keepdim=True).clamp_min_(1e-12)
            momentum.mul_(MOMENTUM).addcdiv_(gradients, size)
            rate = FIRST_RATE * (LAST_RATE / FIRST_RATE) ** (step / self._steps)
            z = rows.step(z, momentum, rate)
        ascent.evaluate(rows.admissible(z, momentum))


def _clips(rows: Rows, step: int) -> Tensor:
    """The width of each row's clip at a step, shape (rows, 1)."""
    shares = np.linspace(0.0, 1.0, rows.total)
    if rows.seek_any_flip:  # multiples of the golden ratio cover [0, 1] evenly
        shares[::2] = (shares[::2] + step * GOLDEN) % 1.0
    lowest, highest = np.log(CLIPS)
    clips = np.exp(lowest + (highest - lowest) * shares[rows.numbers])
    return torch.from_numpy(clips).to(rows.levels).repeat(len(rows.instances))[:, None]

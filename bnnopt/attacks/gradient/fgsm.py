"""FGSM and the paper's iterated FGSM: the surrogate's gradient, from the image."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from bnnopt.attacks.gradient.ascent import Ascent
from bnnopt.attacks.gradient.base import GradientAttack, at_least_one

__all__ = ["FgsmAttack", "IteratedFgsmAttack"]

RATE = 0.05
"""A step of the iterated attack, as a share of the box's width."""


class FgsmAttack(GradientAttack):
    """One step to the corner of the box that the gradient points to (Goodfellow et al. 2015).

    The gradient is the surrogate's, as for `IteratedFgsmAttack`.

    Parameters
    ----------
    device : str
        As for `GradientAttack`.
    """

    method: ClassVar[str] = "fgsm"

    def __init__(self, device: str = "auto") -> None:
        super().__init__(device=device)

    def climb(self, ascent: Ascent, z: Tensor) -> None:
        """One step."""
        _, gradients = ascent.gradients(z)
        ascent.evaluate(ascent.rows.admissible(ascent.rows.vertices(gradients), gradients))


class IteratedFgsmAttack(GradientAttack):
    """The paper's baseline: steps of `RATE` along the sign of the surrogate's gradient.

    The gradient of the objective (1) is that of the paper's approximate BNN
    (`bnnopt.surrogate.HardTanh`); the true network's objective decides the incumbent. It runs
    until the time limit, `steps`, or a step that changes nothing.

    Parameters
    ----------
    steps : int
        Most iterations, at least 1.
    device : str
        As for `GradientAttack`.

    Raises
    ------
    InputError
        If `steps` is out of range.
    """

    method: ClassVar[str] = "ifgsm"

    def __init__(self, steps: int = 5000, device: str = "auto") -> None:
        super().__init__(device=device)
        self._steps = at_least_one("steps", steps)

    def climb(self, ascent: Ascent, z: Tensor) -> None:
        """Step along the sign of the gradient."""
        for _ in range(self._steps):
            _, gradients = ascent.gradients(z)
            moved = ascent.rows.step(z, gradients, RATE)
            if moved.equal(z):
                return
            z = moved
            ascent.evaluate(ascent.rows.admissible(z, gradients))
            if ascent.is_finished:
                return

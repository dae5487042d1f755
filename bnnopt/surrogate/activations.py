"""What a hidden layer gives forward, and what it lets pass backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Activation", "AdaptiveSign", "ClippedSign", "HardTanh", "signs_with_slope"]

Activation = Callable[[Tensor, int], Tensor]
"""Of distances from the thresholds, shape (batch, width), and the layer's index from 0."""


@dataclass(frozen=True)
class HardTanh:
    """The surrogate g itself, forward and backward: the paper's approximate BNN.

    Parameters
    ----------
    scales : sequence of float
        One a hidden layer, in units of its distances.
    """

    scales: Sequence[float]

    def __call__(self, distance: Tensor, layer: int) -> Tensor:
        """g(distance / scale)."""
        return (distance / self.scales[layer]).clamp(-1.0, 1.0)


@dataclass(frozen=True)
class ClippedSign:
    """The sign forward; backward, the derivative of g: 1 within `scales`, 0 beyond.

    Parameters
    ----------
    scales : sequence of float
        One a hidden layer, in units of its distances.
    """

    scales: Sequence[float]

    def __call__(self, distance: Tensor, layer: int) -> Tensor:
        """Signs; sign(0) = +1."""
        return signs_with_slope(distance, distance.abs() <= self.scales[layer])


@dataclass(frozen=True)
class AdaptiveSign:
    """The sign forward; backward, a clip that follows each image and layer.

    With u the distance from the threshold over `clip` times the layer's mean distance, the
    derivative is 1 / (1 + u^2): neurons next to their thresholds, which a small change can flip,
    lead the ascent, and some gradient passes wherever the point is. The fixed clip lets all
    neurons of a common distance pass alike, most of which no small change flips.

    Parameters
    ----------
    clip : float or Tensor, shape (batch, 1)
        About 0.05 to 0.5.
    reach : float or Tensor, shape (batch, 1)
        How far the box moves the first layer's sums, on average, in units of their distances;
        the first layer's mean distance counts as twice this at most. Small boxes around images
        of a network whose sums see few pixels move few neurons, far below the mean distance.
    """

    clip: float | Tensor
    reach: float | Tensor = math.inf

    def __call__(self, distance: Tensor, layer: int) -> Tensor:
        """Signs; sign(0) = +1."""
        fixed = distance.detach()
        scale = fixed.abs().mean(dim=1, keepdim=True)
        if layer == 0:  # the box moves pixels less than flips move activations
            scale = scale.div_(2.0).clamp_max_(self.reach)
        scale.mul_(self.clip).clamp_min_(1e-6)
        return signs_with_slope(distance, (fixed / scale).square_().add_(1.0).reciprocal_())


class _Sign(torch.autograd.Function):
    """sign, sign(0) = +1, with a derivative that is given."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return (distance >= 0).to(distance.dtype).mul_(2.0).sub_(1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None


def signs_with_slope(distance: Tensor, slope: Tensor) -> Tensor:
    """Signs in {-1, +1}, sign(0) = +1, whose derivative is `slope`, of the same shape."""
    signs: Tensor = _Sign.apply(distance, slope)  # type: ignore[no-untyped-call]
    return signs

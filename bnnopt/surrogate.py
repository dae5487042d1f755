"""The folded network as a differentiable torch module: true signs, a surrogate's gradient.

A sign has no useful derivative, so the gradient goes through the surrogate of section 4 of the
paper, g(x) = x on [-1, 1] and sign(x) elsewhere. Folding has merged the batch normalization that
brought pre-activations to the scale of g; a `scale` takes its place, and an `Activation` says what
a layer gives forward and what it lets pass backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import MissingDependencyError
from bnnopt.network import GRID, BinarizedNetwork

try:
    import torch
except ImportError as error:
    raise MissingDependencyError("torch", "a gradient attack", "torch") from error

from torch import Tensor, nn

__all__ = [
    "Activation",
    "AdaptiveSign",
    "ClippedSign",
    "HardTanh",
    "StraightThroughNetwork",
    "layer_scales",
    "surrogate_logits",
]

FloatArray = npt.NDArray[np.float64]

Activation = Callable[[Tensor, int], Tensor]
"""Of distances from the thresholds, shape (batch, width), and the layer's index from 0."""


def layer_scales(network: BinarizedNetwork) -> tuple[float, ...]:
    """What g takes as 1 in each hidden layer: about the spread of its pre-activations.

    The standard deviation of a sum of m random signs is sqrt(m). Pixels of the shipped data sets
    are correlated and far from full, and half of ``levels * sqrt(n)`` is what was measured.
    """
    first = network.levels * np.sqrt(network.num_inputs) / 2.0
    return (float(first), *(float(np.sqrt(width)) for width in network.widths[:-1]))


@dataclass(frozen=True)
class HardTanh:
    """The surrogate g itself, forward and backward: the paper's approximate BNN.

    Parameters
    ----------
    scales : sequence of float
        One a hidden layer, in units of its pre-activation.
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
        One a hidden layer, in units of its pre-activation.
    """

    scales: Sequence[float]

    def __call__(self, distance: Tensor, layer: int) -> Tensor:
        """Signs; sign(0) = +1."""
        return _straight_through(distance, distance.abs() <= self.scales[layer])


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
    """

    clip: float | Tensor

    def __call__(self, distance: Tensor, layer: int) -> Tensor:
        """Signs; sign(0) = +1."""
        fixed = distance.detach()
        scale = fixed.abs().mean(dim=1, keepdim=True).mul_(self.clip).clamp_min_(1e-6)
        if layer == 0:
            scale.div_(2.0)  # the box moves pixels less than flips move activations
        return _straight_through(distance, (fixed / scale).square_().add_(1.0).reciprocal_())


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


def _straight_through(distance: Tensor, slope: Tensor) -> Tensor:
    """Signs in {-1, +1} whose derivative is `slope`."""
    signs: Tensor = _Sign.apply(distance, slope)  # type: ignore[no-untyped-call]
    return signs


class StraightThroughNetwork(nn.Module):
    """A folded network whose logits have gradients.

    Parameters
    ----------
    network : BinarizedNetwork
    activation : Activation, optional
        `ClippedSign` with `layer_scales` if it is not given.
    dtype : torch.dtype
        With float64 the logits of true signs are those of `network`, exactly; with float32 a
        neuron within about 0.1 level of its threshold may have the other sign.
    """

    def __init__(
        self,
        network: BinarizedNetwork,
        activation: Activation | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        self.levels, self.depth = network.levels, network.depth
        self.activation = activation or ClippedSign(layer_scales(network))
        for layer, hidden in enumerate(network.hidden):
            self._keep(f"weight_{layer}", hidden.weight, dtype)
            self._keep(f"offset_{layer}", -hidden.threshold, dtype)
        output = network.output
        self._keep("output_weight", output.weight, dtype)
        self._keep("output_scale", output.scale, dtype)
        self._keep("output_bias", output.bias, dtype)

    def _keep(self, name: str, values: npt.ArrayLike, dtype: torch.dtype) -> None:
        # A copy: the network's own arrays are read-only.
        self.register_buffer(name, torch.from_numpy(np.array(values, dtype=np.float64)).to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images, shape (batch, n) or (batch, *input_shape) in [0, 1] to (batch, C)."""
        z = x.flatten(1) * self.levels
        # The network's grid, which the derivative ignores.
        return self.logits_of_levels(z + (torch.round(z * GRID) / GRID - z).detach())

    def logits_of_levels(self, z: Tensor) -> Tensor:
        """Logits of levels, shape (batch, n) to (batch, C)."""
        for layer in range(self.depth):
            weight, offset = self.get_buffer(f"weight_{layer}"), self.get_buffer(f"offset_{layer}")
            z = self.activation(nn.functional.linear(z, weight, offset), layer)
        sums = z @ self.get_buffer("output_weight").T
        return sums * self.get_buffer("output_scale") + self.get_buffer("output_bias")


def surrogate_logits(network: BinarizedNetwork, x: npt.ArrayLike) -> FloatArray:
    """Logits of the paper's approximate BNN, with g in place of every sign (its Figure 1).

    Parameters
    ----------
    network : BinarizedNetwork
    x : array_like, shape (n,), (batch, n), input_shape or (batch, *input_shape)
        Images in [0, 1].

    Returns
    -------
    array of float64, shape (batch, C)

    Raises
    ------
    InputError
        If `x` is not made of images of the network.
    """
    surrogate = StraightThroughNetwork(network, HardTanh(layer_scales(network)))
    logits: FloatArray = surrogate(torch.from_numpy(network.images(x))).numpy()
    return logits

"""A folded network as a torch module."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bnnopt.network import GRID, BinarizedNetwork
from bnnopt.row_units import layer_scales
from bnnopt.surrogate.activations import Activation, ClippedSign, HardTanh
from bnnopt.surrogate.distances import distances_of

__all__ = ["StraightThroughNetwork", "surrogate_logits"]

FloatArray = npt.NDArray[np.float64]


class StraightThroughNetwork(nn.Module):
    """A folded network whose logits have gradients.

    Parameters
    ----------
    network : BinarizedNetwork
        Whose weights and thresholds are used.
    activation : Activation, optional
        `ClippedSign` with `layer_scales` if it is not given. Distances from thresholds are in
        units of each row's weights (`bnnopt.row_units`).
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
        self.levels = network.levels
        self.activation = activation or ClippedSign(layer_scales(network))
        self.distances = nn.ModuleList(distances_of(layer, dtype) for layer in network.hidden)
        output = network.output
        for name, values in (
            ("output_weight", output.weight),
            ("output_scale", output.scale),
            ("output_bias", output.bias),
        ):
            self.register_buffer(name, torch.from_numpy(values.astype(np.float64)).to(dtype))

    def with_activation(self, activation: Activation) -> Self:
        """The same network, whose weights it shares, with another activation."""
        other = copy.copy(self)
        other.activation = activation
        return other

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images, shape (batch, n) or (batch, *input_shape) in [0, 1] to (batch, C)."""
        z = x.flatten(1) * self.levels
        # The network's grid, which the derivative ignores.
        return self.logits_of_levels(z + (torch.round(z * GRID) / GRID - z).detach())

    def logits_of_levels(self, z: Tensor) -> Tensor:
        """Logits of levels, shape (batch, n) to (batch, C)."""
        for number, distances in enumerate(self.distances):
            z = self.activation(distances(z), number)
        sums = z @ self.get_buffer("output_weight").T
        return sums * self.get_buffer("output_scale") + self.get_buffer("output_bias")


def surrogate_logits(network: BinarizedNetwork, x: npt.ArrayLike) -> FloatArray:
    """Logits of the paper's approximate BNN, with g in place of every sign (its Figure 1).

    Parameters
    ----------
    network : BinarizedNetwork
        Whose signs are replaced.
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

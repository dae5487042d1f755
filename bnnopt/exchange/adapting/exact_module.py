"""A network as the torch module that other libraries attack: exact values, surrogate gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bnnopt.network import BinarizedNetwork
from bnnopt.surrogate import Activation, AdaptiveSign, StraightThroughNetwork

__all__ = ["CLIP", "ExactModule", "image_shape"]

CLIP = 0.2
"""Of `AdaptiveSign`: between those of our own PGD, whose restarts have several."""


class ExactModule(nn.Module):
    """The network's logits, exactly, of images of any float type; gradients go straight through.

    Parameters
    ----------
    network : BinarizedNetwork
    activation : Activation, optional
        Whose derivative the gradients take: `AdaptiveSign` of `CLIP` if it is not given. Its
        values must be true signs.
    """

    def __init__(self, network: BinarizedNetwork, activation: Activation | None = None) -> None:
        super().__init__()
        self.network = network
        self._signs = StraightThroughNetwork(network, activation or AdaptiveSign(CLIP))

    def forward(self, x: Tensor) -> Tensor:
        """Logits in float64 of images, shape (batch, *input_shape) to (batch, C).

        What lies outside [0, 1] is read as the nearer end; the gradients ignore that. Images that
        a division by zero in an attack has made NaN have logits of NaN.
        """
        pixels = x.flatten(1)
        missing = pixels.isnan().any(dim=1, keepdim=True)
        given = pixels.detach().nan_to_num().clamp(0.0, 1.0)
        z = pixels.double() * self.network.levels
        seen = torch.from_numpy(self.network.levels_of(given)).to(z)
        logits = self._signs.logits_of_levels(z + (seen - z).detach())
        return logits.masked_fill(missing, torch.nan)


def image_shape(network: BinarizedNetwork) -> tuple[int, ...]:
    """The shape that other libraries expect of an image: channels first, one if there are none."""
    shape = network.input_shape
    return (1, *shape) if len(shape) == 2 else shape

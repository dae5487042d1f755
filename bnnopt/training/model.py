"""The trainable network: latent real weights, binarized with a straight-through gradient."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from bnnopt.surrogate.activations import signs_with_slope

__all__ = ["HEADS", "BinaryLinear", "Head", "TrainableNetwork", "binarize"]

Head = Literal["integer", "batchnorm"]
HEADS: tuple[Head, ...] = ("integer", "batchnorm")


def binarize(x: Tensor) -> Tensor:
    """Elementwise sign in {-1, +1} with the straight-through gradient of the surrogate g.

    g(x) = x on [-1, 1] and sign(x) elsewhere (section 4 of the paper), so the gradient passes
    where |x| <= 1 and is zero elsewhere.
    """
    return signs_with_slope(x, x.detach().abs() <= 1)


class BinaryLinear(nn.Module):
    """A linear layer without bias whose weights are the signs of latent real weights."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.latent = nn.Parameter(torch.empty(fan_out, fan_in).uniform_(-0.1, 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in) to (batch, out)."""
        return nn.functional.linear(x, binarize(self.latent))


class TrainableNetwork(nn.Module):
    """A fully connected binarized network in float form.

    Parameters
    ----------
    num_inputs : int
        Pixels an image.
    widths : sequence of int
        Neurons of each hidden layer.
    num_classes : int
        Logits.
    head : {"integer", "batchnorm"}
        ``integer``: binary weights and whole biases, and one shared positive scale that only
        the loss sees, so that the exported logits are integers. ``batchnorm``: the paper's
        affine map of batch normalization.
    """

    def __init__(
        self, num_inputs: int, widths: tuple[int, ...], num_classes: int, head: Head
    ) -> None:
        super().__init__()
        sizes = [num_inputs, *widths]
        self.hidden = nn.ModuleList(map(BinaryLinear, sizes[:-1], sizes[1:]))
        self.norms = nn.ModuleList(map(nn.BatchNorm1d, widths))
        self.output = BinaryLinear(widths[-1], num_classes)
        self.head = head
        if head == "integer":
            self.bias = nn.Parameter(torch.zeros(num_classes))
            self.log_scale = nn.Parameter(torch.tensor(-0.5 * math.log(widths[-1])))
        else:
            self.output_norm = nn.BatchNorm1d(num_classes)

    def activations(self, x: Tensor) -> list[Tensor]:
        """Activations in {-1, +1} of every hidden layer, each (batch, width)."""
        activations = []
        for linear, norm in zip(self.hidden, self.norms, strict=True):
            x = binarize(norm(linear(x)))
            activations.append(x)
        return activations

    def logits(self, activations: Tensor) -> Tensor:
        """Logits from the last hidden layer's activations, without the scale of the loss."""
        sums: Tensor = self.output(activations)
        if self.head == "integer":
            rounding = (self.bias.round() - self.bias).detach()
            return sums + self.bias + rounding
        normalized: Tensor = self.output_norm(sums)
        return normalized

    def forward(self, x: Tensor) -> Tensor:
        """Scores for the cross-entropy, (batch, pixels in [0, 1]) to (batch, classes)."""
        logits = self.logits(self.activations(x)[-1])
        return logits * self.log_scale.exp() if self.head == "integer" else logits

    def latent_weights(self) -> list[nn.Parameter]:
        """The latent weights of every layer; training keeps them in [-1, 1]."""
        return [layer.latent for layer in (*self.hidden, self.output)]

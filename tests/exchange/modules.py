"""Small torch modules of binarized networks, written in the ways that people write them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class SignOfAll(torch.autograd.Function):
    """+1 at 0, set in place behind a sign of three values."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        found = x.sign()
        found[found == 0] = 1
        return found

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class Binary(nn.Linear):
    """Weights binarized on the way, as in BinaryNet: its input too, unless that is an image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.size(1) != 784:
            x.data = x.data.sign()
        found = functional.linear(x, SignOfAll.apply(self.weight))
        if self.bias is not None:
            found += self.bias.view(1, -1).expand_as(found)
        return found


class BinaryConv(nn.Conv2d):
    """Weights are signs times their mean size, one number a channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True)
        weight = (self.weight.sign() * scale - self.weight).detach() + self.weight
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


def three_valued(x: torch.Tensor) -> torch.Tensor:
    return torch.sign(x)


def up_at_zero(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x >= 0, torch.ones_like(x), -torch.ones_like(x))


def down_at_zero(x: torch.Tensor) -> torch.Tensor:
    return (x > 0).to(x.dtype) * 2 - 1


def down_in_place(x: torch.Tensor) -> torch.Tensor:
    found = torch.zeros_like(x)
    found[x > 0] = 2
    return found - 1


def bits(x: torch.Tensor) -> torch.Tensor:
    return (x > 0).float().to(x.dtype)


def heaviside(x: torch.Tensor) -> torch.Tensor:
    return torch.heaviside(x, torch.tensor(0.5, dtype=x.dtype))


def by_parts(x: torch.Tensor) -> torch.Tensor:
    return x.sign() + (x == 0).to(x.dtype)


def two_comparisons(x: torch.Tensor) -> torch.Tensor:
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


def masked(x: torch.Tensor) -> torch.Tensor:
    return x.sign().masked_fill(x == 0, -1.0)


def of_whole_numbers(x: torch.Tensor) -> torch.Tensor:
    return ((x > 0).int() * 2 - 1).to(x.dtype)


def chosen_numbers(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x >= 0, 1, -1).to(x.dtype)


def taken_off(x: torch.Tensor) -> torch.Tensor:
    return 1 - 2 * (x < 0).to(x.dtype)


def reversed_difference(x: torch.Tensor) -> torch.Tensor:
    return torch.rsub((x > 0).to(x.dtype), torch.ones((), dtype=x.dtype), alpha=2)


def negated_bits(x: torch.Tensor) -> torch.Tensor:
    return 1.0 * (~(x > 0)).to(x.dtype) - 0.25


def straight_through(x: torch.Tensor) -> torch.Tensor:
    clipped = x.clamp(-1, 1)
    return torch.sign(x).detach() - clipped.detach() + clipped


def polynomial(x: torch.Tensor) -> torch.Tensor:
    """As in ReActNet: the gradient is that of a piecewise polynomial."""
    low, middle, high = x < -1, x < 0, x < 1
    first = (-1) * low.float() + (x * x + 2 * x) * (1 - low.float())
    second = first * middle.float() + (-x * x + 2 * x) * (1 - middle.float())
    third = second * high.float() + 1 * (1 - high.float())
    return torch.sign(x).detach() - third.detach() + third


SIGNS = {
    f.__name__: f
    for f in [
        three_valued,
        up_at_zero,
        down_at_zero,
        down_in_place,
        bits,
        heaviside,
        by_parts,
        two_comparisons,
        masked,
        of_whole_numbers,
        chosen_numbers,
        taken_off,
        reversed_difference,
        negated_bits,
        SignOfAll.apply,
    ]
}
"""Whose values are exact, by name."""


class Sign(nn.Module):
    """One of these functions, as a layer."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


def with_random_norms(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module, its batch norms as if they had seen images."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            if part.affine:
                nn.init.normal_(part.weight, generator=generator)
                nn.init.normal_(part.bias, generator=generator)
    return module

"""Attacks inside the training loop: what makes a network robust, and its proofs short.

Each batch is attacked by the network as it is (running means and deviations of its norms), and
trained on what comes out. Behind cuts an image is as good as its bits, and a box frees those of the
pixels near a cut: at first some of them flip at random, then a step of gradient moves most of them
to where the linear model of the loss is largest, which is known exactly for each pixel. Where the
first layer sees levels it is projected gradient ascent on the sign of the gradient.

Nothing here waits for the device, so that a step can be captured.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bnnopt.training.bounds import box
from bnnopt.training.model import PixelCuts, TrainableNetwork

__all__ = ["attacked"]

SHARE_AT_RANDOM = 0.5
"""Of the free pixels, at most so many are moved at random; how many is drawn for each image."""

SHARE_BY_GRADIENT = 0.8
"""Of the free pixels, so many follow a step's gradient. All at once would go too far."""

STRIDE = 2.5
"""All steps of gradient ascent together, in radii."""


def attacked(
    model: TrainableNetwork,
    levels: Tensor,
    labels: Tensor,
    radius: Tensor | float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """What the first linear layer sees of images that an attack has moved within their boxes.

    Parameters
    ----------
    model : TrainableNetwork
        Evaluated as it is: call `eval` before, so that batch normalization uses its running
        statistics.
    levels : Tensor, shape (batch, pixels)
        0 to 255, in floating point.
    labels : Tensor of int64, shape (batch,)
        Their classes, which the attack leads away from.
    radius : Tensor, shape () or (batch, 1), or float
        In levels.
    steps : int
        Of gradient, each a forward and a backward pass.
    generator : torch.Generator
        On the device of `levels`.

    Returns
    -------
    Tensor
        Bits of ±1 behind cuts, else pixels in [0, 1]; for `TrainableNetwork.scores`.
    """
    if model.cuts is None:
        return _by_ascent(model, levels, labels, radius, steps, generator)
    return _by_flips(model, model.cuts, levels, labels, radius, steps, generator)


def _by_flips(
    model: TrainableNetwork,
    cuts: PixelCuts,
    levels: Tensor,
    labels: Tensor,
    radius: Tensor | float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    low, high = box(model, levels, radius)
    shape = len(levels), len(cuts.scaled), levels.shape[1]
    free = (low != high).view(shape)
    order = torch.arange(shape[1], device=levels.device)[:, None]
    on = (cuts(levels) > 0).view(shape)
    share = SHARE_AT_RANDOM * _uniform((shape[0], 1, 1), levels, generator)
    moved = _uniform((shape[0], 1, shape[2]), levels, generator) < share
    reached = _uniform((shape[0], 1, shape[2]), levels, generator) * (shape[1] + 1)
    on = torch.where(moved, order + 1 <= reached, on)
    for _ in range(steps):
        seen = torch.where(on.flatten(1), high, low).detach().requires_grad_()
        gradient = _ascent(model, seen, labels).view(shape) * free
        moved = _uniform((shape[0], 1, shape[2]), levels, generator) < SHARE_BY_GRADIENT
        on = torch.where(moved & free.any(1, keepdim=True), order < _best_count(gradient), on)
    return torch.where(on.flatten(1), high, low)  # keeps the gradient of cuts that are learnt


def _best_count(gradient: Tensor) -> Tensor:
    """How many cuts each pixel should reach, for a gradient of shape (batch, cuts, pixels).

    A pixel reaches its cuts in order, so that k of them gain the sum of the first k. Shape
    (batch, 1, pixels).
    """
    total = best = torch.zeros_like(gradient[:, 0])
    count = torch.zeros_like(best)
    for number in range(gradient.shape[1]):  # argmax along so short an axis takes 50 times as long
        total = total + gradient[:, number]
        count = torch.where(total > best, number + 1.0, count)
        best = torch.maximum(total, best)
    return count[:, None]


def _by_ascent(
    model: TrainableNetwork,
    levels: Tensor,
    labels: Tensor,
    radius: Tensor | float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    white = model.num_levels
    low, high = (levels - radius).clamp_min(0), (levels + radius).clamp_max(white)
    point = low + (high - low) * _uniform(tuple(levels.shape), levels, generator)
    for _ in range(steps):
        seen = (point / white).requires_grad_()
        step = STRIDE * radius / steps * _ascent(model, seen, labels).sign()
        point = torch.minimum(torch.maximum(point + step, low), high)
    return point / white


def _ascent(model: TrainableNetwork, seen: Tensor, labels: Tensor) -> Tensor:
    loss = nn.functional.cross_entropy(model.scores(seen), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, seen)
    return gradient


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)

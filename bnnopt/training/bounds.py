"""Bounds inside the training loop: scores that no image of a box exceeds, by intervals.

A layer's activations are -1, +1 or either: a centre, and a half-width of 0 or 1. A row of weights
of -1, 0 and +1 turns those into a centre and a half-width of the pre-activation, and its norm and
the sign turn that into those of the next activations. Of the logits only differences count, and
those are bounded at once, not one logit after the other.

A network whose worst scores are small is proved without a search on most images, and what is left
to the search is little. The gradient is the straight-through one of both ends.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bnnopt.training.model import BinaryLayer, TrainableNetwork, binarize

__all__ = ["box", "worst_scores"]

Norm = nn.BatchNorm1d | nn.BatchNorm2d


def box(model: TrainableNetwork, levels: Tensor, radius: Tensor | float) -> tuple[Tensor, Tensor]:
    """The ends of what the first linear layer sees within a radius.

    Parameters
    ----------
    model : TrainableNetwork
        Bits of ±1 behind its cuts, else pixels in [0, 1].
    levels : Tensor, shape (batch, pixels)
        In floating point.
    radius : Tensor, shape () or (batch, 1), or float
        In levels.

    Returns
    -------
    (low, high) : Tensors
        With the gradient of cuts that are learnt.
    """
    if model.cuts is not None:
        return model.cuts(levels - radius), model.cuts(levels + radius)
    white = model.num_levels
    return (levels - radius).clamp_min(0) / white, (levels + radius).clamp_max(white) / white


def worst_scores(model: TrainableNetwork, low: Tensor, high: Tensor, labels: Tensor) -> Tensor:
    """Each class's largest lead over the label, as far as intervals tell.

    Parameters
    ----------
    model : TrainableNetwork
        In evaluation mode: norms are the affine maps of their running statistics.
    low, high : Tensor
        Ends of what the first linear layer sees, as `box` gives them.
    labels : Tensor of int64, shape (batch,)
        The classes that must stay ahead.

    Returns
    -------
    Tensor, shape (batch, classes)
        No image between the ends has a greater difference of scores; 0 for the label itself.
    """
    center, radius = (low + high) / 2, (high - low) / 2
    for layer, norm in zip(model.hidden, model.norms, strict=True):
        low, high = _pre_activations(layer, norm, center, radius)
        low, high = binarize(low).flatten(1), binarize(high).flatten(1)
        center, radius = (low + high) / 2, (high - low) / 2
    leads = _leads(model, center, radius, labels)
    return leads.scatter(1, labels[:, None], 0.0)


def _pre_activations(
    layer: nn.Module, norm: nn.Module, center: Tensor, radius: Tensor
) -> tuple[Tensor, Tensor]:
    """Ends of normalized pre-activations."""
    if not isinstance(layer, BinaryLayer) or not isinstance(norm, Norm):
        raise TypeError(f"no bounds through {type(layer).__name__} and {type(norm).__name__}")
    scale, shift = _affine(norm)
    weight = layer.weights(layer.latent)
    middle, half = layer.by(weight, center), layer.by(weight.abs(), radius)
    shape = (1, -1, *(1 for _ in middle.shape[2:]))
    middle, half = middle * scale.view(shape) + shift.view(shape), half * scale.abs().view(shape)
    return middle - half, middle + half


def _affine(norm: Norm) -> tuple[Tensor, Tensor]:
    """Scale and shift of a norm in evaluation mode."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale


def _leads(model: TrainableNetwork, center: Tensor, radius: Tensor, labels: Tensor) -> Tensor:
    """Upper ends of all differences to the label's score, for every pair of classes at first."""
    if model.head == "integer":
        scale = model.log_scale.exp().expand(len(model.bias))
    else:
        scale, _ = _affine(model.output_norm)
    weight = scale[:, None] * model.output.weights(model.output.latent)
    scores = model.scaled(model.logits(center))
    apart = (weight[:, None] - weight).abs().flatten(0, 1)
    pairs = nn.functional.linear(radius, apart).view(len(labels), len(weight), len(weight))
    half = pairs.gather(1, labels[:, None, None].expand(-1, 1, len(weight))).squeeze(1)
    return scores - scores.gather(1, labels[:, None]) + half

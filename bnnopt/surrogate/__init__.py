"""The folded network as a differentiable torch module: true signs, a surrogate's gradient.

A sign has no useful derivative, so the gradient goes through the surrogate of section 4 of the
paper, g(x) = x on [-1, 1] and sign(x) elsewhere. Folding has merged the batch normalization that
brought pre-activations to the scale of g; a `scale` takes its place, and an `Activation` says what
a layer gives forward and what it lets pass backward.
"""

from __future__ import annotations

from bnnopt.errors import MissingDependencyError

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise MissingDependencyError("torch", "a gradient attack", "torch") from error

from bnnopt.row_units import layer_scales
from bnnopt.surrogate.activations import Activation, AdaptiveSign, ClippedSign, HardTanh
from bnnopt.surrogate.straight_through import StraightThroughNetwork, surrogate_logits

__all__ = [
    "Activation",
    "AdaptiveSign",
    "ClippedSign",
    "HardTanh",
    "StraightThroughNetwork",
    "layer_scales",
    "surrogate_logits",
]

"""Quantizers of Larq: what they make of latent weights, and which sign they are of activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError

__all__ = ["HEAVISIDE", "SIGNS", "quantized", "quantizer"]

Array = npt.NDArray[Any]

SIGNS = frozenset(["ste_sign", "SteSign", "approx_sign", "ApproxSign", "swish_sign", "SwishSign"])
"""All of them +1 at 0; only their gradients differ."""

HEAVISIDE = frozenset(["ste_heaviside", "SteHeaviside"])
"""1 above 0, and 0 at it and below."""

SCALED = frozenset(["magnitude_aware_sign", "MagnitudeAwareSign"])
TERNARY = frozenset(["ste_tern", "SteTern"])
NOTHING = frozenset(["NoOp", "NoOpQuantizer", "no_op", "linear"])


def quantizer(given: Any) -> tuple[str, dict[str, Any]]:
    """The name and configuration of a quantizer or activation; empty for none.

    Parameters
    ----------
    given : str, dict or None
        As Keras writes functions (a name) and objects (``class_name`` and ``config``).
    """
    if isinstance(given, dict):
        inner = given.get("config") or {}
        if isinstance(inner, str):  # a function of Keras 3
            return quantizer(inner)
        return quantizer(str(given["class_name"]))[0], dict(inner)
    name = "" if given is None else str(given)
    name = name.rsplit(">", 1)[-1]  # the package in front of it
    return ("" if name in NOTHING else name), {}


def quantized(kernel: Array, given: Any) -> Array:
    """What a kernel quantizer makes of latent weights, shape (..., outputs).

    Parameters
    ----------
    kernel : array of float32
    given : str, dict or None
    """
    name, config = quantizer(given)
    signs = np.where(kernel >= 0, 1, -1).astype(np.float32)
    if not name:
        return kernel
    if name in SIGNS:
        return signs
    if name in SCALED:
        axes = tuple(range(kernel.ndim - 1))
        return np.asarray(signs * np.abs(kernel).mean(axis=axes, dtype=np.float32))
    if name in HEAVISIDE:
        return (kernel > 0).astype(np.float32)
    if name in TERNARY:
        limit = float(config.get("threshold_value", 0.05))
        if config.get("ternary_weight_networks", False):
            clip = float(config.get("clip_value", 1.0))
            limit = 0.7 * float(np.abs(np.clip(kernel, -clip, clip)).mean())
        return np.asarray(np.sign(kernel) * (np.abs(kernel) > limit))
    raise NetworkFormatError(f"its kernel quantizer {name!r} is not known")

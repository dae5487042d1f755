"""Shapes of images and layers as text, for tables."""

from __future__ import annotations

from collections.abc import Sequence

from bnnopt.network import BinarizedNetwork

__all__ = ["layers_text", "shape_text"]


def shape_text(shape: Sequence[int]) -> str:
    """Such as ``3x32x32``: channels, rows and columns, or a single number."""
    return "x".join(map(str, shape))


def layers_text(network: BinarizedNetwork) -> str:
    """The hidden layers: ``100x100`` of plain ones, ``16x30x30-100`` where some are images."""
    shapes = [layer.output_shape for layer in network.hidden]
    is_plain = all(len(shape) == 1 for shape in shapes)
    return ("x" if is_plain else "-").join(map(shape_text, shapes))

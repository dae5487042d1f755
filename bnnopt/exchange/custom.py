"""Operators for ONNX's reference evaluator: one of QONNX, and one that it has for training only."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

__all__ = ["CUSTOM_OPERATORS", "DOMAINS"]

DOMAINS = ("onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general")


class _BipolarQuant(OpRun):
    """``scale`` where x >= 0, else ``-scale``."""

    def _run(self, x: Any, scale: Any) -> tuple[Any]:
        return (np.where(x >= 0, scale, -scale).astype(x.dtype),)


class _BatchNormalization(OpRun):
    """For inference: in versions before 14 the evaluator takes part of the batch's own mean."""

    op_domain = ""

    def _run(self, *given: Any, **attributes: Any) -> tuple[Any]:
        x, *parts = given
        sides = (1, -1, *[1] * (x.ndim - 2))
        gamma, beta, mean, variance = (np.asarray(part).reshape(sides) for part in parts)
        sigma = np.sqrt(variance + np.asarray(attributes["epsilon"], dtype=variance.dtype))
        return (((x - mean) / sigma * gamma + beta).astype(x.dtype),)


CUSTOM_OPERATORS = [
    *(type("BipolarQuant", (_BipolarQuant,), {"op_domain": domain}) for domain in DOMAINS),
    type("BatchNormalization", (_BatchNormalization,), {}),
]
"""The first is the same in the three domains that files name."""

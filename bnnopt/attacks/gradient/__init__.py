"""FGSM, iterated FGSM and PGD on batches of images and restarts; needs torch."""

from __future__ import annotations

from bnnopt.errors import MissingDependencyError

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise MissingDependencyError("torch", "a gradient attack", "torch") from error

from bnnopt.attacks.gradient.base import GradientAttack
from bnnopt.attacks.gradient.fgsm import FgsmAttack, IteratedFgsmAttack
from bnnopt.attacks.gradient.pgd import PgdAttack

__all__ = ["FgsmAttack", "GradientAttack", "IteratedFgsmAttack", "PgdAttack"]

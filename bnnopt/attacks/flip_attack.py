"""The base of the attacks that search over first-layer flips."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.base import Attack, Limits
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.smallest_box import seeks_smallest_box, smallest_box
from bnnopt.instance import AttackInstance
from bnnopt.search.warm_up import warm_up

__all__ = ["FlipAttack"]

FloatArray = npt.NDArray[np.float64]


class FlipAttack(Attack):
    """An attack for the margin, a flip or the smallest box with one; a subclass has `seek`."""

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        return (*super().packages(), "numba")

    def prepare(self, instance: AttackInstance) -> None:
        """Compile the kernel."""
        warm_up()

    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Search the box; for the goal linf, box after box."""
        if seeks_smallest_box(instance):
            return smallest_box(instance, limits, starts, self.seek)
        return self.seek(instance, limits, starts)

    @abstractmethod
    def seek(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Search one box for the margin or a flip; arguments as for `run`."""

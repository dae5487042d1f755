"""The base of the attacks that search over first-layer flips."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.base import Attack
from bnnopt.attacks.budgets.smallest import distance_sought, smallest_budget
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.flips.flip_search import check_searchable
from bnnopt.attacks.flips.nearest import nearest_of_pattern
from bnnopt.attacks.limits import Limits
from bnnopt.instance import AttackInstance
from bnnopt.search.warm_up import warm_up_near

__all__ = ["FlipAttack"]

FloatArray = npt.NDArray[np.float64]


class FlipAttack(Attack):
    """An attack for the margin, a flip or the smallest linf or l1; a subclass has `seek`."""

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        return (*super().packages(), "numba")

    def prepare(self, instance: AttackInstance) -> None:
        """Refuse what this cannot serve; compile the kernel."""
        check_searchable(instance, self.method)
        self.compile_kernel(instance)

    def compile_kernel(self, instance: AttackInstance) -> None:
        """Compile what the search of an instance calls: here what pattern search does."""
        warm_up_near()

    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Search the box; for the goals linf and l1, box after box or budget after budget."""
        name = distance_sought(instance)
        if name is not None:
            return smallest_budget(instance, name, limits, starts, self.seek, nearest_of_pattern)
        return self.seek(instance, limits, starts)

    @abstractmethod
    def seek(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Search within one budget for the margin or a flip; arguments as for `run`."""

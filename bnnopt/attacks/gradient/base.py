"""What the gradient attacks do around their steps: batches, devices, Ctrl-C."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt
from torch import Tensor

from bnnopt.arguments import read_whole
from bnnopt.attacks.base import Attack
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.gradient.ascent import DTYPE, Ascent, find_device, threads
from bnnopt.attacks.gradient.rows import Rows
from bnnopt.attacks.limits import Limits
from bnnopt.errors import InputError
from bnnopt.instance import AttackInstance
from bnnopt.result import AttackResult
from bnnopt.surrogate import Activation, HardTanh, layer_scales

__all__ = ["GradientAttack", "at_least_one"]

FloatArray = npt.NDArray[np.float64]


class GradientAttack(Attack):
    """An attack on any number of instances at once, each with its restarts.

    Parameters
    ----------
    restarts : int
        Points that each instance begins from, at least 1.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` and the like.
    """

    def __init__(self, restarts: int = 1, device: str = "auto") -> None:
        self._restarts = at_least_one("restarts", restarts)
        self._device = device

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        return (*super().packages(), "torch")

    def activation(self, rows: Rows) -> Activation:
        """Of the network whose gradients are followed: the paper's surrogate g."""
        return HardTanh(layer_scales(rows.network))

    def begin(self, rows: Rows, seed: int, starts: Sequence[FloatArray]) -> Tensor:
        """Where the rows begin, shape (rows, n): the image, and each start."""
        return rows.begin(starts, rows.levels)

    @abstractmethod
    def climb(self, ascent: Ascent, z: Tensor) -> None:
        """Improve rows that begin at `z`, shape (rows, n), until the ascent is finished."""

    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Attack one instance."""
        return self._run_batch([instance], limits, [starts])[0]

    def batch(
        self,
        instances: Sequence[AttackInstance],
        limits: Limits | None = None,
        images: Sequence[int | None] | None = None,
        labels: Sequence[int | None] | None = None,
    ) -> list[AttackResult]:
        """Attack instances at once: all restarts of all of them in each pass of the network.

        With the same seed an instance has the same restarts in any batch.

        Parameters
        ----------
        instances : sequence of AttackInstance
            Of one network and domain.
        limits : Limits, optional
            For the whole batch.
        images, labels : sequence of (int or None), optional
            Test-set indices and true classes, for the records.

        Returns
        -------
        list of AttackResult
            Each replayed exactly; its times are those of the whole batch.

        Raises
        ------
        InputError
            If the instances differ in network or domain, or there is no such device.
        """
        limits = limits or Limits()
        nothing: list[int | None] = [None] * len(instances)
        began = time.perf_counter()
        starts = [np.zeros((0, instance.network.num_inputs)) for instance in instances]
        found = self._run_batch(instances, limits, starts)
        return [
            self.conclude(instance, limits, findings, began, image, label)
            for instance, findings, image, label in zip(
                instances, found, images or nothing, labels or nothing, strict=True
            )
        ]

    def _run_batch(
        self, instances: Sequence[AttackInstance], limits: Limits, starts: Sequence[FloatArray]
    ) -> list[Findings]:
        if not instances:
            return []
        if len({(id(instance.network), instance.domain) for instance in instances}) > 1:
            raise InputError("the instances of a batch must share one network and one domain")
        deadline = Deadline(limits)
        restarts = max(self._restarts, *(1 + len(points) for points in starts))
        with threads(limits.threads):
            rows = Rows(instances, restarts, find_device(self._device), DTYPE)
            ascent = Ascent(rows, self.activation(rows), deadline)
            interrupted = True
            with suppress(KeyboardInterrupt):
                self.climb(ascent, self.begin(rows, limits.seed, starts))
                interrupted = False
            return ascent.findings(interrupted=interrupted)


def at_least_one(name: str, value: int) -> int:
    """The value, or an `InputError` that names it."""
    return read_whole(value, name, low=1)

"""What the gradient attacks do around their steps: batches, devices, Ctrl-C."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
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

CHEAP, GROWTH = 2**17, 3
"""Neurons and pixels of a first group of restarts where more would not cost more; its growth."""


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
        found = [Findings(np.zeros((0, i.network.num_inputs))) for i in instances]
        left = list(range(len(instances)))
        device = find_device(self._device)
        with threads(limits.threads):
            for numbers in _groups(instances, restarts):
                rows = Rows([instances[i] for i in left], restarts, device, DTYPE, numbers)
                climbed = self._climb(rows, deadline, limits.seed, [starts[i] for i in left])
                for i, others in zip(left, climbed, strict=True):
                    _add(found[i], others)
                left = [i for i in left if not _is_done(instances[i], found[i])]
                if not left or deadline.passed or any(others.interrupted for others in climbed):
                    break
        return found

    def _climb(
        self, rows: Rows, deadline: Deadline, seed: int, starts: Sequence[FloatArray]
    ) -> list[Findings]:
        ascent = Ascent(rows, self.activation(rows), deadline)
        interrupted = True
        with suppress(KeyboardInterrupt):
            self.climb(ascent, self.begin(rows, seed, starts))
            interrupted = False
        return ascent.findings(interrupted=interrupted)


def _groups(instances: Sequence[AttackInstance], restarts: int) -> Iterator[slice]:
    """Restarts that run at once: all of them; where any flip will do, few before many.

    A group is small only where that saves time: torch's calls have costs of their own.
    """
    network = instances[0].network
    numbers = len(instances) * (network.num_inputs + sum(network.widths))
    any_flip = not any(instance.sought.stages for instance in instances)
    at, count = 0, max(CHEAP // numbers, 1) if any_flip else restarts
    while at < restarts:
        yield slice(at, min(at + count, restarts))
        at, count = at + count, GROWTH * count


def _add(findings: Findings, others: Findings) -> None:
    """Put together what two groups of restarts found."""
    findings.points = np.vstack([findings.points, others.points])
    findings.iterations = (findings.iterations or 0) + (others.iterations or 0)
    best = max((value for _, value in findings.trace), default=-np.inf)
    findings.trace += [step for step in others.trace if step[1] > best]
    findings.interrupted |= others.interrupted


def _is_done(instance: AttackInstance, findings: Findings) -> bool:
    """Whether any flip is sought, and the last point is one."""
    if instance.sought.stages:
        return False
    return bool(instance.are_flips(instance.snap(findings.points[-1])[None])[0])


def at_least_one(name: str, value: int) -> int:
    """The value, or an `InputError` that names it."""
    return read_whole(value, name, low=1)

"""FGSM, iterated FGSM and PGD: ascent along the gradient of a surrogate; needs torch."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bnnopt.attacks.ascent import DTYPE, Ascent, find_device, threads
from bnnopt.attacks.base import Attack, Limits
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.rows import Rows
from bnnopt.errors import InputError
from bnnopt.instance import AttackInstance
from bnnopt.result import AttackResult
from bnnopt.surrogate import Activation, AdaptiveSign, HardTanh, layer_scales

__all__ = ["FgsmAttack", "GradientAttack", "IteratedFgsmAttack", "PgdAttack"]

FloatArray = npt.NDArray[np.float64]

CLIPS = (0.05, 0.5)
"""Of `AdaptiveSign`: those of PGD's first and last restart, geometrically between."""

FIRST_RATE, LAST_RATE = 0.5, 0.1
"""PGD's first and last step, as shares of the box's width."""

MOMENTUM = 0.75
"""What a step of PGD keeps of the gradients before it."""


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
        self._restarts = _at_least_one("restarts", restarts)
        self._device = device

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        return (*super().packages(), "torch")

    @abstractmethod
    def activation(self, rows: Rows) -> Activation:
        """Of the network whose gradients are followed."""

    @abstractmethod
    def begin(self, rows: Rows, seed: int, starts: Sequence[FloatArray]) -> Tensor:
        """Where the rows begin, shape (rows, n)."""

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
            Each replayed exactly; its `wall_time` is an equal share of the batch's.

        Raises
        ------
        InputError
            If the instances differ in network or domain, or there is no such device.
        """
        limits = limits or Limits()
        nothing: list[int | None] = [None] * len(instances)
        began = time.perf_counter()
        starts = [np.zeros((0, instance.network.num_inputs)) for instance in instances]
        results = [
            self.conclude(instance, limits, findings, began, image, label)
            for instance, findings, image, label in zip(
                instances,
                self._run_batch(instances, limits, starts),
                images or nothing,
                labels or nothing,
                strict=True,
            )
        ]
        share = (time.perf_counter() - began) / max(len(results), 1)
        return [replace(result, wall_time=share) for result in results]

    def _run_batch(
        self, instances: Sequence[AttackInstance], limits: Limits, starts: Sequence[FloatArray]
    ) -> list[Findings]:
        if not instances:
            return []
        if len({(id(instance.network), instance.domain) for instance in instances}) > 1:
            raise InputError("the instances of a batch must share one network and one domain")
        deadline = Deadline(limits.time_limit)
        restarts = max(self._restarts, *(1 + len(points) for points in starts))
        with threads(limits.threads):
            rows = Rows(instances, restarts, find_device(self._device), DTYPE)
            ascent = Ascent(rows, self.activation(rows), deadline)
            interrupted = True
            with suppress(KeyboardInterrupt):
                self.climb(ascent, self.begin(rows, limits.seed, starts))
                interrupted = False
            return ascent.findings(interrupted=interrupted)


class FgsmAttack(GradientAttack):
    """One step to the corner of the box that the gradient points to (Goodfellow et al. 2015).

    Parameters
    ----------
    device : str
        As for `GradientAttack`.
    """

    method: ClassVar[str] = "fgsm"

    def __init__(self, device: str = "auto") -> None:
        super().__init__(device=device)

    def activation(self, rows: Rows) -> Activation:
        """The surrogate g, as for the iterated attack."""
        return HardTanh(layer_scales(rows.network))

    def begin(self, rows: Rows, seed: int, starts: Sequence[FloatArray]) -> Tensor:
        """The image, and each start."""
        return rows.begin(starts, rows.levels)

    def climb(self, ascent: Ascent, z: Tensor) -> None:
        """One step."""
        _, gradients = ascent.gradients(z)
        ascent.evaluate(ascent.rows.admissible(ascent.rows.vertices(gradients), gradients))


class IteratedFgsmAttack(GradientAttack):
    """The paper's baseline: steps of one size along the sign of the surrogate's gradient.

    The gradient of the objective (1) is that of the paper's approximate BNN
    (`bnnopt.surrogate.HardTanh`); the true network's objective decides the incumbent. It runs
    until the time limit, `steps`, or a step that changes nothing.

    Parameters
    ----------
    steps : int
        Most iterations, at least 1.
    rate : float
        Size of a step as a share of the box's width, in (0, 1].
    device : str
        As for `GradientAttack`.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    method: ClassVar[str] = "ifgsm"

    def __init__(self, steps: int = 5000, rate: float = 0.05, device: str = "auto") -> None:
        super().__init__(device=device)
        self._steps = _at_least_one("steps", steps)
        if not 0.0 < rate <= 1.0:
            raise InputError(f"rate must lie in (0, 1], not {rate}")
        self._rate = rate

    def activation(self, rows: Rows) -> Activation:
        """The surrogate g: the paper's approximate BNN."""
        return HardTanh(layer_scales(rows.network))

    def begin(self, rows: Rows, seed: int, starts: Sequence[FloatArray]) -> Tensor:
        """The image, and each start."""
        return rows.begin(starts, rows.levels)

    def climb(self, ascent: Ascent, z: Tensor) -> None:
        """Step along the sign of the gradient."""
        for _ in range(self._steps):
            _, gradients = ascent.gradients(z)
            moved = ascent.rows.step(z, gradients, self._rate)
            if moved.equal(z):
                return
            z = moved
            ascent.evaluate(ascent.rows.admissible(z, gradients))
            if ascent.is_finished:
                return


class PgdAttack(GradientAttack):
    """Projected gradient ascent on the margin, with restarts, made for sign networks.

    - The forward pass has the true signs, so that every iterate is a candidate at no extra cost.
    - The straight-through gradient is clipped adaptively, by layer and point
      (`bnnopt.surrogate.AdaptiveSign`), and the restarts spread over the width of the clip: no
      width is best for all networks, budgets and images.
    - Restarts begin at corners of the box and at random points in turn, the first at the image;
      of an untargeted attack, every second one pursues a target of its own.
    - Steps shrink geometrically from `FIRST_RATE` to `LAST_RATE`, along the sign of a momentum of
      normalized gradients (Dong et al. 2018).

    Parameters
    ----------
    restarts, steps : int
        At least 1.
    device : str
        As for `GradientAttack`.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    method: ClassVar[str] = "pgd"

    def __init__(self, restarts: int = 40, steps: int = 100, device: str = "auto") -> None:
        super().__init__(restarts, device)
        self._steps = _at_least_one("steps", steps)

    def activation(self, rows: Rows) -> Activation:
        """Signs with an adaptive clip, a width for each restart."""
        clips = torch.from_numpy(np.geomspace(*CLIPS, rows.restarts)).to(rows.levels)
        return AdaptiveSign(clips.repeat(len(rows.instances))[:, None])

    def begin(self, rows: Rows, seed: int, starts: Sequence[FloatArray]) -> Tensor:
        """The image, the starts, and scattered points."""
        return rows.begin(starts, rows.scattered(seed))

    def climb(self, ascent: Ascent, z: Tensor) -> None:
        """Climb from every restart at once."""
        rows, momentum = ascent.rows, torch.zeros_like(z)
        rows.spread_targets()
        for step in range(self._steps):
            point = rows.admissible(z, momentum)
            margins, gradients = ascent.gradients(point)
            ascent.update(point, margins)
            if ascent.is_finished:
                return
            size = gradients.abs().mean(dim=1, keepdim=True).clamp_min_(1e-12)
            momentum.mul_(MOMENTUM).addcdiv_(gradients, size)
            rate = FIRST_RATE * (LAST_RATE / FIRST_RATE) ** (step / self._steps)
            z = rows.step(z, momentum, rate)
        ascent.evaluate(rows.admissible(z, momentum))


def _at_least_one(name: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value

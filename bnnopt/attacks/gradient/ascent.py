"""Evaluation, gradients and incumbents of a batch on one device; torch only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.gradient.rows import Rows
from bnnopt.errors import InputError
from bnnopt.instance import AttackInstance
from bnnopt.surrogate import Activation, StraightThroughNetwork

__all__ = ["DTYPE", "Ascent", "find_device", "threads"]

FloatArray = npt.NDArray[np.float64]

DTYPE = torch.float32
"""Twice as fast as float64; the replay decides what the rounding of a sum leaves open."""

WAYPOINTS = 16
"""Candidates on the way to a point, that point among them."""


class Ascent:
    """What the gradient attacks share: they move the points, and here is what they learn.

    Parameters
    ----------
    rows : Rows
    activation : Activation
        Of the network whose gradients are followed.
    deadline : Deadline
    """

    def __init__(self, rows: Rows, activation: Activation, deadline: Deadline) -> None:
        self.rows, self._deadline = rows, deadline
        device = rows.levels.device
        self._true = StraightThroughNetwork(rows.network, dtype=DTYPE).to(device)
        self.follow(activation)
        self._points = rows.levels.clone()
        self._margins = torch.full_like(rows.levels[:, 0], -torch.inf)
        self._best = np.full(len(rows.instances), -np.inf)
        self._traces: list[list[tuple[float, float]]] = [[] for _ in rows.instances]
        self._iterations = 0

    def follow(self, activation: Activation) -> None:
        """Take the gradients of the network with this activation from now on."""
        self._model = self._true.with_activation(activation)

    def gradients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The model's margins at `z`, shape (rows,), and its gradients, shape (rows, n)."""
        z = z.detach().requires_grad_()
        logits = self._model.logits_of_levels(z)
        (gradients,) = torch.autograd.grad(self.rows.pursued(logits).sum(), z)
        return self.rows.margins(logits.detach()), gradients

    @torch.no_grad()
    def evaluate(self, z: Tensor) -> None:
        """Take over the rows of admissible points `z` that the network likes better."""
        self.update(z, self.rows.margins(self._true.logits_of_levels(z)))

    def update(self, z: Tensor, margins: Tensor) -> None:
        """Take over the rows of admissible points `z` whose true margins are better."""
        self._iterations += 1
        self._deadline.spend(1)
        (better,) = torch.where(margins > self._margins)
        if not len(better):
            return
        self._points[better] = z[better]
        self._margins[better] = margins[better]
        best = self._margins.view(-1, self.rows.restarts).amax(dim=1).double().cpu().numpy()
        for number in np.flatnonzero(best > self._best):
            self._traces[number].append((self._deadline.elapsed, float(best[number])))
        self._best = best

    @property
    def is_finished(self) -> bool:
        """Whether the time is up, or each instance asks for any flip at all and has one."""
        return self._deadline.passed or (
            self.rows.seek_any_flip and bool(np.all(self._best >= 0)) and self._has_flips()
        )

    def _has_flips(self) -> bool:
        """Replay the best points: rounding may show a flip that is none."""
        return all(
            instance.are_flips(instance.snap(points[0])[None])[0]
            for instance, points in zip(self.rows.instances, self._best_points(), strict=True)
        )

    def _best_points(self) -> list[FloatArray]:
        """Of each instance; where any flip will do only the best one, and else all."""
        points: FloatArray = self._points.cpu().double().numpy()
        shape = len(self.rows.instances), self.rows.restarts
        best = self._margins.view(shape).argmax(dim=1).cpu().numpy()
        return [
            found if instance.sought.stages else found[[at]]
            for instance, found, at in zip(
                self.rows.instances, points.reshape(*shape, -1), best, strict=True
            )
        ]

    def findings(self, *, interrupted: bool) -> list[Findings]:
        """One an instance; its points are the incumbents of its rows."""
        return [
            Findings(
                _candidates(instance, points),
                iterations=self._iterations,
                trace=trace,
                interrupted=interrupted,
            )
            for instance, points, trace in zip(
                self.rows.instances, self._best_points(), self._traces, strict=True
            )
        ]


def _candidates(instance: AttackInstance, points: FloatArray) -> FloatArray:
    """The points; where the goal pays for distances, others on the way from the image to them."""
    if not any(stage.distances for stage in instance.sought.stages):
        return points
    shares = np.linspace(1.0, 0.0, WAYPOINTS, endpoint=False)[:, None, None]
    between: FloatArray = instance.levels + shares * (points - instance.levels)
    return between.reshape(-1, points.shape[1])


def find_device(name: str) -> torch.device:
    """A device by name; ``"auto"`` is a GPU if there is one.

    Raises
    ------
    InputError
        If there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it has CUDA
        reason = str(error).split("\n", 1)[0].rstrip(".")
        raise InputError(f"there is no device {name!r} here ({reason}): use auto or cpu") from None
    return device


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads of the CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

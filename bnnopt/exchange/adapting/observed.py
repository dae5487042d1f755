"""An attack of another library as one of ours: what it evaluates is watched, and kept.

The other library sees a torch module. Every image that it evaluates passes here, so that limits
hold, Ctrl-C keeps the best image, and progress is told, whatever the library's attack does itself.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bnnopt.attacks.base import Attack
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings, keep_going
from bnnopt.attacks.gradient.ascent import threads
from bnnopt.attacks.limits import Limits
from bnnopt.errors import InputError
from bnnopt.exchange.adapting.exact_module import ExactModule, image_shape
from bnnopt.instance import AttackInstance

__all__ = ["ObservedAttack", "ObservedModule", "first_image"]

FloatArray = npt.NDArray[np.float64]

FAILURES = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)
"""What attacks of other libraries raise where they cannot go on."""


class _FlipFound(Exception):  # noqa: N818 - no failure
    """The goal is any flip at all, and here is one."""


class ObservedModule(nn.Module):
    """The network of an instance; it keeps the best image that it is asked about.

    Parameters
    ----------
    instance : AttackInstance
    limits : Limits
        A step of `effort` is an image.

    Attributes
    ----------
    findings : Findings
    """

    def __init__(self, instance: AttackInstance, limits: Limits) -> None:
        super().__init__()
        self.findings = Findings(np.zeros((0, instance.network.num_inputs)), iterations=0)
        self._instance, self._limits = instance, limits
        self._deadline = Deadline(limits)
        self._exact = ExactModule(instance.network)
        self._rank = instance.rank(instance.levels)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images, as those of `ExactModule`.

        Raises
        ------
        OutOfTime
            If a limit is reached.
        """
        self._deadline.check()
        logits: Tensor = self._exact(x)
        self.findings.iterations = (self.findings.iterations or 0) + len(x)
        self._deadline.spend(len(x))
        found = logits.detach().cpu().numpy()
        finite = np.flatnonzero(np.isfinite(found).all(axis=1))
        if len(finite):
            best = np.argmax(self._instance.of_margins.best(found[finite]))
            self.keep(x[int(finite[best])][None])
        return logits

    def keep(self, x: Tensor) -> None:
        """Take over each of the images, shape (batch, *input_shape), that the goal likes better.

        They are brought into the budget first.
        """
        instance = self._instance
        for image in x.detach().flatten(1).nan_to_num().clamp(0.0, 1.0).cpu():
            z = instance.snap(instance.network.levels_of(image)[0])
            rank = instance.rank(z)
            if rank > self._rank:
                self._rank, self.findings.points = rank, z[None]
                margin = float(instance.margins(z[None])[0])
                self.findings.trace.append((self._deadline.elapsed, margin))
                self._limits.tell(self._deadline.elapsed, margin)
                if not instance.sought.stages and instance.are_flips(z[None])[0]:
                    raise _FlipFound


class ObservedAttack(Attack):
    """An attack that another library runs; a subclass implements `search`.

    Its points are what the other attack returns and what it evaluated on the way, brought into
    the budget and replayed. `effort` counts the images that it evaluates; its random numbers
    begin from `seed`. Where it fails, what it found stays, with its message; the goal ``flip`` ends
    it at the first flip.
    """

    @abstractmethod
    def search(self, module: ObservedModule, instance: AttackInstance) -> Tensor:
        """The images that the other attack returns, shape (count, *input_shape)."""

    @abstractmethod
    def describe(self) -> str:
        """The other attack and its parameters, for the record."""

    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Let the other library attack; starts are candidates in any case.

        Raises
        ------
        InputError
            If the other attack does not take the question, such as a target.
        """
        module = ObservedModule(instance, limits).eval()
        findings = module.findings
        findings.steps.append({"attack": self.describe()})
        with _seeded(limits.seed), threads(limits.threads):
            try:
                keep_going(findings, lambda: module.keep(self.search(module, instance)))
            except _FlipFound:
                pass
            except FAILURES as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                findings.message = f"{self.method}: {reason}"
        if findings.message and not findings.iterations:
            hint = "" if instance.target == "untargeted" else '; try target="untargeted"'
            raise InputError(findings.message.rstrip(".") + hint)
        return findings


def first_image(instance: AttackInstance) -> FloatArray:
    """The instance's image as a batch of one, with channels."""
    values = instance.levels / instance.network.levels
    return values.reshape(1, *image_shape(instance.network))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Begin all generators that the libraries draw from, and give them back as they were."""
    drawn, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - theirs
    with torch.random.fork_rng(devices=[]):
        try:
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
        finally:
            random.setstate(drawn)
            np.random.set_state(legacy)  # noqa: NPY002

"""What every attack does around its mathematics: validate, replay, report."""

from __future__ import annotations

import math
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bnnopt.attacks import attack_class
from bnnopt.attacks.findings import PROOF_GAP, Findings, judge
from bnnopt.errors import InputError
from bnnopt.instance import AttackInstance
from bnnopt.result import AttackResult

__all__ = ["Attack", "Findings", "Limits", "best_point"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """What an attack may spend.

    Parameters
    ----------
    time_limit : float or None
        Wall-clock seconds, building included.
    threads : int
    seed : int
        0 to 2**31 - 1.
    on_incumbent : callable, optional
        Called with (seconds, objective) of each better point, as an attack claims it.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    time_limit: float | None = None
    threads: int = 1
    seed: int = 0
    on_incumbent: Callable[[float, float], None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.time_limit is not None and not 0 < self.time_limit < math.inf:
            raise InputError(
                f"time_limit must be a positive number of seconds, not {self.time_limit}"
            )
        if not isinstance(self.threads, int) or self.threads < 1:
            raise InputError(f"threads must be a positive integer, not {self.threads!r}")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**31:
            raise InputError(f"seed must be an integer from 0 to 2**31 - 1, not {self.seed!r}")

    def tell(self, seconds: float, objective: float) -> None:
        """Report a better point to whoever listens."""
        if self.on_incumbent is not None:
            self.on_incumbent(seconds, objective)


class Attack(ABC):
    """An attack; a subclass implements `run`.

    Attributes
    ----------
    method : str
        Its name on the command line.
    takes : tuple of str
        Which of ``solver`` and ``formulation`` its constructor takes.
    solver, formulation : str or None
        For the record, where the attack uses one.
    """

    method: ClassVar[str]
    takes: ClassVar[tuple[str, ...]] = ()
    solver: str | None = None
    formulation: str | None = None

    def prepare(self, instance: AttackInstance) -> None:  # noqa: B027 - most need nothing
        """Import and compile what an instance needs; called before any clock runs."""

    @abstractmethod
    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Search the instance's box.

        Parameters
        ----------
        instance : AttackInstance
        limits : Limits
        starts : array of float, shape (count, n)
            Admissible levels to begin from, the image itself not among them; often none. They
            are candidates of the result in any case, so an attack that has no use for them may
            ignore them.
        """

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        return ("bnnopt", "numpy")

    def __call__(
        self,
        instance: AttackInstance,
        limits: Limits | None = None,
        image: int | None = None,
        label: int | None = None,
        *,
        starts: FloatArray | None = None,
    ) -> AttackResult:
        """Attack one instance.

        Parameters
        ----------
        instance : AttackInstance
        limits : Limits, optional
        image, label : int, optional
            Test-set index and true class, for the record.
        starts : array of float, shape (count, n), optional
            Levels of points to begin from, such as another attack's; brought into the budget.

        Returns
        -------
        AttackResult
            Its point is the best candidate, replayed through the network; the original image
            if no candidate is better.
        """
        limits = limits or Limits()
        self.prepare(instance)
        began = time.perf_counter()
        given = np.zeros((0, instance.network.num_inputs)) if starts is None else starts
        begin = np.array([instance.snap(z) for z in given]).reshape(given.shape)
        findings = self.run(instance, limits, begin)
        findings.points = np.vstack([begin, findings.points])
        return self.conclude(instance, limits, findings, began, image, label)

    def conclude(
        self,
        instance: AttackInstance,
        limits: Limits,
        findings: Findings,
        began: float,
        image: int | None,
        label: int | None,
    ) -> AttackResult:
        """Replay findings and report what stands of them.

        Parameters
        ----------
        instance, limits, image, label
            As for a call.
        findings : Findings
        began : float
            When the attack began, by ``time.perf_counter``.
        """
        z, objective = best_point(instance, findings.points)
        moved = instance.distances(z)
        verdict = judge(instance, findings, objective, moved)
        seconds = time.perf_counter() - began
        used = attack_class(findings.ran).takes if findings.ran else self.takes
        adversarial = z / instance.network.levels
        logits = instance.network.logits(adversarial)
        target = max(instance.targets, key=lambda c: (logits[c], -c))
        return AttackResult(
            network=instance.network.name,
            image=image,
            label=label,
            source=instance.source,
            target=target,
            epsilon=float(instance.epsilon),
            domain=instance.domain,
            method=self.method,
            solver=self.solver if "solver" in used else None,
            formulation=self.formulation if "formulation" in used else None,
            seed=limits.seed,
            time_limit=limits.time_limit,
            status=verdict.status,
            objective=objective,
            bound=verdict.bound,
            start_objective=float(instance.margins(instance.levels[None])[0]),
            flipped=objective > 0,
            verified=_verified(instance, adversarial, objective),
            wall_time=seconds,
            iterations=findings.iterations,
            trace=_honest_trace(findings.trace, objective, seconds),
            versions=self._versions(),
            goal=instance.goal,
            goal_values=instance.sought.values(objective, moved),
            goal_bounds=verdict.goal_bounds,
            distances=moved,
            model=findings.size,
            ran=findings.ran or self.method,
            steps=findings.steps,
            original=np.asarray(instance.image),
            adversarial=adversarial.reshape(instance.network.input_shape),
            logits=instance.logits,
            adversarial_logits=logits,
            interrupted=findings.interrupted,
            message=verdict.message,
        )

    def _versions(self) -> dict[str, str]:
        versions = {"python": platform.python_version()}
        versions.update({package: _version(package) for package in self.packages()})
        return versions


@cache
def _version(package: str) -> str:
    """Read once a process: metadata is parsed anew at each question, in milliseconds."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def best_point(instance: AttackInstance, points: FloatArray) -> tuple[FloatArray, float]:
    """The candidate that serves the goal best in the replay; the original image wins ties."""
    candidates = np.vstack([instance.levels[None], *(instance.snap(z)[None] for z in points)])
    margins = instance.margins(candidates)
    best = max(
        range(len(candidates)),
        key=lambda at: instance.sought.rank(float(margins[at]), instance.distances(candidates[at])),
    )
    return candidates[best], float(margins[best])


def _verified(instance: AttackInstance, adversarial: FloatArray, objective: float) -> bool:
    """Replay the image itself, as a user would, and check that it is within the budget."""
    network = instance.network
    logits = network.logits(adversarial)
    margin = max(logits[c] for c in instance.targets) - logits[instance.source]
    return bool(margin == objective) and instance.admits(adversarial)


def _honest_trace(
    trace: list[tuple[float, float]], objective: float, seconds: float
) -> list[tuple[float, float]]:
    """The claims of a solver that the replayed objective does not contradict, then that one."""
    steps = [(when, value) for when, value in trace if value < objective - PROOF_GAP]
    reached = [when for when, value in trace if value >= objective - PROOF_GAP]
    return [*steps, (min([*reached, seconds]), objective)]

"""What every attack does around its mathematics: validate, replay, report."""

from __future__ import annotations

import platform
import time
from abc import ABC, abstractmethod
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bnnopt.attacks import attack_class
from bnnopt.attacks.findings import Findings, judge, keep_going
from bnnopt.attacks.limits import Limits
from bnnopt.instance import AttackInstance
from bnnopt.processes import products_on_one_thread
from bnnopt.result import AttackResult, Status

__all__ = ["Attack", "Findings", "Limits", "best_point"]

FloatArray = npt.NDArray[np.float64]


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
            What is asked; candidates outside of its budget are brought into it later.
        limits : Limits
            When to stop.
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
            What is asked.
        limits : Limits, optional
            When to stop; the defaults of `Limits` if not given.
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
        findings = Findings(begin)
        with products_on_one_thread():
            keep_going(findings, partial(self._fill, findings, instance, limits, begin))
        return self.conclude(instance, limits, findings, began, image, label)

    def _fill(
        self, findings: Findings, instance: AttackInstance, limits: Limits, starts: FloatArray
    ) -> None:
        """Run; what it returns replaces what the findings were."""
        found = self.run(instance, limits, starts)
        found.points = np.vstack([starts, found.points])
        vars(findings).update(vars(found))

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
            Candidates and claims of any origin.
        began : float
            When the attack began, by ``time.perf_counter``.
        """
        network = instance.network
        z = best_point(instance, findings.points)
        logits = network.logits_of_levels(z[None])[0]
        objective = float(instance.of_margins.best(logits))
        is_flip, moved = bool(instance.of_margins.is_flip(logits)), instance.distances(z)
        verdict = judge(instance, findings, objective, is_flip, moved)
        seconds = time.perf_counter() - began
        used = attack_class(findings.ran).takes if findings.ran else self.takes
        adversarial = z / network.levels
        return AttackResult(
            network=network.name,
            image=image,
            label=label,
            source=instance.source,
            target=max(instance.targets, key=lambda c: (logits[c], -c)),
            epsilon=instance.epsilon,
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
            flipped=is_flip,
            verified=_verified(instance, adversarial, logits),
            wall_time=seconds,
            iterations=findings.iterations,
            trace=_honest_trace(instance, findings.trace, objective, seconds),
            bounds=_honest_bounds(findings.bounds, verdict.bound, seconds),
            versions=self._versions(),
            goal=instance.goal,
            goal_values=verdict.goal_values,
            goal_bounds=verdict.goal_bounds,
            distances=moved,
            model=findings.size,
            ran=findings.ran or self.method,
            steps=findings.steps,
            ties=instance.ties,
            prediction=int(np.argmax(logits)),
            effort=limits.effort,
            notes=findings.notes,
            ruled_out=_ruled_out(instance, findings, verdict.status),
            original=np.asarray(instance.image),
            adversarial=adversarial.reshape(network.input_shape),
            logits=instance.logits,
            adversarial_logits=logits,
            interrupted=findings.interrupted,
            message=verdict.message,
            class_names=instance.network.class_names,
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


def best_point(instance: AttackInstance, points: FloatArray) -> FloatArray:
    """The candidate that serves the goal best in the replay; the original image wins ties.

    Parameters
    ----------
    instance : AttackInstance
        Its budget and its goal count.
    points : array of float, shape (count, n)
        Levels; each is brought into the budget first.
    """
    snapped = instance.snap(points) if instance.is_box else [instance.snap(z) for z in points]
    candidates = np.vstack([instance.levels, *snapped])
    ranks = instance.ranks(candidates)
    best: FloatArray = candidates[ranks.index(max(ranks))]
    return best


def _ruled_out(instance: AttackInstance, findings: Findings, status: Status) -> tuple[int, ...]:
    return instance.targets if status is Status.INFEASIBLE else findings.ruled_out


def _verified(instance: AttackInstance, adversarial: FloatArray, logits: FloatArray) -> bool:
    """Replay the image itself, as a user would, and check that it is within the budget."""
    again = instance.network.logits(adversarial)
    return np.array_equal(again, logits) and instance.admits(adversarial)


def _honest_trace(
    instance: AttackInstance, trace: list[tuple[float, float]], objective: float, seconds: float
) -> list[tuple[float, float]]:
    """The claims of a solver that the replayed objective does not contradict, then that one."""
    near = objective - instance.of_margins.gap
    steps = [(when, value) for when, value in trace if value < near]
    reached = [when for when, value in trace if value >= near]
    return [*steps, (min([*reached, seconds]), objective)]


def _honest_bounds(
    bounds: list[tuple[float, float]], bound: float | None, seconds: float
) -> list[tuple[float, float]]:
    """The claims above the bound that stands, each lower than those before, then that one."""
    if bound is None:
        return []
    steps: list[tuple[float, float]] = []
    for when, value in bounds:
        if bound < value < (steps[-1][1] if steps else np.inf):
            steps.append((when, value))
    reached = [when for when, value in bounds if value <= bound]
    return [*steps, (min([*reached, seconds]), bound)]

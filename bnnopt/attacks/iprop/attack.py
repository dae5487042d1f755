"""IProp: integer target propagation, the paper's section 4, and a faster descendant of it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.availability import ensure_available
from bnnopt.attacks.base import Attack
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings, keep_going
from bnnopt.attacks.iprop.aware import AwarePropagation
from bnnopt.attacks.iprop.letter import LetterPropagation
from bnnopt.attacks.iprop.most_met import warm_up_most_met
from bnnopt.attacks.iprop.propagation import MakePropagation, Propagation
from bnnopt.attacks.iprop.state import State, state_at
from bnnopt.attacks.iprop.steps import Sampler, StepSize, easy_first, uniform
from bnnopt.attacks.iprop.subsolver import Subsolver
from bnnopt.attacks.limits import Limits
from bnnopt.errors import UnknownNameError
from bnnopt.formulations.size import check_terms, first_layer_terms, layer_terms
from bnnopt.instance import AttackInstance
from bnnopt.search.warm_up import warm_up_near

__all__ = ["IProp"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SUBPROBLEM_SECONDS = 10.0

PRESETS: dict[str, tuple[Sampler, MakePropagation]] = {
    "aware": (easy_first, AwarePropagation),
    "paper": (uniform, LetterPropagation),
}


class IProp(Attack):
    """Propagate targets from the last hidden layer to the image, again and again.

    An iteration asks for the ideal activations of the last hidden layer that the incumbent has,
    the set I, and for those of a sample G of S others; finds activations of each layer before
    that meet most of these targets; and a perturbation for the first layer's. It is accepted if
    the objective (1) of its forward pass is better.

    It ends when time is up, when every neuron is ideal, or at a local optimum: the step size is
    the smallest and every neuron that is not ideal was asked for since the incumbent last
    improved. The adaptive step's smallest size is 1, so each was then asked for by itself.

    Parameters
    ----------
    solver : str
        See ``solvers.available()``.
    step : "adaptive" or int
        S, in neurons. Adaptive: 5 % of the last hidden layer's width, halved after every 5
        iterations without a better incumbent.
    preset : {"aware", "paper"}
        Which `sampler` and `propagation` to use where they are not given: ours, or what the paper
        ran.
    sampler : callable, optional
        How G is drawn: see `bnnopt.attacks.iprop.steps`.
    propagation : callable, optional
        How targets become points, and where the search goes on from a local optimum:
        `AwarePropagation`, or `LetterPropagation`, which ends there.

    Raises
    ------
    InputError
        If `step` is neither ``"adaptive"`` nor a positive whole number, or there is no such
        preset.
    solvers.SolverError
        If there is no such solver, or it is not available.
    """

    method: ClassVar[str] = "iprop"
    takes: ClassVar[tuple[str, ...]] = ("solver",)

    def __init__(
        self,
        solver: str = "highs",
        step: str | int = "adaptive",
        preset: str = "aware",
        *,
        sampler: Sampler | None = None,
        propagation: MakePropagation | None = None,
    ) -> None:
        if preset not in PRESETS:
            raise UnknownNameError("preset", preset, PRESETS)
        self._adapter = solvers.get(solver)
        self._is_compiled = preset == "aware"
        usual_sampler, usual_propagation = PRESETS[preset]
        self._step = step
        self._sampler = sampler or usual_sampler
        self._propagation = propagation or usual_propagation
        StepSize(step, 1)  # complains about a wrong step now
        self.solver = solver

    @classmethod
    def paper(cls, solver: str = "highs", step: str | int = "adaptive") -> IProp:
        """The algorithm that the paper ran: G uniform, every problem built anew and whole.

        Parameters
        ----------
        solver : str
            Of every problem.
        step : int or None
            As for the class.
        """
        return cls(solver, step, "paper")

    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions belong into the record."""
        kernel = ("numba",) if self._is_compiled else ()
        return (*super().packages(), "pyomo", self._adapter.package, *kernel)

    def prepare(self, instance: AttackInstance) -> None:
        """Find the solver; refuse models that would not fit; compile the kernel if it is used.

        Parameters
        ----------
        instance : AttackInstance
            What will be asked.
        """
        ensure_available(self._adapter)
        self._check_size(instance)
        if self._is_compiled:
            warm_up_near()
            warm_up_most_met()

    def _check_size(self, instance: AttackInstance) -> None:
        counts = [first_layer_terms(instance)]
        if not self._is_compiled:
            counts += [layer_terms(layer) for layer in instance.network.hidden[1:]]
        elif instance.max_pixels is None:
            return
        other = "method 'pgd'" if self._is_compiled else "preset 'aware'"
        check_terms(max(counts), "the largest subproblem", f"take method 'auto' or {other}")

    def run(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> Findings:
        """Search from the best of the starts and the image itself.

        Parameters
        ----------
        instance, limits, starts
            As for `Attack.run`.
        """
        rng = np.random.default_rng(limits.seed)
        points = np.vstack([instance.levels[None], starts])
        first = state_at(instance, max(points, key=instance.rank))
        search = _Search(instance, limits, first, StepSize(self._step, instance.network.widths[-1]))
        subsolver = Subsolver(self._adapter, limits, SUBPROBLEM_SECONDS)

        def propagate() -> None:
            with self._propagation(instance, subsolver, rng) as propagation:
                search.run(propagation, rng, self._sampler)

        return keep_going(search.findings, propagate)


class _Search:
    """One run: the incumbent, and what is written down of it."""

    def __init__(
        self, instance: AttackInstance, limits: Limits, first: State, steps: StepSize
    ) -> None:
        self._instance, self._limits, self._steps = instance, limits, steps
        self._deadline = Deadline(limits)
        self._state = self._best = first
        self.findings = Findings(first.z[None], iterations=0)
        self._note(first)

    def run(self, propagation: Propagation, rng: np.random.Generator, sampler: Sampler) -> None:
        """Iterate until there is nothing left to try, or no time."""
        while not self._deadline.passed and not self._is_settled(self._best):
            unmet = self._state.unmet
            if self._steps.at_local_optimum(unmet):
                onward = propagation.escape(self._state, self._best)
                if onward is None:
                    break
                self._move(onward)
                self._steps.restart()
                continue
            chosen = sampler(rng, self._state, self._steps.candidates(unmet), self._steps.size)
            self._iterate(propagation, chosen)

    def _is_settled(self, state: State) -> bool:
        """Whether no point can be better, or a flip is all that was sought."""
        goal = self._instance.sought
        return (not goal.stages and state.is_flip) or (
            len(self._instance.targets) == 1 and len(state.unmet) == 0
        )

    def _iterate(self, propagation: Propagation, chosen: IntArray) -> None:
        target = self._state.target(chosen)
        points = propagation.points(self._state, target)
        trials = [state_at(self._instance, self._instance.snap(z)) for z in points]
        trial = max(trials, key=lambda state: state.margin, default=None)
        improved = trial is not None and trial.margin > self._state.margin
        self._steps.report(chosen, improved)
        self._deadline.spend(1)
        self.findings.steps.append(
            {
                "seconds": round(self._deadline.elapsed, 4),
                "step": len(chosen),
                "asked": int(np.count_nonzero(target)),
                "met": None if trial is None else int(np.sum(trial.activations[-1] * target > 0)),
                "objective": None if trial is None else trial.margin,
            }
        )
        self.findings.iterations = len(self.findings.steps)
        if trial is not None and improved:
            self._move(trial)

    def _move(self, state: State) -> None:
        """Go on from a state, and keep it if it is the best."""
        self._state = state
        if state.margin > self._best.margin:
            self._best = state
            self.findings.points = np.vstack([self.findings.points, state.z])
            self._note(state)

    def _note(self, state: State) -> None:
        seconds = self._deadline.elapsed
        self.findings.trace.append((seconds, state.margin))
        self._limits.tell(seconds, state.margin)

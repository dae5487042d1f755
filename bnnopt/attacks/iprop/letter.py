"""Target propagation as published: every layer's problem is a model of its own, built anew."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.iprop.state import State
from bnnopt.attacks.iprop.subsolver import Subsolver
from bnnopt.attacks.reachability import Reachability
from bnnopt.attacks.resources import Resources
from bnnopt.bounds import interval_bounds
from bnnopt.formulations.perturbation import perturbation_model
from bnnopt.formulations.size import layer_terms
from bnnopt.formulations.target import target_model
from bnnopt.instance import AttackInstance

__all__ = ["LetterPropagation", "perturb"]

FloatArray = npt.NDArray[np.float64]
SignArray = npt.NDArray[np.int8]

MANY_TERMS = 2**20
"""Of a first layer: then its model takes a second to build."""


class LetterPropagation(Resources):
    """Section 4: problem (9) for layers D-1 to 1, then problem (10).

    Parameters
    ----------
    instance : AttackInstance
    subsolver : Subsolver
    rng : numpy Generator
        Not used; the other propagation needs one.
    """

    def __init__(
        self, instance: AttackInstance, subsolver: Subsolver, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self._instance, self._subsolver = instance, subsolver

    def points(self, state: State, target: SignArray) -> FloatArray:
        """Levels that may meet the last layer's targets, shape (count, n).

        `count` is 0 where a subproblem found no point in time.
        """
        hidden = self._instance.network.hidden
        for index in range(len(hidden) - 1, 0, -1):
            model = target_model(hidden[index], target, state.activations[index - 1])
            if self._subsolver.solve_model(model) is None:
                return np.zeros((0, self._instance.network.num_inputs))
            target = np.array([1 if h.value > 0.5 else -1 for h in model.h.values()], dtype=np.int8)
        return perturb(self._instance, self._subsolver, target)

    def escape(self, state: State, best: State) -> State | None:
        """The paper ends at a local optimum."""
        return None


def perturb(instance: AttackInstance, subsolver: Subsolver, target: SignArray) -> FloatArray:
    """Solve (10); where the replay contradicts the solver, add the deepest point of its pattern.

    Neurons that the box cannot flip have no say, and have no rows where those would be many.
    """
    neurons = interval_bounds(instance)[0].unstable
    if layer_terms(instance.network.hidden[0]) > MANY_TERMS:
        target = np.where(np.isin(np.arange(len(target)), neurons), target, 0).astype(np.int8)
    model = perturbation_model(instance, target)
    if subsolver.solve_model(model) is None:
        return np.zeros((0, instance.network.num_inputs))
    z = np.array([x + p.value for x, p in zip(instance.levels, model.p.values(), strict=True)])
    claimed = [j for j, met in model.met.items() if met.value > 0.5]
    signs = instance.network.hidden[0](instance.snap(z)[None])[0].astype(np.int8)
    if np.array_equal(signs[claimed], target[claimed]):
        return z[None]
    signs[claimed] = target[claimed]
    solver, max_l1 = subsolver.adapter.name, instance.l1_point_levels
    with Reachability(instance, neurons, solver, max_l1=max_l1) as cell:
        deepest = cell.test(signs[neurons], subsolver.seconds)
    if deepest.interrupted:
        raise KeyboardInterrupt
    return np.stack([z] if deepest.point is None else [z, deepest.point])

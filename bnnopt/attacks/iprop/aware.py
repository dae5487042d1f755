"""Target propagation that knows the box: what it cannot move is fixed, and little is left.

The image enters the network through the signs of the first layer's unstable neurons only, its
*pattern*. Problem (9) moves a few neurons at a time, so that it can be enumerated; in the first
layer it forbids flips that no point of the box has together. Problem (10) is whether a pattern
has a point (`bnnopt.attacks.iprop.patterns`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.draws import weighted
from bnnopt.attacks.iprop.enumeration import MOST_MOVING, EnumeratedProblem
from bnnopt.attacks.iprop.layer import LayerProblem
from bnnopt.attacks.iprop.letter import perturb
from bnnopt.attacks.iprop.patterns import Patterns
from bnnopt.attacks.iprop.state import State, ideal_target, state_at
from bnnopt.attacks.iprop.subsolver import Subsolver
from bnnopt.attacks.resources import Resources
from bnnopt.bounds import interval_bounds
from bnnopt.instance import AttackInstance
from bnnopt.network.layers import Weight

__all__ = ["AwarePropagation"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SignArray = npt.NDArray[np.int8]

ROUNDS = 20
"""Neighbourhoods of a local optimum that are enumerated before it is left."""

MOST_SHIFT = 0.5
"""Most of the way to a random vertex of the box that a restart goes."""


class AwarePropagation(Resources):
    """Problems (9) and (10) over what the box can move; restarts from local optima.

    Parameters
    ----------
    instance : AttackInstance
    subsolver : Subsolver
    rng : numpy Generator
    moving : int
        Most neurons of a layer that (9) may move away from the incumbent; drawn anew each time.
        Above `MOST_MOVING` the solver answers (9).
    neighbours : int
        Neurons whose sign patterns are enumerated together, all 2**neighbours.
    conflicts : bool
        Whether (9) for the first layer forbids flips that exclude each other.
    restarts : int
        Restarts in a row without a better incumbent after which the search ends.
    kernel : bool
        Whether compiled code answers what it can; else the solver answers all of (9) and (10).
    """

    def __init__(
        self,
        instance: AttackInstance,
        subsolver: Subsolver,
        rng: np.random.Generator,
        *,
        moving: int = 8,
        neighbours: int = 8,
        conflicts: bool = True,
        restarts: int = 40,
        kernel: bool = True,
    ) -> None:
        super().__init__()
        self._moving, self._most_restarts, self._has_conflicts = moving, restarts, conflicts
        self._instance, self._subsolver, self._rng = instance, subsolver, rng
        self._layers = interval_bounds(instance)
        self._kernel = kernel and moving <= MOST_MOVING
        self._problems: dict[int, LayerProblem | EnumeratedProblem] = {}
        self._restarts, self._reached = 0, -np.inf
        self._patterns = Patterns(instance, subsolver, neighbours, kernel)

    def close(self) -> None:
        """Close the models; they are built anew when they are next needed."""
        self._problems.clear()
        self._patterns.close()
        super().close()

    def points(self, state: State, target: SignArray) -> FloatArray:
        """Levels that may meet the last layer's targets, shape (count, n)."""
        for number in range(len(self._layers) - 1, 0, -1):
            moving = self._draw_moving(number, state, target)
            problem = self._problem(number)
            found = problem.solve(target, state.activations[number - 1], moving)
            if found is None:
                return np.zeros((0, self._instance.network.num_inputs))
            target = found
        if self._instance.max_pixels is not None:
            return perturb(self._instance, self._subsolver, target)
        return self._patterns.better(state, self._rng, target)

    def _draw_moving(self, number: int, state: State, target: SignArray) -> IntArray:
        """Neurons of layer `number` that (9) may move.

        Those whose move brings the missing targets nearer have a higher probability.
        """
        free = self._free(number)
        if len(free) <= self._moving:
            return free
        present = state.activations[number - 1][free]
        missing = (target != 0) & (target != state.activations[number])
        missing &= self._layers[number].sign == 0
        rows = self._instance.network.hidden[number].weight[np.flatnonzero(missing)]
        help_ = -present * (target[missing].astype(np.int64) @ rows)[free]
        return weighted(self._rng, free, 1.4 * help_ / _usual(rows), self._moving)

    def _free(self, number: int) -> IntArray:
        """Neurons of layer `number` that may move at all."""
        if number == 1:  # of very many, the easiest ones
            return np.sort(self._patterns.flips.neurons)
        return self._layers[number - 1].unstable

    def _problem(self, number: int) -> LayerProblem | EnumeratedProblem:
        """Problem (9) for layer `number`; built when it is first needed."""
        if number not in self._problems:
            layer, sides = self._instance.network.hidden[number], self._sides(number)
            flips = self._patterns.flips if number == 1 and self._has_conflicts else None
            if self._kernel:
                self._problems[number] = EnumeratedProblem(layer, sides, flips)
            else:
                before = self._layers[number - 1]
                problem = LayerProblem(layer, number, before, sides, self._subsolver, flips)
                self._problems[number] = self.held.enter_context(problem)
        return self._problems[number]

    def _sides(self, number: int) -> IntArray:
        """What can be asked of the layer after `number`.

        Targets that the box cannot reach, or always meets, have no row; in the last layer, only
        ideal activations have one.
        """
        wanted = np.ones((2, len(self._layers[number].sign)), dtype=bool)
        if number == len(self._layers) - 1:
            ideals = np.array([ideal_target(self._instance, c) for c in self._instance.targets])
            wanted = np.stack([(ideals > 0).any(axis=0), (ideals < 0).any(axis=0)])
        wanted &= self._layers[number].sign == 0
        return np.array(
            [
                (j, sign)
                for row, sign in zip(wanted, (1, -1), strict=True)
                for j in np.flatnonzero(row)
            ],
            dtype=np.int64,
        ).reshape(-1, 2)

    def escape(self, state: State, best: State) -> State | None:
        """Where to go on from a local optimum: a better neighbour, else away from the best."""
        if len(self._patterns.flips.neurons) == 0:
            return None
        for _ in range(ROUNDS):
            if self._subsolver.is_late:
                break
            for z in self._patterns.better(state, self._rng):
                neighbour = state_at(self._instance, self._instance.snap(z))
                if neighbour.margin > state.margin:
                    return neighbour
        self._restarts = 0 if best.margin > self._reached else self._restarts + 1
        self._reached = best.margin
        if self._restarts > self._most_restarts:
            return None
        low, high = self._instance.point_box
        vertex = np.where(self._rng.random(len(low)) < 0.5, low, high)
        shifted = best.z + self._rng.uniform(0.0, MOST_SHIFT) * (vertex - best.z)
        return state_at(self._instance, self._instance.snap(shifted))


def _usual(rows: Weight) -> float:
    """About how large the sum of a column is: the root of its squares, 1 at least."""
    size = np.float64(rows.size)
    if not isinstance(rows, np.ndarray):
        size = np.square(rows.data, dtype=np.float64).sum()
    return float(np.sqrt(max(size / rows.shape[1], 1.0)))

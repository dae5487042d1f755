"""Whether some point of the box has a given first-layer sign pattern, and a point that has."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.resources import Resources
from bnnopt.formulations.pattern import pattern_model, pattern_units
from bnnopt.instance import AttackInstance

__all__ = ["Reach", "Reachability"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SignArray = npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Reach:
    """What is known of a pattern.

    Parameters
    ----------
    slack : float or None
        The smallest slack of a sum over its unit at `point`, in levels: the largest that the
        solver found, negative where it found no point of the pattern; None if it found nothing.
    point : array of float or None, shape (n,)
        Levels with that slack.
    multipliers : array of float, shape (k,)
        At least 0: of the rows, the combination that forbids more slack; all 0 where the program
        was not solved to its end.
    most_slack : float or None
        No point has more, as the solver claims; a stopped solver's slack says nothing of that.
    interrupted : bool
        Whether Ctrl-C came.
    """

    slack: float | None
    point: FloatArray | None
    multipliers: FloatArray
    most_slack: float | None = None
    interrupted: bool = False


class Reachability(Resources):
    """The linear program of `pattern_model`, kept in a solver and asked again and again.

    Parameters
    ----------
    instance : AttackInstance
    neurons : array of int64, shape (k,)
        The neurons that patterns speak of; the unstable ones.
    solver : str
        It needs duals if multipliers are wanted: ``"highs"``.
    options : solvers.SolveOptions, optional
    box, max_l1, max_pixels, whole, below
        As for `pattern_model`.
    """

    def __init__(
        self,
        instance: AttackInstance,
        neurons: IntArray,
        solver: str = "highs",
        options: solvers.SolveOptions | None = None,
        *,
        box: tuple[FloatArray, FloatArray] | None = None,
        max_l1: float = np.inf,
        max_pixels: int | None = None,
        whole: bool = False,
        below: float = 0.0,
    ) -> None:
        super().__init__()
        model = pattern_model(
            instance,
            neurons,
            box=box,
            max_l1=max_l1,
            max_pixels=max_pixels,
            whole=whole,
            below=below,
        )
        self._units = pattern_units(instance, neurons, whole=whole)
        self._options = options or solvers.SolveOptions()
        self._session = self.held.enter_context(solvers.get(solver).session(model))
        self._rows = np.arange(2 * len(neurons)).reshape(2, -1)
        self._needed = model.row_lower[self._rows]
        self._num_levels, self._is_split = instance.network.num_inputs, np.isfinite(max_l1)

    def test(self, signs: SignArray, time_limit: float | None = None) -> Reach:
        """Find the deepest point of a pattern, shape (k,): +1, -1, or 0 where anything will do."""
        wanted = np.stack([signs > 0, signs < 0])
        lower = np.where(wanted, self._needed, -np.inf)
        self._session.set_row_bounds(self._rows.ravel(), lower.ravel(), np.full(lower.size, np.inf))
        solved = self._session.solve(replace(self._options, time_limit=time_limit))
        multipliers = np.zeros(len(signs))
        if solved.values is None:
            return Reach(None, None, multipliers, solved.bound, solved.interrupted)
        if solved.duals is not None:
            multipliers = np.abs(solved.duals[self._rows]).sum(axis=0) / self._units
        point = solved.values.array[: self._num_levels]
        if self._is_split:
            point = point - solved.values.array[-self._num_levels :]
        return Reach(solved.objective, point, multipliers, solved.bound, solved.interrupted)

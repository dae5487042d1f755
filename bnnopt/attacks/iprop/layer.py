"""Problem (9) of one layer, loaded once and solved for one target after the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.iprop.subsolver import Subsolver
from bnnopt.attacks.resources import Resources
from bnnopt.bounds import LayerBounds
from bnnopt.flips import Flips, flip_limits
from bnnopt.formulations.target import open_target_model
from bnnopt.formulations.tight import limit_flips
from bnnopt.network import HiddenLayer

__all__ = ["LayerProblem"]

IntArray = npt.NDArray[np.int64]
SignArray = npt.NDArray[np.int8]


class LayerProblem(Resources):
    """The activations of layer `number` that meet most targets of the next one.

    Neurons that the box cannot move have no variable. Another target is another objective; the
    incumbent is the starting point.

    Parameters
    ----------
    layer : HiddenLayer
        The next one.
    number : int
        From 1.
    before : LayerBounds
        Of layer `number`.
    sides : array of int64, shape (count, 2)
        (j, sign): what can be asked of the next layer.
    subsolver : Subsolver
    flips : Flips, optional
        For the first layer: rows forbid flips that no point of the box has together.
    """

    def __init__(
        self,
        layer: HiddenLayer,
        number: int,
        before: LayerBounds,
        sides: IntArray,
        subsolver: Subsolver,
        flips: Flips | None = None,
    ) -> None:
        super().__init__()
        self._layer, self._before, self._subsolver = layer, before, subsolver
        self._sides = sides
        model = open_target_model(layer, before.sign, map(tuple, sides.tolist()), number)
        if flips is not None:
            for members, most in flip_limits(flips, quadruples=False):
                limit_flips(model, flips, members, most)
        compiled = solvers.compile_model(model)
        self._inputs = compiled.columns(model.h.values())
        self._met = compiled.columns(model.met.values())
        self._session = self.held.enter_context(subsolver.adapter.session(compiled))

    def solve(self, target: SignArray, incumbent: SignArray, moving: IntArray) -> SignArray | None:
        """Solve (9) within a neighbourhood of the incumbent.

        Parameters
        ----------
        target : array of int8, shape (out,)
            +1 or -1; 0 where anything will do.
        incumbent : array of int8, shape (in,)
        moving : array of int64
            The inputs that may differ from it.

        Returns
        -------
        array of int8, shape (in,), or None
            None if no point was found in time.
        """
        free = self._before.unstable
        on = (incumbent[free] > 0).astype(np.float64)
        moves = np.isin(free, moving)
        columns = np.r_[self._inputs, self._met]
        asked = target[self._sides[:, 0]] == self._sides[:, 1]
        lower = np.r_[np.where(moves, 0.0, on), np.zeros(len(asked))]
        upper = np.r_[np.where(moves, 1.0, on), asked]
        self._session.set_variable_bounds(columns, lower, upper)
        costs = np.zeros(len(self._session.cost))
        costs[columns] = np.r_[2.0 * on - 1.0, (len(free) + 1.0) * asked]
        self._session.set_objective(costs)
        outputs = self._layer(incumbent[None].astype(np.float64))[0]
        start = np.zeros_like(costs)
        start[columns] = np.r_[on, asked & (outputs[self._sides[:, 0]] == self._sides[:, 1])]
        self._session.set_start(start)
        values = self._subsolver.solve(self._session)
        if values is None:
            return None
        found = self._before.sign.copy()
        found[free] = np.where(values.array[self._inputs] > 0.5, 1, -1)
        return found

r"""Whether a first-layer sign pattern has an admissible image, in whole-number arithmetic.

The network sees levels on a grid, so that the points of a pattern, its *cell*, are whole numbers
of grid steps: ``a_j @ z >= b_j`` for all rows j, where a neuron that is off needs one step more
than its threshold. No rounding is left: non-negative whole multipliers y refute the cell if
``sum_i max over z_i of (y @ a)_i z_i < y @ b``, over the box or what an L1 budget leaves of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, diags_array, hstack, vstack

import solvers
from bnnopt.attacks.reachability import Reachability
from bnnopt.instance import AttackInstance
from bnnopt.network import GRID

__all__ = ["CellVerdict", "ExactCell", "settle_cell"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MULTIPLIER_BITS = 40
"""Of the whole number that the largest multiplier becomes; those of large weights get more."""

HALF_BITS = 28
"""Multipliers are multiplied in two parts, so that no sum of 2^20 of them times a weight of 15
bits overflows."""

STEPS = 3
"""Grid steps to either side of a point within which another one is looked for."""

SEARCH_NODES = 2000
"""Of the solver that looks; most cells take one. Not a time, so that a search repeats itself."""


TOUCHING = 1e-3
"""Levels: where neurons that are off must lie this far below their thresholds, a cell that only
touches them is empty, and the program's multipliers say so."""


@dataclass(frozen=True, eq=False)
class CellVerdict:
    """What whole-number arithmetic says of a pattern.

    Parameters
    ----------
    is_refuted : bool
        Whether no admissible image has it.
    point : array of float64, shape (n,), or None
        Levels of an image within box and L1 budget that has it.
    """

    is_refuted: bool
    point: FloatArray | None = None


def settle_cell(
    instance: AttackInstance,
    neurons: IntArray,
    signs: npt.NDArray[np.int8],
    time_limit: float | None,
) -> CellVerdict:
    """Settle a pattern by the multipliers, and near the points, of two linear programs.

    Parameters
    ----------
    instance : AttackInstance
    neurons : array of int64, shape (k,)
        First-layer neurons that the pattern speaks of: the unstable ones, one or more.
    signs : array of int8, shape (k,)
    time_limit : float or None
        Seconds for each program.

    Returns
    -------
    CellVerdict
        Neither refuted nor with a point, if it stays open.
    """
    cell, max_l1 = ExactCell(instance, neurons, signs), instance.l1_point_levels
    for below in (0.0, TOUCHING):
        with Reachability(instance, neurons, max_l1=max_l1, below=below) as reachability:
            reached = reachability.test(signs, time_limit)
        if reached.interrupted:
            raise KeyboardInterrupt
        if reached.point is None:
            continue
        if cell.is_refuted_by(reached.multipliers):
            return CellVerdict(is_refuted=True)
        point = cell.point_near(reached.point, time_limit)
        if point is not None:
            return CellVerdict(is_refuted=False, point=point)
    return CellVerdict(is_refuted=False)


class ExactCell:
    """The points of one pattern.

    Parameters
    ----------
    instance : AttackInstance
        Its limit on the number of pixels does not count.
    neurons : array of int64, shape (k,)
        First-layer neurons that the pattern speaks of.
    signs : array of int8, shape (k,)
        +1 or -1.
    """

    def __init__(
        self, instance: AttackInstance, neurons: IntArray, signs: npt.NDArray[np.int8]
    ) -> None:
        layer = instance.network.hidden[0]
        self._step = step = GRID if instance.domain == "continuous" else 1.0
        rows = diags_array(signs.astype(np.float64)) @ layer.rows(neurons)
        self._rows = csr_array(rows).astype(np.int64)
        largest = int(np.abs(self._rows.data).max(initial=1))
        self._bits = MULTIPLIER_BITS + largest.bit_length() - 1
        threshold = layer.threshold[neurons] * int(step)
        self._needed = np.where(signs > 0, threshold, 1 - threshold)
        self._image = (instance.levels * step).astype(np.int64)
        self._box = tuple((bound * step).astype(np.int64) for bound in instance.box)
        self._point_box = tuple((bound * step).astype(np.int64) for bound in instance.point_box)
        self._l1_levels = instance.l1_levels * step
        self._l1_point_levels = instance.l1_point_levels * step

    def is_refuted_by(self, multipliers: FloatArray) -> bool:
        """Whether multipliers of the rows, shape (k,), prove that no admissible image is here."""
        largest = float(multipliers.max(initial=0.0))
        if largest <= 0.0:
            return False
        share = np.maximum(multipliers, 0.0) / largest
        whole = np.round(share * 2.0**self._bits).astype(np.int64)
        upper, lower = np.divmod(whole, 2**HALF_BITS)
        pull = (upper @ self._rows).astype(object) * 2**HALF_BITS + lower @ self._rows
        needed = int(whole.astype(object) @ self._needed.astype(object))
        return bool(self._most(pull) < needed)

    def _most(self, pull: npt.NDArray[np.object_]) -> int:
        """At least the largest ``pull @ z`` over admissible z, as a whole number."""
        low, high = (bound.astype(object) for bound in self._box)
        image = self._image.astype(object)
        here = int(pull @ image)
        room = np.where(pull > 0, high - image, image - low)
        size = np.abs(pull)
        free = int(size @ room)
        if self._l1_levels == np.inf:
            return here + free
        # Any price of a step gives a bound; best is the pull of the last one that is paid for.
        budget = int(self._l1_levels)
        order = np.argsort(-size, kind="stable")
        paid = np.cumsum(room[order])
        last = int(np.searchsorted(paid, budget))
        price = int(size[order[last]]) if last < len(order) else 0
        return here + int(np.maximum(size - price, 0) @ room) + price * budget

    def has_levels(self, levels: FloatArray) -> bool:
        """Whether levels on the grid, shape (n,), are a point of the cell."""
        return self.has((levels * self._step).astype(np.int64))

    def has(self, z: IntArray) -> bool:
        """Whether whole numbers of grid steps, shape (n,), are a point of the cell."""
        return bool(np.all(self._rows @ z >= self._needed))

    def point_near(
        self, levels: FloatArray, time_limit: float | None, *, still: bool = False
    ) -> FloatArray | None:
        """Levels of a point within a few grid steps of others, both of shape (n,), if one is found.

        A small MILP in the steps away from there, whose coefficients are all whole and small.

        Parameters
        ----------
        levels : array of float, shape (n,)
        time_limit : float or None
            Seconds.
        still : bool
            Whether levels that are the image's stay so.
        """
        low, high = self._point_box
        if still:
            moves = np.abs(levels * self._step - self._image) > STEPS
            low, high = np.where(moves, low, self._image), np.where(moves, high, self._image)
        start = np.clip(np.round(levels * self._step).astype(np.int64), low, high)
        low, high = np.maximum(low, start - STEPS), np.minimum(high, start + STEPS)
        if np.any(low > high):
            return None
        # z = image + rise - fall, each counted from the least that it has near the start.
        rises = np.maximum(low - self._image, 0), np.maximum(high - self._image, 0)
        falls = np.maximum(self._image - high, 0), np.maximum(self._image - low, 0)
        base = self._image + rises[0] - falls[0]
        rows, needed = hstack([self._rows, -self._rows]), self._needed - self._rows @ base
        if self._l1_point_levels != np.inf:
            left = int(self._l1_point_levels) - int((rises[0] + falls[0]).sum())
            spent = csr_array(np.full((1, 2 * len(base)), -1))
            rows = vstack([rows, spent])
            needed = np.append(needed, -left)
        most = np.concatenate([rises[1] - rises[0], falls[1] - falls[0]])
        found = _solve(csr_array(rows), needed, most, time_limit)
        if found is None:
            return None
        z = base + found[: len(base)] - found[len(base) :]
        return np.asarray(z / self._step) if self.has(z) else None


def _solve(
    rows: csr_array, needed: IntArray, most: IntArray, time_limit: float | None
) -> IntArray | None:
    """Whole d from 0 to `most` with ``rows @ d >= needed``, if the solver finds one."""
    n = len(most)
    model = solvers.CompiledModel(
        name="cell",
        maximize=False,
        objective=np.zeros(n),
        constant=0.0,
        matrix=rows.astype(np.float64),
        row_lower=needed.astype(np.float64),
        row_upper=np.full(len(needed), np.inf),
        lower=np.zeros(n),
        upper=most.astype(np.float64),
        integer=np.ones(n, dtype=bool),
    )
    with solvers.get("highs").session(model) as session:
        solved = session.solve(solvers.SolveOptions(time_limit=time_limit, node_limit=SEARCH_NODES))
    if solved.interrupted:
        raise KeyboardInterrupt
    return None if solved.values is None else np.round(solved.values.array).astype(np.int64)

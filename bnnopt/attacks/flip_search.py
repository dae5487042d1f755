"""What pattern search and branch and bound share: from flip sets to points that are replayed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.base import Limits
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.reachability import Reachability
from bnnopt.attacks.space import space_of
from bnnopt.errors import InputError
from bnnopt.flips import flip_origin
from bnnopt.instance import AttackInstance
from bnnopt.search.bound import margin_of
from bnnopt.search.problem import MarginTerms, margin_terms, sorted_flips

__all__ = ["FlipSearch"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

TOLERANCE = 1e-7
"""Levels; a set with less slack below 0 may be one of the closed box and is not ruled out."""

NEXT = 0.01
"""Below the next lattice value, what still counts as reaching it."""

GAP = 5e-6
"""Where margins have no lattice, the least improvement that is sought."""


class FlipSearch:
    """The state of a search on one instance: its arrays, its best point, its clock.

    Parameters
    ----------
    instance : AttackInstance
        Limited by its box and an L1 budget only; its goal is the margin or a flip.
    limits : Limits
    starts : array of float, shape (count, n)
    method : str
        For the error where the instance is another one.

    Raises
    ------
    InputError
        If the instance limits the number of pixels, or has another goal.
    """

    def __init__(
        self, instance: AttackInstance, limits: Limits, starts: FloatArray, method: str
    ) -> None:
        goal = instance.sought
        if instance.max_pixels is not None or not (goal.is_margin or not goal.stages):
            raise InputError(
                f"method {method!r} seeks the margin, a flip, linf or l1 within a box or an L1 "
                "budget; for max_pixels and other goals use method 'milp'"
            )
        self.instance, self.limits = instance, limits
        self.deadline = Deadline(limits.time_limit)
        self.flips = sorted_flips(instance)
        self.space = space_of(instance, self.flips)
        self.region = self.space.region
        self.terms = {
            c: margin_terms(instance, self.flips, c, self.region.always) for c in instance.targets
        }
        self.findings = Findings(np.zeros((0, instance.network.num_inputs)))
        self.best = -np.inf
        self.closed = -np.inf
        self._decided: set[tuple[int, bytes]] = set()
        self.offer(np.vstack([instance.levels[None], flip_origin(instance)[None], starts]))

    @property
    def wanted(self) -> float:
        """The margin that must be exceeded."""
        return max(self.best, 0.0) if self.instance.sought.needs_flip else self.best

    @property
    def is_over(self) -> bool:
        """Whether time is up, or the flip that was sought is found."""
        return self.deadline.passed or (self.instance.sought.needs_flip and self.best > 0.0)

    def worth(self, target: int) -> float:
        """The margin of `target` from which on a set is worth a look."""
        lattice = self.instance.lattice(target)
        if lattice is None:
            # A flip of any size counts; a tie does not, but is told apart by its replay only.
            return -1e-9 if self.instance.sought.needs_flip else self.wanted + GAP
        offset, step = lattice
        steps = np.floor((self.wanted - offset) / step + 1e-9) + 1.0
        return float(offset + step * steps - NEXT)

    def ruled_out(self, target: int) -> float:
        """The most that sets of a margin below `worth` can have."""
        lattice = self.instance.lattice(target)
        return self.worth(target) - (0.0 if lattice is None else lattice[1] - NEXT)

    def offer(self, points: FloatArray) -> bool:
        """Replay points, shape (count, n); keep the best if it is better than what there is."""
        snapped = np.array([self.instance.snap(z) for z in points])
        margins = self.instance.margins(snapped)
        at = int(np.argmax(margins))
        if margins[at] <= self.best:
            return False
        self.best = float(margins[at])
        self.findings.points = snapped[at][None]
        seconds = self.deadline.elapsed
        self.findings.trace.append((seconds, self.best))
        self.limits.tell(seconds, self.best)
        return True

    def pattern(self, u: FloatArray) -> BoolArray:
        """The rows that a point in units of the radius has: flips, and those of every set."""
        signs = self.instance.network.hidden[0](self.space.point(u)[None])[0]
        flipped = signs[self.flips.neurons] != self.flips.signs
        return np.append(flipped, np.ones(self.region.always, dtype=bool))

    def distance(self, u: FloatArray) -> FloatArray:
        """Levels between each unstable neuron's sum and its threshold there, shape (k,)."""
        falls = self.region.weight @ (self.region.radius * u)
        return np.abs(falls + self.region.demand)[: len(self.flips.neurons)]

    def margin(self, target: int, members: Iterable[int]) -> float:
        """The margin of a target where these neurons, rows of `region`, flip."""
        terms: MarginTerms = self.terms[target]
        surplus = terms.surplus + terms.change[list(members)].sum(axis=0)
        return float(margin_of(terms, surplus))

    def take(self, target: int, members: IntArray, u: FloatArray | None) -> bool:
        """Replay a point of a flip set; decide the set where the replay has less than its margin.

        Rounding to whole pixels can change the pattern: to one that is better than the best so
        far, yet not the one that was found.

        Parameters
        ----------
        target : int
        members : array of int, shape (size,)
        u : array of float, shape (m,), optional
            The point in units of the radius, if there is one.

        Returns
        -------
        bool
            Whether there is a better point than before.
        """
        before = self.best
        if u is not None:
            self.offer(self.space.point(u)[None])
        if self.best < self.margin(target, members) - GAP:
            self.decide(target, members)
        return self.best > before

    def decide(self, target: int, members: Iterable[int]) -> None:
        """Settle a set that the kernel could not, by linear programs and for pixels a MILP.

        What stays open, or belongs to the closure of the box's patterns only, goes into
        `closed`, below which the bound never falls. Searches that meet a set again, as those
        near the best one do, cost nothing.
        """
        rows = np.zeros(len(self.region.demand), dtype=bool)
        rows[list(members)] = True
        flipped = rows[: len(self.flips.neurons)]
        key = target, flipped.tobytes()
        if key in self._decided:
            return
        self._decided.add(key)
        margin = self.margin(target, np.flatnonzero(flipped))
        signs = np.where(flipped, -self.flips.signs, self.flips.signs).astype(np.int8)
        pixels = self.instance.domain == "pixels"
        for whole in (False, True) if pixels else (False,):
            options = solvers.SolveOptions(seed=self.limits.seed, threads=self.limits.threads)
            with Reachability(
                self.instance,
                self.flips.neurons,
                options=options,
                max_l1=self.instance.l1_levels,
                whole=whole,
            ) as reachability:
                reached = reachability.test(signs, self.deadline.left)
            if reached.interrupted:
                raise KeyboardInterrupt
            if reached.point is not None:
                self.offer(reached.point[None])
                if self.best >= margin - GAP:
                    return
            if whole and reached.slack is not None and reached.slack <= -0.5:
                return  # slacks are whole there: no image has the pattern
            below = not whole and reached.slack is not None and reached.slack < -TOLERANCE
            if below and self.space.refutes(flipped, reached.multipliers):
                return
        self.closed = max(self.closed, margin)

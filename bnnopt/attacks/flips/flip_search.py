"""What pattern search and branch and bound share: from flip sets to points that are replayed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.budgets.smallest import distance_sought
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.exact_cell import settle_cell
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.limits import Limits
from bnnopt.attacks.reachability import Reach, Reachability
from bnnopt.errors import InputError
from bnnopt.flips import flip_origin
from bnnopt.instance import AttackInstance
from bnnopt.search.bound import margin_of
from bnnopt.search.problem import MarginTerms, margin_terms, sorted_flips
from bnnopt.search.space import space_of
from bnnopt.tolerances import LATTICE_SLACK, MARGIN_STEP

__all__ = ["FlipSearch", "check_searchable"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

TOLERANCE = 1e-7
"""Levels; a set with less slack below 0 may be one of the closed box and is not ruled out."""

MOST_NOTES = 5
"""Sets that are named where they stay open."""


def check_searchable(instance: AttackInstance, method: str) -> None:
    """Refuse an instance that a search over flips does not take.

    Raises
    ------
    InputError
        If the instance limits the number of pixels, or has another goal than the message says.
    """
    goal = instance.sought
    is_served = goal.is_margin or not goal.stages or distance_sought(instance) is not None
    if instance.max_pixels is not None or not is_served:
        raise InputError(
            f"method {method!r} seeks the margin, a flip, linf or l1 within a box or an L1 "
            "budget; for max_pixels and other goals use method 'milp'"
        )


class FlipSearch:
    """The state of a search on one instance: its arrays, its best point, its clock.

    Parameters
    ----------
    instance : AttackInstance
        Limited by its box and an L1 budget only; its goal is the margin or a flip.
    limits : Limits
    starts : array of float, shape (count, n)
    """

    def __init__(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> None:
        self.instance, self.limits = instance, limits
        self.deadline = Deadline(limits)
        self.margins = instance.of_margins
        self.flips = sorted_flips(instance)
        self.space = space_of(instance, self.flips)
        self.region = self.space.region
        self.terms = {
            c: margin_terms(instance, self.flips, c, self.region.always) for c in instance.targets
        }
        self.findings = Findings(np.zeros((0, instance.network.num_inputs)))
        self.best = -np.inf
        self.has_flip = False
        self.closed: dict[int, float] = dict.fromkeys(instance.targets, -np.inf)
        self._decided: set[tuple[int, bytes]] = set()
        self.offer(np.vstack([instance.levels[None], flip_origin(instance)[None], starts]))

    @property
    def is_over(self) -> bool:
        """Whether a limit is reached, or the flip that was sought is found."""
        return self.deadline.passed or (self.instance.sought.needs_flip and self.has_flip)

    def wanted(self, target: int) -> float:
        """The margin of `target` from which on a set is of interest: a flip, or a better one."""
        if self.instance.sought.needs_flip:
            return self.margins.least_flip(target)
        lattice = self.margins.lattice(target)
        if lattice is None:
            return self.best + MARGIN_STEP * self.margins.unit
        offset, step = lattice
        return float(offset + step * (np.floor((self.best - offset) / step + 1e-9) + 1.0))

    def worth(self, target: int) -> float:
        """`wanted` in units of the margin, for the kernel; a little less where there is a lattice.

        Bounds by functions carry their own rounding, so what is less is not needed for proofs.
        """
        wanted = self.wanted(target) / self.margins.unit
        return wanted if self.margins.lattice(target) is None else wanted - LATTICE_SLACK

    def ruled_out(self, target: int) -> float:
        """The most that sets of a margin below `worth` can have."""
        lattice = self.margins.lattice(target)
        return self.wanted(target) - (0.0 if lattice is None else lattice[1])

    def offer(self, points: FloatArray) -> bool:
        """Replay points, shape (count, n); keep the best if it is better than what there is."""
        snapped = np.array([self.instance.snap(z) for z in points])
        margins, flips = self.instance.margins(snapped), self.instance.are_flips(snapped)
        at = max(range(len(snapped)), key=lambda i: (flips[i], margins[i]))
        if (flips[at], margins[at]) <= (self.has_flip, self.best):
            return False
        self.best, self.has_flip = float(margins[at]), bool(flips[at])
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
        return float(margin_of(terms, surplus)) * self.margins.unit

    def is_wanted(self, target: int, margin: float) -> bool:
        """Whether a set of this margin is better than the best point, or is to be ruled out."""
        if self.instance.sought.needs_flip and self.has_flip:
            return False  # any flip will do
        return margin > self.best or margin >= self.wanted(target)

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
        before = self.best, self.has_flip
        if u is not None:
            self.offer(self.space.point(u)[None])
        if self.is_wanted(target, self.margin(target, members)):
            self.decide(target, members)
        return (self.best, self.has_flip) > before

    def decide(self, target: int, members: Iterable[int]) -> None:
        """Settle a set that the kernel could not: by linear programs, a MILP, exact arithmetic.

        What stays open goes into `closed`, below which the bound never falls, and into the notes.
        Searches that meet a set again, as those near the best one do, cost nothing.
        """
        rows = np.zeros(len(self.region.demand), dtype=bool)
        rows[list(members)] = True
        flipped = rows[: len(self.flips.neurons)]
        key = target, flipped.tobytes()
        if key in self._decided:
            return
        self._decided.add(key)
        margin = self.margin(target, np.flatnonzero(flipped))
        for settle in (self._settle_by_program, self._settle_exactly, self._settle_whole):
            if settle(flipped) or not self.is_wanted(target, margin):
                return
        if margin >= self.wanted(target):
            self.closed[target] = max(self.closed[target], margin)
            self._note(flipped, margin)

    def _note(self, flipped: BoolArray, margin: float) -> None:
        notes = self.findings.notes
        if len(notes) < MOST_NOTES:
            neurons = self.flips.neurons[flipped].tolist()
            why = "time ran out" if self.deadline.passed else "the cell is thinner than the grid"
            notes.append(f"open: first-layer neurons {neurons} flipped, margin {margin:g}: {why}")

    def _signs(self, flipped: BoolArray) -> npt.NDArray[np.int8]:
        return np.where(flipped, -self.flips.signs, self.flips.signs).astype(np.int8)

    def _reach(self, flipped: BoolArray, *, whole: bool = False) -> Reach:
        """Ask a program for the deepest point of a set, and replay it."""
        options = solvers.SolveOptions(
            seed=self.limits.seed,
            threads=self.limits.threads,
            node_limit=self.deadline.effort_left if whole else None,
        )
        with Reachability(
            self.instance,
            self.flips.neurons,
            options=options,
            max_l1=self.instance.l1_point_levels,
            whole=whole,
        ) as reachability:
            reached = reachability.test(self._signs(flipped), self.deadline.left)
        if reached.interrupted:
            raise KeyboardInterrupt
        if reached.point is not None:
            self.offer(reached.point[None])
        return reached

    def _settle_by_program(self, flipped: BoolArray) -> bool:
        """Whether a linear program's multipliers refute a set; its point is replayed."""
        reached = self._reach(flipped)
        return (
            reached.slack is not None
            and reached.slack < -TOLERANCE
            and self.space.refutes(flipped, reached.multipliers)
        )

    def _settle_exactly(self, flipped: BoolArray) -> bool:
        """Whether whole-number arithmetic refutes a set; a point of it is replayed."""
        verdict = settle_cell(
            self.instance, self.flips.neurons, self._signs(flipped), self.deadline.left
        )
        if verdict.point is not None:
            self.offer(verdict.point[None])
        return verdict.is_refuted

    def _settle_whole(self, flipped: BoolArray) -> bool:
        """Whether no image of whole levels has a set, by a MILP that was solved to its end."""
        if self.instance.domain != "pixels":
            return False
        bound = self._reach(flipped, whole=True).most_slack
        return bound is not None and bound <= -0.5  # slacks are whole there

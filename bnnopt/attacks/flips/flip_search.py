"""What pattern search and branch and bound share: from flip sets to points that are replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import replace
from typing import TypeVar

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
from bnnopt.search.problem import MarginTerms
from bnnopt.search.space import Space, has_cuts_only, space_of
from bnnopt.search.terms import margin_terms
from bnnopt.tolerances import LATTICE_SLACK, MARGIN_STEP

__all__ = ["FlipSearch", "check_searchable", "is_searchable", "space_and_terms"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SignArray = npt.NDArray[np.int8]

AnySpace = TypeVar("AnySpace", bound=Space)

MOST_FLIPS = 2048
"""Flips that are searched at most."""

TOLERANCE = 1e-7
"""Levels; a set with less slack below 0 may be one of the closed box and is not ruled out."""

LARGEST_SEED = 2**31 - 1

MOST_NOTES = 5
"""Sets that are named where they stay open."""


def check_searchable(instance: AttackInstance, method: str) -> None:
    """Refuse an instance that a search over flips does not take.

    Raises
    ------
    InputError
        If `is_searchable` denies it.
    """
    if not is_searchable(instance):
        raise InputError(
            f"method {method!r} seeks the margin, a flip, linf or l1 within a box or an L1 "
            "budget; for max_pixels and other goals use method 'milp', unless each neuron of the "
            "first layer looks at one pixel"
        )


def is_searchable(instance: AttackInstance) -> bool:
    """Whether a search over flips takes the instance.

    Where first-layer neurons look at one pixel each, it may limit the pixels, and seek the least.
    """
    counts_pixels = has_cuts_only(instance)
    if instance.max_pixels is not None and not counts_pixels:
        return False
    goal, distance = instance.sought, distance_sought(instance)
    if distance == "l0":
        return counts_pixels
    return goal.is_margin or not goal.stages or distance is not None


class FlipSearch:
    """The state of a search on one instance: its arrays, its best point, its clock.

    Parameters
    ----------
    instance : AttackInstance
        One that `is_searchable`; its goal is the margin or a flip.
    limits : Limits
    starts : array of float, shape (count, n)
    """

    def __init__(self, instance: AttackInstance, limits: Limits, starts: FloatArray) -> None:
        self.instance, self.limits = instance, limits
        self.deadline = Deadline(limits)
        self.margins = instance.of_margins
        self.space, self.terms = space_and_terms(instance, space_of)
        self.region = self.space.region
        self.findings = Findings(np.zeros((0, instance.network.num_inputs)))
        self.best = -np.inf
        self.has_flip = False
        self.closed: dict[int, float] = dict.fromkeys(instance.targets, -np.inf)
        self._decided: set[tuple[int, bytes]] = set()
        self.offer(np.vstack([instance.levels[None], flip_origin(instance)[None], starts]))

    def apart(self) -> FlipSearch:
        """The same search with findings and draws of its own, from the best point so far.

        It tells nobody of better points.
        """
        other, seed = copy(self), (self.limits.seed + 1) % LARGEST_SEED
        other.limits = replace(self.limits, seed=seed, on_incumbent=None)
        other.deadline = copy(self.deadline)
        other.findings = Findings(self.findings.points.copy())
        other.closed = dict(self.closed)
        other._decided = set(self._decided)
        return other

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

    def wanted_units(self, target: int) -> float:
        """`wanted` in units of the margin, for the kernel."""
        return self.units(target, self.wanted(target))

    def units(self, target: int, wanted: float) -> float:
        """A margin in units, for the kernel; a little less where there is a lattice.

        Bounds by functions carry their own rounding, so what is less is not needed for proofs.
        """
        units = wanted / self.margins.unit
        return units if self.margins.lattice(target) is None else units - LATTICE_SLACK

    def ruled_out(self, target: int) -> float:
        """The most that sets can have which are not `wanted`."""
        return self.below(target, self.wanted(target))

    def below(self, target: int, wanted: float) -> float:
        """The most that sets of less than a margin can have, one of the lattice if there is one."""
        lattice = self.margins.lattice(target)
        return wanted - (0.0 if lattice is None else lattice[1])

    def at_least(self, target: int, margin: float) -> float:
        """The least margin from this one on that a set of the target can have, as far as known."""
        lattice = self.margins.lattice(target)
        if lattice is None:
            return margin
        offset, step = lattice
        return float(offset + step * np.ceil((margin - offset) / step))

    def offer(self, points: FloatArray) -> bool:
        """Replay points, shape (count, n); keep the best if it is better than what there is."""
        snapped = np.array([self.instance.snap(z) for z in points])
        logits = self.instance.network.logits_of_levels(snapped)
        margins, flips = self.margins.best(logits), self.margins.is_flip(logits)
        at = max(range(len(snapped)), key=lambda i: (flips[i], margins[i]))
        if (flips[at], margins[at]) <= (self.has_flip, self.best):
            return False
        self.best, self.has_flip = float(margins[at]), bool(flips[at])
        self.findings.points = snapped[at][None]
        seconds = self.deadline.elapsed
        self.findings.trace.append((seconds, self.best))
        self.limits.tell(seconds, self.best)
        return True

    def note_bound(self, bound: float) -> None:
        """Keep the time of a proved bound on all margins, if it is better than those before."""
        bounds, rounded = self.findings.bounds, self.margins.round_bound(bound)
        if not bounds or rounded < bounds[-1][1]:
            bounds.append((self.deadline.elapsed, rounded))

    @property
    def num_flips(self) -> int:
        """How many flips there are."""
        return len(self.region.demand) - self.region.always

    def margin(self, target: int, members: Iterable[int]) -> float:
        """The margin of a target where these flips are made."""
        terms: MarginTerms = self.terms[target]
        surplus = terms.surplus + terms.change[list(members)].sum(axis=0)
        return float(margin_of(terms, surplus)) * self.margins.unit

    def largest_margin(self, target: int) -> float:
        """What the margin of a target is where every neuron that flips can turn helps it."""
        terms = self.terms[target]
        most = terms.constant + float(np.maximum(terms.gain, 0.0).sum())
        return most * self.margins.unit

    def no_flip_to(self, target: int) -> bool:
        """Whether no set of a target that has been visited is a flip, or stayed open as one.

        A search for the best margin leaves out flips that are no better than the best point, or
        hardly so where margins have no lattice.
        """
        least, lattice = self.margins.least_flip(target), self.margins.lattice(target)
        is_sought = self.wanted(target) <= least if lattice is None else self.best < least
        is_sought = is_sought or self.instance.sought.needs_flip
        return is_sought and self.closed[target] < least

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
            The coordinates of a point, if there is one.

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
        signs = self.space.signs(rows)
        key = target, signs.tobytes()
        if key in self._decided:
            return
        self._decided.add(key)
        margin = self.margin(target, np.flatnonzero(rows[: self.num_flips]))
        for settle in (self._settle_by_program, self._settle_exactly, self._settle_whole):
            if settle(signs) or not self.is_wanted(target, margin):
                return
        if margin >= self.wanted(target):
            self.closed[target] = max(self.closed[target], margin)
            self._note(signs, margin)

    def _note(self, signs: SignArray, margin: float) -> None:
        notes = self.findings.notes
        if len(notes) < MOST_NOTES:
            neurons = self.space.neurons[signs != self.space.origin[self.space.neurons]].tolist()
            why = "time ran out" if self.deadline.passed else "the cell is thinner than the grid"
            notes.append(f"open: first-layer neurons {neurons} flipped, margin {margin:g}: {why}")

    def _reach(self, signs: SignArray, *, whole: bool = False) -> Reach:
        """Ask a program for the deepest point of a set, and replay it."""
        options = solvers.SolveOptions(
            seed=self.limits.seed,
            threads=self.limits.threads,
            node_limit=self.deadline.effort_left if whole else None,
        )
        with Reachability(
            self.instance,
            self.space.neurons,
            options=options,
            max_l1=self.instance.l1_point_levels,
            whole=whole,
        ) as reachability:
            reached = reachability.test(signs, self.deadline.left)
        if reached.interrupted:
            raise KeyboardInterrupt
        if reached.point is not None:
            self.offer(reached.point[None])
        return reached

    def _settle_by_program(self, signs: SignArray) -> bool:
        """Whether a linear program's multipliers refute a set; its point is replayed."""
        reached = self._reach(signs)
        return (
            reached.slack is not None
            and reached.slack < -TOLERANCE
            and self.space.refutes(signs, reached.multipliers)
        )

    def _settle_exactly(self, signs: SignArray) -> bool:
        """Whether whole-number arithmetic refutes a set; a point of it is replayed."""
        verdict = settle_cell(self.instance, self.space.neurons, signs, self.deadline.left)
        if verdict.point is not None:
            self.offer(verdict.point[None])
        return verdict.is_refuted

    def _settle_whole(self, signs: SignArray) -> bool:
        """Whether no image of whole levels has a set, by a MILP that was solved to its end."""
        if self.instance.domain != "pixels":
            return False
        bound = self._reach(signs, whole=True).most_slack
        return bound is not None and bound <= -0.5  # slacks are whole there


def space_and_terms(
    instance: AttackInstance, make: Callable[[AttackInstance, int], AnySpace]
) -> tuple[AnySpace, dict[int, MarginTerms]]:
    """With as many flips as there is memory for; `make` is given the most of them."""
    most = MOST_FLIPS
    while True:
        space = make(instance, most)
        terms = margin_terms(instance, space.origin, space.shift)
        if terms is not None:
            return space, terms
        most = (len(space.region.demand) - space.region.always) // 2

"""The tight model solved over sign patterns; pixels only check what is found.

The image enters the network through the signs of the first layer only. Without its pixels the
tight model is a relaxation over those signs: its bound holds for every point of the box, and its
784 dense columns are gone. A pattern that it finds is then tested by one linear program. If the
box has such a point, it is optimal; if not, the program's dual names a small set of flips that
cannot happen together, which is cut off before the next round (combinatorial Benders
decomposition, Codato and Fischetti 2006).
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.exact_cell import settle_cell
from bnnopt.attacks.findings import Findings, keep_going
from bnnopt.attacks.limits import Limits
from bnnopt.attacks.reachability import Reach, Reachability
from bnnopt.bounds import margin_bound
from bnnopt.flips import Flips, first_layer_flips, logits_of_pattern
from bnnopt.formulations.attack import attack_model, model_size
from bnnopt.formulations.tight import forbid_pattern, limit_flips, minimise_demand
from bnnopt.instance import AttackInstance
from bnnopt.tolerances import SOLVER_GAP

__all__ = ["Decomposition"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

TOLERANCE = 1e-7
"""Levels; a pattern with less slack below 0 may be one of the closed box and is not cut off."""

CUTS = 8
"""Random orders in which a conflict is made minimal; each may give a cut of its own."""

EARLY_SHARE, LATE_SHARE = 0.1, 0.95
"""Of the time left, until a solve has run out of it once: its pattern gives an early incumbent."""

PATTERN_SECONDS = 1.0
"""What a pattern's linear program may take even at the very end."""

LARGEST_LIFTED, LARGEST_SET = 6, 12
"""Conflicts of more flips, and sets of more neurons, are not worth the subsets to check."""


class Decomposition:
    """One attack on one instance.

    Parameters
    ----------
    instance : AttackInstance
        Limited by its box only; its goal is the margin or a flip.
    adapter : solvers.Solver
        For the MILPs; the linear programs need duals and run on HiGHS.
    limits : Limits
    strengthen : collection of str
        As for `tight_model`.
    """

    def __init__(
        self,
        instance: AttackInstance,
        adapter: solvers.Solver,
        limits: Limits,
        strengthen: Collection[str],
    ) -> None:
        self._instance, self._adapter, self._limits = instance, adapter, limits
        self._strengthen = strengthen
        self._deadline = Deadline(limits)
        self._flips: Flips = first_layer_flips(instance)
        self._best = instance.rank(instance.levels)
        self._bound, self._is_infeasible, self._closed = np.inf, False, -np.inf
        self._nodes = 0
        self._findings = Findings(np.zeros((0, instance.network.num_inputs)))
        self._rng = np.random.default_rng(limits.seed)
        self._cuts: set[tuple[int, ...]] = set()
        self._is_early = True

    def run(self) -> Findings:
        """Alternate between the two problems until they agree, or a limit is reached."""
        findings = keep_going(self._findings, self._run)
        findings.bound = max(self._bound, self._closed)
        margins = self._instance.of_margins
        findings.no_flip = (
            self._instance.sought.needs_flip
            and self._is_infeasible
            and margins.excludes_flip(self._closed)
        )
        findings.iterations, findings.cut_off = self._nodes, self._deadline.passed
        return findings

    def _run(self) -> None:
        instance = self._instance
        self._bound = max(margin_bound(instance, c) for c in instance.targets)
        model = attack_model(
            instance, "tight", self._strengthen, with_pixels=False, limits=self._deadline
        )
        self._model = model
        self._bound = float(model.largest_margin) * instance.of_margins.unit
        if instance.sought.needs_flip:
            minimise_demand(model, instance, self._flips)
        with ExitStack() as self._resources:
            while not self._deadline.passed:
                solved = self._solve()
                if solved is None or solved.interrupted:
                    return
                finished = solved.termination is solvers.Termination.OPTIMAL
                if solved.values is not None:
                    if self._is_settled(self._pattern()) and finished:
                        return
                elif solved.termination is solvers.Termination.INFEASIBLE:
                    return
                if not (finished or self._is_early):
                    return
                self._is_early &= finished

    def _is_settled(self, flipped: BoolArray) -> bool:
        """Test a pattern; False if it was cut off, True if no more can be said of it."""
        reached = self._try(flipped)
        if reached.slack is None:
            return True
        if reached.slack >= -TOLERANCE:
            return self._settle(flipped)
        return not self._cut_off(flipped, reached)

    @cached_property
    def _reachability(self) -> Reachability:
        """Made when the first pattern asks for it; many a flip is ruled out without."""
        return self._resources.enter_context(Reachability(self._instance, self._flips.neurons))

    def _solve(self) -> solvers.SolveResult | None:
        """Solve the relaxation as it stands; None if there is nothing left to do."""
        seeks_flip = self._instance.sought.needs_flip
        compiled = solvers.compile_model(self._model, lambda: self._deadline.passed)
        self._findings.size = self._findings.size or model_size(self._model, compiled)
        part = self._deadline.share(EARLY_SHARE if self._is_early else LATE_SHARE)
        margins = self._instance.of_margins
        options = solvers.SolveOptions(
            time_limit=part.time_limit,
            node_limit=part.effort,
            threads=self._limits.threads,
            seed=self._limits.seed,
            relative_gap=0.0,  # a large bias must not widen it
            absolute_gap=SOLVER_GAP if seeks_flip else margins.solver_gap,
        )
        solved = self._adapter.solve(compiled, options)
        self._nodes += solved.nodes or 0
        self._deadline.spend(solved.nodes)
        self._findings.interrupted |= solved.interrupted
        if solved.termination is solvers.Termination.ERROR:
            self._findings.message = f"{self._adapter.name}: {solved.message or solved.raw_status}"
            return None
        if solved.termination is solvers.Termination.INFEASIBLE:
            self._is_infeasible = True
            if seeks_flip:
                self._bound = min(self._bound, margins.most_without_flip)
        elif solved.bound is not None and not seeks_flip:
            self._bound = min(self._bound, solved.bound * margins.unit)
        return solved

    def _pattern(self) -> BoolArray:
        """Which unstable neurons the solver's point flips."""
        on = [self._model.h[1, j].value > 0.5 for j in self._flips.neurons.tolist()]
        flipped: BoolArray = np.array(on, dtype=bool) != (self._flips.signs > 0)
        return flipped

    def _signs(self, flipped: BoolArray) -> npt.NDArray[np.int8]:
        return np.where(flipped, -self._flips.signs, self._flips.signs).astype(np.int8)

    def _try(self, flipped: BoolArray) -> Reach:
        """Test a pattern, and keep the point that came closest to it if it is worth it."""
        reached = self._test(self._signs(flipped))
        if reached.point is not None:
            self._offer(reached.point)
        return reached

    def _test(self, signs: npt.NDArray[np.int8]) -> Reach:
        left = self._deadline.left
        limit = None if left is None else max(left, PATTERN_SECONDS)
        reached = self._reachability.test(signs, limit)
        if reached.interrupted:
            raise KeyboardInterrupt
        return reached

    def _offer(self, point: FloatArray) -> None:
        snapped = self._instance.snap(point)
        rank = self._instance.rank(snapped)
        if rank > self._best:
            self._best = rank
            margin = float(self._instance.margins(snapped[None])[0])
            self._findings.points = snapped[None]
            self._findings.trace.append((self._deadline.elapsed, margin))
            self._limits.tell(self._deadline.elapsed, margin)

    def _margin(self, flipped: BoolArray) -> float:
        """The margin of every point with this pattern."""
        return float(self._instance.of_margins.best(self._logits(flipped)))

    def _is_wanted(self, flipped: BoolArray) -> bool:
        """Whether the points of a pattern are better than the best one."""
        margin = self._margin(flipped)
        if self._instance.sought.needs_flip:
            is_flip = bool(self._instance.of_margins.is_flip(self._logits(flipped)))
            return is_flip and self._best[0] == -np.inf
        return margin > self._best[0]

    def _logits(self, flipped: BoolArray) -> FloatArray:
        """The logits of every point with this pattern, shape (C,)."""
        return logits_of_pattern(self._instance, self._flips.neurons, self._signs(flipped))

    def _settle(self, flipped: BoolArray) -> bool:
        """Find an image with a pattern that has a real point; whether the search ends."""
        if self._instance.sought.needs_flip and not self._is_wanted(flipped):
            if self._best[0] == -np.inf:  # a tie that is no flip, which a closed model allows
                forbid_pattern(self._model, self._flips, list(range(len(flipped))), flipped)
                return False
            return True
        if not self._is_wanted(flipped):
            return True
        if self._instance.domain == "continuous":
            return self._settle_exactly(flipped)
        return self._settle_pixels(flipped)

    def _settle_exactly(self, flipped: BoolArray) -> bool:
        """On thresholds, or nearly: look in whole-number arithmetic; cut the pattern off."""
        verdict = settle_cell(
            self._instance, self._flips.neurons, self._signs(flipped), self._deadline.left
        )
        if not verdict.is_refuted:
            if verdict.point is not None:
                self._offer(verdict.point)
            if not self._is_wanted(flipped):
                return True
            # Its margin stays in the bound; another pattern may have it too.
            self._closed = max(self._margin(flipped), self._closed)
            self._findings.notes.append(
                f"open: a pattern of margin {self._margin(flipped):g}: its cell is thinner than "
                "the grid"
            )
        forbid_pattern(self._model, self._flips, list(range(len(flipped))), flipped)
        return False

    def _settle_pixels(self, flipped: BoolArray) -> bool:
        """Look for whole levels; cut the pattern off if there are none."""
        options = solvers.SolveOptions(threads=self._limits.threads, seed=self._limits.seed)
        with Reachability(
            self._instance, self._flips.neurons, self._adapter.name, options, whole=True
        ) as whole:
            reached = whole.test(self._signs(flipped), self._deadline.left)
        if reached.interrupted:
            raise KeyboardInterrupt
        if reached.point is not None:
            self._offer(reached.point)
        if not self._is_wanted(flipped):
            return True
        # Slacks are whole here; a stopped solver has seen some of them only.
        if reached.most_slack is None or reached.most_slack > -0.5:
            return True
        members = list(range(len(flipped)))
        forbid_pattern(self._model, self._flips, members, flipped)
        return False

    def _cut_off(self, flipped: BoolArray, reached: Reach) -> bool:
        """Add rows that the pattern violates; then unflip neurons until a point is found."""
        if not self._flips.refutes(flipped, reached.multipliers):
            return False
        for _ in range(CUTS):
            members = self._minimal(flipped, reached)
            self._add_cut(members, flipped)
            if self._deadline.passed:
                break
        flipped = flipped.copy()
        while not self._deadline.passed:
            movable = [j for j in members if flipped[j]]
            if not movable:
                break
            without = [flipped & (np.arange(len(flipped)) != j) for j in movable]
            flipped = max(without, key=self._margin)
            reached = self._try(flipped)
            if not self._flips.refutes(flipped, reached.multipliers):
                break
            members = self._minimal(flipped, reached)
            self._add_cut(members, flipped)
        return True

    def _minimal(self, flipped: BoolArray, reached: Reach) -> list[int]:
        """Part of a refuted pattern that is refuted too and none of whose parts is."""
        members = _support(reached)
        order = self._rng.permutation(len(flipped))
        for j in sorted(order.tolist(), key=lambda j: bool(flipped[j])):
            if not members[j] or self._deadline.passed:
                continue
            members[j] = False
            fewer = self._test(np.where(members, self._signs(flipped), 0).astype(np.int8))
            if self._flips.refutes(flipped, fewer.multipliers):
                members = _support(fewer)
            else:
                members[j] = True
        return [int(j) for j in np.flatnonzero(members)]

    def _add_cut(self, members: list[int], flipped: BoolArray) -> None:
        """Cut off a conflict, widened by other neurons where it holds for all of its size."""
        if not all(flipped[members]):
            forbid_pattern(self._model, self._flips, members, flipped)
            return
        widened = self._widened(members)
        if tuple(widened) not in self._cuts:
            self._cuts.add(tuple(widened))
            limit_flips(self._model, self._flips, widened, len(members) - 1)

    def _widened(self, members: list[int]) -> list[int]:
        """A larger set of which no ``len(members)`` can flip together."""
        size, widened = len(members), list(members)
        if size > LARGEST_LIFTED:
            return widened
        for new in np.argsort(-self._flips.demand, kind="stable").tolist():
            if new in members or len(widened) == LARGEST_SET:
                continue
            # The first few subsets reject most neurons.
            for group in (members, widened):
                subsets = [(*rest, new) for rest in combinations(group, size - 1)]
                if not self._flips.are_conflicts(np.array(subsets)).all():
                    break
            else:
                widened.append(new)
        return sorted(widened)


def _support(reached: Reach) -> BoolArray:
    support: BoolArray = reached.multipliers > 1e-9 * reached.multipliers.max()
    return support

"""What a solver claims, and what refutes it; all in the minimised sense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solvers.audit import BOUND_TOLERANCE
from solvers.result import Termination

__all__ = ["Claim"]


@dataclass
class Claim:
    """A termination, a point that satisfies the model, and a bound."""

    termination: Termination
    message: str = ""
    x: npt.NDArray[np.float64] | None = None
    objective: float | None = None
    bound: float | None = None
    violation: float = 0.0

    def refuse(self, why: str) -> None:
        """Believe the solver no more, and say why."""
        self.termination = Termination.ERROR
        self.message = f"{self.message}; {why}" if self.message else why

    def cut_off(self, cutoff: float) -> None:
        """Apply the meaning of a cutoff, which solvers read in slightly different ways."""
        if self.bound is not None:
            self.bound = min(self.bound, cutoff)  # the solver looked at nothing above it
        if self.objective is not None and self.objective >= cutoff - 1e-9 * max(1.0, abs(cutoff)):
            self.x = self.objective = None
            if self.termination is Termination.OPTIMAL:
                self._end_cut_off(cutoff)
        if self.termination is Termination.INFEASIBLE:
            self.bound = cutoff

    def _end_cut_off(self, cutoff: float) -> None:
        """An optimum that is not below the cutoff: nothing is, if the bound says so."""
        if self.bound is not None and self.bound >= cutoff - _slack(cutoff):
            self.termination = Termination.INFEASIBLE
        else:
            self.refuse(
                "the solver stopped, within the gap asked for, at a point no better than the "
                f"cutoff, and its bound {self.bound} leaves room for better ones: ask for a "
                "smaller gap"
            )

    def refute(self, witness: float | None, allowed: float) -> None:
        """Believe nothing that a point or the bound itself speaks against.

        Parameters
        ----------
        witness : float or None
            The objective of a feasible point that the solver may not know.
        allowed : float
            The largest gap of an optimum.
        """
        points = {"its own": self.objective, "the starting": witness}
        known = {whose: value for whose, value in points.items() if value is not None}
        for whose, objective in known.items():
            below = np.inf if self.bound is None else self.bound - _slack(objective)
            if self.termination is Termination.INFEASIBLE and objective < below:
                self.refuse(f"the solver claims infeasible, which {whose} point refutes")
                self.bound = None
            elif self.bound is not None and objective < below:
                self.refuse(
                    f"the solver's bound {self.bound:g} excludes {whose} point {objective:g}"
                )
                self.bound = None
        if self.objective is not None and self.bound is not None:
            self.bound = min(self.bound, self.objective)
        if self.termination is Termination.OPTIMAL:
            self._refute_optimum(allowed)

    def _refute_optimum(self, allowed: float) -> None:
        if self.objective is None:
            self.refuse("the solver claims an optimum and gives no point")
        elif self.bound is None or self.objective - self.bound > allowed + _slack(self.objective):
            self.refuse(f"the solver claims an optimum that its bound {self.bound} does not prove")


def _slack(objective: float) -> float:
    return BOUND_TOLERANCE * max(1.0, abs(objective))

"""Every tolerance, with its unit: what arithmetic may be off, and what is near enough.

Three kinds. *Certainties* guard proofs: a test must fail by that much to count. *Gaps* say how
near a bound must be to prove a value. *Rounding* is what an allowance covers, and no more. None
depends on the units of a network file: margins are divided by `Margins.unit` first.
"""

from __future__ import annotations

__all__ = [
    "BUDGET_LEVELS",
    "CERTAIN_LEVELS",
    "DISTANCE_GAP",
    "LATTICE_SLACK",
    "MARGIN_GAP",
    "MARGIN_STEP",
    "SMALLEST_LATTICE",
    "SOLVER_GAP",
    "SOLVER_GAP_SHARE",
    "SOLVER_LATTICE_SHARE",
    "SUM_ROUNDING",
    "certain_levels",
]

BUDGET_LEVELS = 1e-9
"""Levels: a budget this near a multiple of the grid step, such as the float 2/255, is meant so."""

CERTAIN_LEVELS = 1e-6
"""Levels by which the sum of a set's demands must exceed its reach, at least."""

SUM_ROUNDING = 2.0**-36
"""Relative to the sum of absolute values: what float64 sums of up to 2^17 terms can be off."""


def certain_levels(size: float) -> float:
    """Levels by which a sum must fail to count, of terms whose absolute values add up to `size`."""
    return max(CERTAIN_LEVELS, SUM_ROUNDING * size)


MARGIN_GAP = 1e-5
"""In units of the margin: a bound this near a margin proves it; solvers stop at gaps of 1e-6."""

MARGIN_STEP = 5e-6
"""In units of the margin: the least improvement that is sought where margins have no lattice."""

LATTICE_SLACK = 0.01
"""In units of the margin: what below the next lattice value still counts as reaching it."""

SMALLEST_LATTICE = 0.04
"""In units of the margin: a finer lattice is of no use."""

SOLVER_GAP = 1e-6
"""In units of the margin: the gap at which a solver may stop where margins have no lattice."""

SOLVER_GAP_SHARE = 0.975
"""Of a lattice step: likewise where they have one; a bound that near can only be the objective."""

SOLVER_LATTICE_SHARE = 2.5e-4
"""Of a lattice step: a solver's bound this far below a lattice value counts as on it."""

DISTANCE_GAP = 1e-4
"""Relative: likewise `MARGIN_GAP`, for distances; points keep a little off the thresholds."""

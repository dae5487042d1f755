"""All numbers of the grid that pages quote."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.grid import paper_claims, truth_claims
from benchmarks.grid.claim import Claim, Lines

__all__ = ["claims"]

OF_ATTACKS: tuple[Callable[[Lines], list[Claim]], ...] = (
    paper_claims.milp_alone,
    paper_claims.iprop_and_milp,
    paper_claims.iprop_and_gradients,
    paper_claims.small_epsilon,
    paper_claims.when_they_stop,
    paper_claims.steps_and_starts,
    truth_claims.limits,
    truth_claims.the_truth,
    truth_claims.soundness,
)


def claims(lines: Lines) -> list[Claim]:
    """Those that the lines have something for, the paper's first."""
    found = [] if lines.attacks.empty else [c for each in OF_ATTACKS for c in each(lines)]
    return found + truth_claims.milp_at_ties(lines)

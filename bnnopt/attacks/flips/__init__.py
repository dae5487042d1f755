"""Attacks that search over which first-layer neurons flip: branch and bound, local search."""

from __future__ import annotations

from bnnopt.attacks.flips.branch_and_bound import BranchAndBound
from bnnopt.attacks.flips.pattern import PatternAttack

__all__ = ["BranchAndBound", "PatternAttack"]

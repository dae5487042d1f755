"""The attack as a mixed-integer linear program, whole or decomposed."""

from __future__ import annotations

from bnnopt.attacks.milp.attack import MilpAttack

__all__ = ["MilpAttack"]

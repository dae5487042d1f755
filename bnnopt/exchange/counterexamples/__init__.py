"""Decide whether a network has a counterexample of a property: the question of VNN-COMP."""

from __future__ import annotations

from bnnopt.exchange.counterexamples.deciding import Answer, Verdict, decide

__all__ = ["Answer", "Verdict", "decide"]

"""Proofs of what an attack claims, which a small program of its own checks (docs/proofs.md)."""

from bnnopt.proof.writing import proof_lines, write_proof

__all__ = ["proof_lines", "write_proof"]

"""Proofs of what an attack claims (docs/proofs.md): `writing` makes them, `check` stands alone."""

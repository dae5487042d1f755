"""Pyomo models of attack problems, and networks in models of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnnopt.formulations.embedding import embed
    from bnnopt.formulations.tight import tight_model

__all__ = ["embed", "tight_model"]


def __getattr__(name: str) -> Any:
    """Import pyomo with the first model, not before."""
    if name == "embed":
        from bnnopt.formulations.embedding import embed

        return embed
    if name == "tight_model":
        from bnnopt.formulations.tight import tight_model

        return tight_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""IProp: integer target propagation, and its faster descendant."""

from __future__ import annotations

from bnnopt.attacks.iprop.attack import IProp

__all__ = ["IProp"]

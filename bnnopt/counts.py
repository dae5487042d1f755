"""Counts as text."""

from __future__ import annotations

__all__ = ["counted"]

HISSING = ("s", "sh", "ch", "x")
"""Endings of nouns whose plural takes two letters."""


def counted(count: int, thing: str) -> str:
    """``1 image``, ``2 images``, ``0 classes``.

    Parameters
    ----------
    count : int
    thing : str
        A noun in the singular with a regular plural; other words may stand before it.
    """
    ending = "" if count == 1 else "es" if thing.endswith(HISSING) else "s"
    return f"{count} {thing}{ending}"

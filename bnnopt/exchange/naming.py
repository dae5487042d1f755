"""Names of a file in messages."""

from __future__ import annotations

__all__ = ["short"]

LONGEST = 60
"""Letters of a name."""


def short(name: object) -> str:
    """A name as a message has it: quoted, in one line, cut if it is long."""
    text = str(name)
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}...")

"""What the command line's exit codes mean."""

from __future__ import annotations

__all__ = ["BAD_INPUT", "BELOW", "FAILED", "INTERRUPTED"]

FAILED, BAD_INPUT, BELOW, INTERRUPTED = 1, 2, 3, 130

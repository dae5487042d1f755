"""What the command line's exit codes mean."""

from __future__ import annotations

__all__ = ["BAD_INPUT", "FAILED", "INTERRUPTED"]

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

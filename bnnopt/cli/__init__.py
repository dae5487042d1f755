"""The command line; see ``bnnopt --help``."""

from __future__ import annotations

from bnnopt.cli.main import main

__all__ = ["main"]

"""The command line; see ``bnnopt --help``."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and exit."""
    # Worker processes import this package, and none of them needs the commands.
    from bnnopt.cli.commands import main as run

    run()

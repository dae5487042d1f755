"""Who holds a claim: the identity of a process, and whether that process is gone."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["identity", "is_gone"]


def identity() -> str:
    """Name the present process, in words that another process can check: see `is_gone`.

    Returns
    -------
    str
        Boot, name space of process numbers, number, and start time; on a system without
        ``/proc`` the number alone.
    """
    return f"{_scope()} {os.getpid()} {_started(os.getpid())}"


def is_gone(process: str) -> bool | None:
    """Whether the process with this `identity` has ended; None if it cannot be told from here."""
    scope, number, started = process.split(" ")
    if not scope or scope != _scope():
        return None
    return _started(int(number)) != started


def _scope() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(number: int) -> str:
    """When a process started, in ticks since boot; empty if there is none, or a dead one."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return ""
    # The command's name, in parentheses, may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]

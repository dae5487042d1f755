"""What to tell a user whose solver ended without an answer."""

from __future__ import annotations

__all__ = ["explain"]

NUMERICAL = ("difficult", "numeric", "suboptimal", "unknown", "solve error", "postsolve")
MEMORY = ("memory", "memlimit", "mem_limit")


def explain(solver: str, status: str) -> str:
    """One line: what happened, and what to try.

    Parameters
    ----------
    solver : str
    status : str
        The solver's own words.
    """
    said, words = status or "nothing", status.lower().replace("_", " ")
    if any(word in words for word in NUMERICAL):
        return (
            f"{solver} ended in numerical trouble ({said}) and proved nothing: try another "
            "solver, another seed, or a model with smaller constants (big M)"
        )
    if any(word.replace("_", " ") in words for word in MEMORY):
        return (
            f"{solver} ran out of memory ({said}): try fewer threads, a node limit or a smaller "
            "model"
        )
    return (
        f"{solver} ended with the status {said!r}, which proves nothing: its log (log=True) may "
        "say why; try another seed or another solver"
    )

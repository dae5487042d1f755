"""What a solve may be told, with one meaning for every solver."""

from __future__ import annotations

import math
from dataclasses import dataclass

from solvers.errors import UnsupportedOptionError

__all__ = ["SolveOptions"]


@dataclass(frozen=True)
class SolveOptions:
    """Options of one solve.

    Parameters
    ----------
    time_limit : float, optional
        Wall-clock seconds, loading included; None for no limit.
    threads : int
        Most threads the solver may use.
    seed : int
        0 to 2**31 - 1; the same seed, options and machine give the same run, unless a time
        limit cuts it.
    relative_gap, absolute_gap : float
        The solve may stop as optimal once ``|bound - objective|`` is at most
        ``max(absolute_gap, relative_gap * |objective|)``.
    cutoff : float, optional
        Only points strictly better than this objective are of interest: none worse is
        returned, and "infeasible" means that there is none better.
    node_limit : int, optional
        Most branch-and-bound nodes; None for no limit.
    log : bool
        Let the solver print its log.

    Raises
    ------
    UnsupportedOptionError
        If a value is out of range.
    """

    time_limit: float | None = None
    threads: int = 1
    seed: int = 0
    relative_gap: float = 1e-6
    absolute_gap: float = 1e-6
    cutoff: float | None = None
    node_limit: int | None = None
    log: bool = False

    def __post_init__(self) -> None:
        checks = {
            "time_limit": self.time_limit is None or self.time_limit > 0,
            "threads": self.threads >= 1,
            "seed": 0 <= self.seed < 2**31,
            "relative_gap": 0 <= self.relative_gap < math.inf,
            "absolute_gap": 0 <= self.absolute_gap < math.inf,
            "cutoff": self.cutoff is None or math.isfinite(self.cutoff),
            "node_limit": self.node_limit is None or self.node_limit >= 1,
        }
        for name, fits in checks.items():
            if not fits:
                raise UnsupportedOptionError(
                    f"{name}={getattr(self, name)!r} is out of range; see SolveOptions"
                )

"""What an attack may spend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bnnopt.arguments import read_number, read_whole

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What an attack may spend.

    Parameters
    ----------
    time_limit : float or None
        Wall-clock seconds, building included.
    threads : int
        Of the solver, and of branch and bound; at least 1.
    seed : int
        0 to 2**31 - 1.
    effort : int or None
        Steps of the method's own: nodes of branch and bound and of a MILP, neighbourhoods of
        pattern search, iterations of IProp and of the gradient attacks. A run with one thread
        that this limit cuts off, and not the time, repeats itself with the same versions.
    on_incumbent : callable, optional
        Called with (seconds, objective) of each better point, as an attack claims it.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    time_limit: float | None = None
    threads: int = 1
    seed: int = 0
    effort: int | None = None
    on_incumbent: Callable[[float, float], None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.time_limit is not None:
            self._set("time_limit", read_number(self.time_limit, "time_limit", above=0.0))
        self._set("threads", read_whole(self.threads, "threads", low=1))
        self._set("seed", read_whole(self.seed, "seed", low=0, high=2**31 - 1))
        if self.effort is not None:
            self._set("effort", read_whole(self.effort, "effort", low=1, high=2**31 - 1))

    def _set(self, name: str, value: float) -> None:
        object.__setattr__(self, name, value)

    def tell(self, seconds: float, objective: float) -> None:
        """Report a better point to whoever listens."""
        if self.on_incumbent is not None:
            self.on_incumbent(seconds, objective)

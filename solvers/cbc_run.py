"""Following a run of CBC: its log as it comes, its clock, and how it ended."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import IO

from solvers import supervise
from solvers.options import SolveOptions
from solvers.result import Termination
from solvers.trouble import explain

__all__ = ["Run", "ending", "has_point", "stop_reason"]

GRACE_SECONDS = 0.3
"""How long after its time limit CBC may go on before it is interrupted, and then killed."""

RESEND_SECONDS, PATIENCE_SECONDS = 3.0, 15.0
"""After Ctrl-C: when CBC, which may miss the first SIGINT, gets another; when it is killed."""

INFINITY = 1e20

NUMBER = r"[-+]?\d[\d.]*(?:e[-+]?\d+)?"
TREE_LINE = re.compile(
    rf"^\s*[★*]?\s+\S+\s+\S+\s+\d+\s+({NUMBER})\s.*?\s({NUMBER})\s+{NUMBER}%\s+{NUMBER}\s*$"
)
NO_SOLUTION_LINE = re.compile(rf"^\s+\S+\s+\S+\s+\d+\s+—\s.*?\s({NUMBER})\s+—\s+{NUMBER}\s*$")
STAR_LINE = re.compile(rf"^\s*[★*]\s.*\s({NUMBER})\s+{NUMBER}\s*$")
CLASSIC_LINE = re.compile(rf"^Cbc00(?:04|12|16)I .*?[Ss]olution of ({NUMBER})")
LOWER_BOUND = re.compile(rf"^Lower bound:\s+({NUMBER})")
ROOT_BOUND = re.compile(rf"^\S* ?LP Optimal\b.*\bObj:\s+({NUMBER})\s")
RESULT = re.compile(r"^Result - (.*)")
NODES = re.compile(r"^Enumerated nodes:\s+(\d+)")


@dataclass
class Run:
    """Reads CBC's output as it comes, and stops CBC when it should."""

    options: SolveOptions
    is_integer_program: bool
    bound: float | None = None
    root_bound: float | None = None
    nodes: int | None = None
    trace: list[tuple[float, float]] = field(default_factory=list)
    result: str = ""
    """What the log's summary says of the branch and bound; a linear program has none."""
    overdue: bool = False
    infeasible: bool = False
    stopped: bool = False
    proved: float | None = None
    """The bound for which we stopped CBC, as it is within the gap; its summary rounds more."""
    exit_status: int = 0
    last_lines: list[str] = field(default_factory=list)

    def attach(self, stdin: IO[str], stdout: IO[str], deadline: float | None) -> None:
        """Take the pipes to the supervisor, and the time at which CBC is to be done."""
        self._stdin, self._stdout, self._deadline = stdin, stdout, deadline
        self._began = time.perf_counter()
        self._asked: float | None = None
        self._timers: list[threading.Timer] = []

    def stop(self) -> None:
        """Ask CBC to end and to write its incumbent, until it does, and at last kill it."""
        now = time.perf_counter()
        if self._asked is None:
            self._after(PATIENCE_SECONDS, self._abandon)
        elif now - self._asked < RESEND_SECONDS:
            return
        self._asked = now
        self._interrupt()

    def _interrupt(self) -> None:
        self.stopped = True
        with suppress(OSError, ValueError):  # CBC, or the pipe to it, may be gone already
            self._stdin.write("i")
            self._stdin.flush()

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def read(self) -> None:
        """Read until CBC ends, or is killed for overstaying its time limit."""
        if self._deadline is not None:
            left = max(self._deadline - time.perf_counter(), 0.0)
            self._after(left + GRACE_SECONDS, self._expire)
            self._after(left + 2 * GRACE_SECONDS, self._abandon)
        try:
            for line in self._stdout:
                if line.startswith(supervise.FINISHED):
                    self.exit_status = int(line.split()[-1])
                    break
                self._take(line)
        finally:
            for timer in self._timers:
                timer.cancel()
        if self._deadline is not None and time.perf_counter() >= self._deadline:
            self.overdue = True

    def _expire(self) -> None:
        self.overdue = True
        self._interrupt()

    def _abandon(self) -> None:
        with suppress(OSError):
            self._stdin.close()  # the supervisor kills CBC

    def _take(self, line: str) -> None:
        if self.options.log:
            print(line, end="", file=sys.stderr)
        self.last_lines = [*self.last_lines[-4:], line.strip()]
        if found := LOWER_BOUND.match(line):
            self.bound = self._finite(found[1])
        elif "infeasibility proved" in line:
            self.infeasible = True  # found before the solve, which the solution file omits
        elif found := RESULT.match(line):
            self.result = found[1]
        elif found := NODES.match(line):
            self.nodes = int(found[1])
        elif found := ROOT_BOUND.match(line):
            self.bound = self.root_bound = self._finite(found[1])
        elif found := NO_SOLUTION_LINE.match(line):
            self.bound = self._finite(found[1])
        elif found := TREE_LINE.match(line):
            self._take_tree_line(found[1], found[2])
        elif found := STAR_LINE.match(line) or CLASSIC_LINE.match(line):
            self._step(float(found[1]))

    def _take_tree_line(self, best: str, bound: str) -> None:
        self._step(float(best))
        self.bound = self._finite(bound)
        # Lines come by the clock: a run within a node limit, which is to be the same each time,
        # is not ended by them.
        if self.bound is None or self.stopped or self.options.node_limit is not None:
            return
        if self.close_enough(2 * float(best) - _rounded_down(best), self.bound):
            self.proved = self.bound
            self._interrupt()

    @staticmethod
    def _finite(text: str) -> float | None:
        bound = _rounded_down(text)
        return bound if abs(bound) < INFINITY else None

    def _step(self, objective: float) -> None:
        if not self.trace or objective < self.trace[-1][1]:
            self.trace.append((time.perf_counter() - self._began, objective))

    def close_enough(self, objective: float, bound: float) -> bool:
        """Whether the gap that was asked for is reached."""
        allowed = max(self.options.absolute_gap, self.options.relative_gap * abs(objective))
        return objective - bound <= allowed

    def complaint(self, status: str) -> str:
        """What went wrong, and the end of the log."""
        if self.exit_status < 0:
            what = f"CBC was ended by signal {-self.exit_status} (9: often for lack of memory)"
        elif status == "no solution file":
            what = f"CBC ended without a solution file (exit status {self.exit_status})"
        else:
            what = explain("cbc", status)
        end = " / ".join(filter(None, self.last_lines))
        return f"{what}; its log ends: {end}" if end else what


def _rounded_down(text: str) -> float:
    """A number of CBC's log less half a unit of its last digit, by which it may be rounded."""
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return float(number - Decimal(5).scaleb(exponent - 1))


def ending(header: str, run: Run, interrupted: bool) -> Termination | None:
    """How CBC ended, by the first line of its solution file and its log's summary.

    Neither alone is enough: the file's first line tells of the linear program that CBC looked at
    last. None is "infeasible or unbounded".
    """
    if not header.startswith("Stopped") and not run.result.startswith(("Stopped", "User")):
        if header.startswith("Optimal"):
            if not run.is_integer_program or run.result.startswith("Optimal"):
                return Termination.OPTIMAL
        elif not run.stopped and not run.overdue:
            if run.infeasible or header.startswith(("Infeasible", "Integer infeasible")):
                return Termination.INFEASIBLE
            if header.startswith("Unbounded"):
                return None
    return stop_reason(header, run, interrupted)


def stop_reason(header: str, run: Run, interrupted: bool) -> Termination:
    """What stopped CBC; an error if nothing that it was told to stop for."""
    if interrupted:
        return Termination.INTERRUPTED
    if run.overdue or header.startswith("Stopped on time"):
        return Termination.TIME_LIMIT
    if run.options.node_limit is not None and (
        header.startswith("Stopped on iterations") or "node limit" in run.result
    ):
        return Termination.NODE_LIMIT
    return Termination.ERROR


def has_point(header: str) -> bool:
    """Whether the solution file lists a point, or the relaxation's."""
    return "no integer solution" not in header and header.startswith(("Optimal", "Stopped"))

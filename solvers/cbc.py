"""CBC, as a subprocess on an MPS file; we parse its log and solution ourselves.

The model is always minimised, so that CBC's "lower bound" means one thing. Gaps relative to the
root node, which is how CBC reads ``-ratioGap``, are not used: the log is watched instead, and
CBC is stopped once the gap that was asked for is reached.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
import numpy.typing as npt

from solvers import supervise
from solvers.adapter import Capabilities, Solver
from solvers.audit import FEASIBILITY_TOLERANCE
from solvers.errors import SolverError
from solvers.interrupt import run_interruptible
from solvers.model import CompiledModel
from solvers.mps import column_name, mps_lines
from solvers.options import SolveOptions
from solvers.result import Termination
from solvers.session import IntArray, Outcome, Session

__all__ = ["Cbc"]

FloatArray = npt.NDArray[np.float64]

MODEL, START, SOLUTION = "model.mps", "start.txt", "solution.txt"
GRACE_SECONDS = 0.3
"""How long after its time limit CBC may go on before it is interrupted, and then killed."""

NUMBER = r"[-+]?\d[\d.]*(?:e[-+]?\d+)?"
TREE_LINE = re.compile(
    rf"^\s*[★*]?\s+\S+\s+\S+\s+\d+\s+({NUMBER})\s.*?\s({NUMBER})\s+{NUMBER}%\s+{NUMBER}\s*$"
)
STAR_LINE = re.compile(rf"^\s*[★*]\s.*\s({NUMBER})\s+{NUMBER}\s*$")
CLASSIC_LINE = re.compile(rf"^Cbc00(?:04|12|16)I .*?[Ss]olution of ({NUMBER})")
LOWER_BOUND = re.compile(rf"^Lower bound:\s+({NUMBER})")
NODES = re.compile(r"^Enumerated nodes:\s+(\d+)")


class Cbc(Solver):
    """CBC: the binary of the package cbcbox, else ``cbc`` on the PATH."""

    name: ClassVar[str] = "cbc"
    package: ClassVar[str] = "cbcbox"
    install: ClassVar[str] = "pip install cbcbox"
    licence: ClassVar[str] = "EPL-2.0"
    capabilities: ClassVar[Capabilities] = Capabilities(
        warm_start=True,
        resolve_in_place=False,
        trace=True,
        cutoff=True,
        threads=False,
        node_limit=True,
    )

    def _missing(self) -> str:
        missing = super()._missing()
        return "" if shutil.which("cbc") else missing

    def _version(self) -> str:
        if importlib.util.find_spec(self.package) is not None:
            return super()._version()
        return "unknown (cbc on the PATH)"

    def _open(self, model: CompiledModel) -> Session:
        return _CbcSession(self, model)

    def binary(self) -> str:
        """The path of CBC's executable."""
        if importlib.util.find_spec(self.package) is not None:
            import cbcbox

            return str(cbcbox.cbc_bin_path())
        found = shutil.which("cbc")
        if found is None:
            raise FileNotFoundError("no cbc on the PATH")
        return found


def _folder(supervisor: IO[str]) -> Path:
    """The private folder that the supervising process says it has made."""
    said = supervisor.readline()
    try:
        return Path(json.loads(said))
    except ValueError:  # it says why not instead
        why = [said, *supervisor][-1].strip()
        raise SolverError(f"CBC has no folder to work in: {why}") from None


class _CbcSession(Session):
    """Keeps nothing loaded: each solve writes the model anew."""

    solver: Cbc

    def _load(self) -> None:
        self._binary = self.solver.binary()

    def _push_objective(self) -> None:
        pass  # the next solve writes it

    def _push_columns(self, columns: IntArray) -> None:
        pass  # the next solve writes them

    def _push_rows(self, rows: IntArray) -> None:
        pass  # the next solve writes them

    def _close(self) -> None:
        pass  # nothing is held between solves

    def _run(self, options: SolveOptions) -> Outcome:
        run = _Run(options, self.is_integer_program)
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", os.fspath(supervise.__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is ours to hand on
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            folder = _folder(process.stdout)
            self._write(folder)
            command = self._command(options, began)
            run.attach(process.stdin, process.stdout, self._deadline(options, began))
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            interrupted = run_interruptible(run.read, run.stop)
            outcome = self._outcome(run, folder / SOLUTION, interrupted)
            outcome.interrupted = interrupted
            return outcome
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()

    def _write(self, folder: Path) -> None:
        columns, matrix, rows = self._constraints()
        with (folder / MODEL).open("w") as stream:
            lines = mps_lines(self.cost, self.offset, columns, self.model.integer, matrix, rows)
            stream.writelines(lines)
        if self.start is not None:
            given = np.flatnonzero(~np.isnan(self.start))
            with (folder / START).open("w") as stream:
                stream.write("Starting point\n")
                stream.writelines(
                    f"{column} {column_name(column)} {float(self.start[column])!r} 0\n"
                    for column in given.tolist()
                )

    @staticmethod
    def _deadline(options: SolveOptions, began: float) -> float | None:
        return None if options.time_limit is None else began + options.time_limit

    def _command(self, options: SolveOptions, began: float) -> list[str]:
        arguments = [self._binary, MODEL, "-timeMode", "elapsed"]
        if options.time_limit is not None:
            left = options.time_limit - (time.perf_counter() - began)
            arguments += ["-seconds", repr(max(left, 0.01))]
        # CBC takes a seed of 0 to mean the time of day.
        seed = str(1 + options.seed % (2**31 - 2))
        arguments += ["-randomSeed", seed, "-randomCbcSeed", seed]
        # CBC's cut generators (knapsack, two-step MIR and MIR among them) and its preprocessing
        # cut off the optimum of dense big-M models and then report a false one as proved: see
        # docs/solvers.md.
        arguments += ["-cuts", "off", "-preprocess", "off"]
        arguments += ["-allowableGap", repr(options.absolute_gap), "-ratioGap", "0"]
        if options.node_limit is not None:
            arguments += ["-maxNodes", str(options.node_limit)]
        if options.cutoff is not None:
            arguments += ["-cutoff", repr(options.cutoff)]
        if self.start is not None and self.is_integer_program:
            arguments += ["-mipstart", START]
        return [*arguments, "-solve", "-solution", SOLUTION]

    def _outcome(self, run: _Run, solution: Path, interrupted: bool) -> Outcome:
        if not solution.is_file():
            ended = Termination.TIME_LIMIT if run.overdue else Termination.ERROR
            termination = Termination.INTERRUPTED if interrupted else ended
            message = "" if termination is not Termination.ERROR else run.complaint()
            return Outcome(termination, raw_status="no solution file", message=message)
        header, _, body = solution.read_text().partition("\n")
        outcome = Outcome(
            _termination(header, run, interrupted),
            raw_status=header.partition(" - objective")[0],
            bound=run.bound,
            nodes=run.nodes,
            trace=run.trace,
        )
        if _has_point(header):
            point = self._point(body)
            # Stopped early, CBC may write the relaxation's point, at the root even as "Optimal":
            # that is no incumbent.
            if self._is_whole(point):
                outcome.values = point
            elif outcome.termination is Termination.OPTIMAL:
                early = run.overdue or run.options.time_limit is not None
                stopped = Termination.TIME_LIMIT if early else Termination.ERROR
                outcome.termination = Termination.INTERRUPTED if interrupted else stopped
        if outcome.termination in (None, Termination.INFEASIBLE):
            outcome.values = outcome.bound = None
        elif outcome.values is not None:
            self._settle(outcome, run)
        return outcome

    def _is_whole(self, x: FloatArray) -> bool:
        return bool(np.all(np.abs(x - np.round(x))[self.model.integer] <= FEASIBILITY_TOLERANCE))

    def _point(self, body: str) -> FloatArray:
        """The columns of a solution file, which leaves out those at zero."""
        x = np.zeros(self.model.num_columns)
        for line in body.splitlines():
            fields = line.replace("**", "").split()
            if len(fields) < 3 or not fields[1].startswith("C"):
                raise SolverError(f"CBC's solution file has a line that is no column: {line!r}")
            x[int(fields[1][1:])] = float(fields[2])
        return x

    def _settle(self, outcome: Outcome, run: _Run) -> None:
        """Give an optimal point the bound that CBC's status proves, which its log rounds."""
        assert outcome.values is not None
        objective = float(self.cost @ outcome.values) + self.offset
        if outcome.termination is Termination.OPTIMAL:
            gap = run.options.absolute_gap if self.is_integer_program else 0.0
            outcome.bound = objective - gap
        elif outcome.bound is not None and run.close_enough(objective, outcome.bound):
            outcome.termination = Termination.OPTIMAL


@dataclass
class _Run:
    """Reads CBC's output as it comes, and stops CBC when it should."""

    options: SolveOptions
    is_integer_program: bool
    bound: float | None = None
    nodes: int | None = None
    trace: list[tuple[float, float]] = field(default_factory=list)
    overdue: bool = False
    infeasible: bool = False
    stopped: bool = False
    last_lines: list[str] = field(default_factory=list)

    def attach(self, stdin: IO[str], stdout: IO[str], deadline: float | None) -> None:
        self._stdin, self._stdout, self._deadline = stdin, stdout, deadline
        self._began = time.perf_counter()

    def stop(self) -> None:
        """Send CBC a SIGINT, once: it ends and writes its incumbent; a second would kill it."""
        if self.stopped:
            return
        self.stopped = True
        with suppress(OSError, ValueError):  # CBC, or the pipe to it, may be gone already
            self._stdin.write("i")
            self._stdin.flush()

    def read(self) -> None:
        """Read until CBC ends, or is killed for overstaying its time limit."""
        timers = []
        if self._deadline is not None:
            left = self._deadline - time.perf_counter()
            timers = [
                threading.Timer(max(left, 0.0) + GRACE_SECONDS, self._expire),
                threading.Timer(max(left, 0.0) + 2 * GRACE_SECONDS, self._abandon),
            ]
        for timer in timers:
            timer.start()
        try:
            for line in self._stdout:
                if line.startswith(supervise.FINISHED):
                    break
                self._take(line)
        finally:
            for timer in timers:
                timer.cancel()

    def _expire(self) -> None:
        self.overdue = True
        self.stop()

    def _abandon(self) -> None:
        self._stdin.close()  # the supervisor kills CBC

    def _take(self, line: str) -> None:
        if self.options.log:
            print(line, end="", file=sys.stderr)
        self.last_lines = [*self.last_lines[-4:], line.strip()]
        if found := LOWER_BOUND.match(line):
            self.bound = _rounded_down(found[1])
        elif "infeasibility proved" in line:
            self.infeasible = True  # found before the solve, which the solution file omits
        elif found := NODES.match(line):
            self.nodes = int(found[1])
        elif found := TREE_LINE.match(line):
            objective, bound = float(found[1]), _rounded_down(found[2])
            self._step(objective)
            if self.close_enough(2 * objective - _rounded_down(found[1]), bound):
                self.bound = bound
                self.stop()
        elif found := STAR_LINE.match(line) or CLASSIC_LINE.match(line):
            self._step(float(found[1]))

    def _step(self, objective: float) -> None:
        if not self.trace or objective < self.trace[-1][1]:
            self.trace.append((time.perf_counter() - self._began, objective))

    def close_enough(self, objective: float, bound: float) -> bool:
        """Whether the gap that was asked for is reached."""
        allowed = max(self.options.absolute_gap, self.options.relative_gap * abs(objective))
        return objective - bound <= allowed

    def complaint(self) -> str:
        return "CBC ended without a solution file: " + " / ".join(filter(None, self.last_lines))


def _rounded_down(text: str) -> float:
    """A number of CBC's log less half a unit of its last digit, by which it may be rounded."""
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return float(number - Decimal(5).scaleb(exponent - 1))


def _termination(header: str, run: _Run, interrupted: bool) -> Termination | None:
    if header.startswith("Optimal"):
        return Termination.OPTIMAL
    if run.infeasible or header.startswith(("Infeasible", "Integer infeasible")):
        return Termination.INFEASIBLE
    if header.startswith("Unbounded"):
        return None
    if interrupted:
        return Termination.INTERRUPTED
    if run.overdue or header.startswith("Stopped on time"):
        return Termination.TIME_LIMIT
    if header.startswith("Stopped on iterations"):
        return Termination.NODE_LIMIT
    return Termination.ERROR


def _has_point(header: str) -> bool:
    return "no integer solution" not in header and header.startswith(("Optimal", "Stopped"))

"""CBC, as a subprocess on an MPS file; we parse its log and solution ourselves.

The model is always minimised, so that CBC's "lower bound" means one thing. Gaps relative to the
root node, which is how CBC reads ``-ratioGap``, are not used: the log is watched instead, and
CBC is stopped once the gap that was asked for is reached.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
import numpy.typing as npt

from solvers import supervise
from solvers.adapter import Solver
from solvers.audit import FEASIBILITY_TOLERANCE
from solvers.cbc_run import Run, ending, has_point, stop_reason
from solvers.description import Capabilities
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
LINES_BETWEEN_CHECKS = 1000


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
        run = Run(options, self.is_integer_program)
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
            deadline = self._deadline(options, began)
            if not self._write(folder, deadline):
                words = "the time was up before the model was written"
                return Outcome(Termination.TIME_LIMIT, raw_status=words)
            command = self._command(options, began)
            run.attach(process.stdin, process.stdout, deadline)
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

    def _write(self, folder: Path, deadline: float | None) -> bool:
        """Write the model and the start; whether there was time to."""
        columns, matrix, rows = self._constraints()
        with (folder / MODEL).open("w") as stream:
            lines = mps_lines(self.cost, self.offset, columns, self.model.integer, matrix, rows)
            while part := list(islice(lines, LINES_BETWEEN_CHECKS)):
                stream.writelines(part)
                if deadline is not None and time.perf_counter() >= deadline:
                    return False
        if self.start is not None:
            given = np.flatnonzero(~np.isnan(self.start))
            with (folder / START).open("w") as stream:
                stream.write("Starting point\n")
                stream.writelines(
                    f"{column} {column_name(column)} {float(self.start[column])!r} 0\n"
                    for column in given.tolist()
                )
        return True

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

    def _outcome(self, run: Run, solution: Path, interrupted: bool) -> Outcome:
        header, body = "no solution file", ""
        if solution.is_file():
            header, _, body = solution.read_text().partition("\n")
        outcome = Outcome(
            ending(header, run, interrupted),
            raw_status=header.partition(" - objective")[0],
            bound=run.bound,
            nodes=run.nodes,
            trace=run.trace,
        )
        if has_point(header):
            point = self._point(body)
            # Stopped early, CBC may write the relaxation's point, at the root even as "Optimal":
            # that is no incumbent.
            if self._is_whole(point):
                outcome.values = point
            elif outcome.termination is Termination.OPTIMAL:
                outcome.termination = stop_reason(header, run, interrupted)
        if outcome.termination in (None, Termination.INFEASIBLE):
            outcome.values = outcome.bound = None
        elif outcome.values is not None:
            self._settle(outcome, run)
        if outcome.termination is Termination.ERROR:
            # Trouble in the tree may have lost a part of it; the root's bound came before.
            outcome.bound = run.root_bound if solution.is_file() else None
            outcome.message = run.complaint(outcome.raw_status)
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

    def _settle(self, outcome: Outcome, run: Run) -> None:
        """Give an optimal point the bound that CBC's status proves, which its log rounds."""
        assert outcome.values is not None
        objective = float(self.cost @ outcome.values) + self.offset
        if run.proved is not None:
            outcome.bound = max(run.proved, outcome.bound or run.proved)
        if outcome.termination is Termination.OPTIMAL:
            gap = run.options.absolute_gap if self.is_integer_program else 0.0
            outcome.bound = objective - gap
        elif outcome.termination is Termination.ERROR and not run.stopped:
            return
        elif outcome.bound is not None and run.close_enough(objective, outcome.bound):
            outcome.termination = Termination.OPTIMAL

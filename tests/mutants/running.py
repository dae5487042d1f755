"""Running tests on changed copies of the package, some at a time.

Each run is a fork of this process, which has imported everything but the package and its tests:
most runs take a second or two. Kernels are not compiled there (``NUMBA_DISABLE_JIT``).
"""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection, context, get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

__all__ = ["FAILED", "PASSED", "TIMEOUT", "Job", "Outcome", "prepare", "run_jobs"]

PASSED, FAILED, TIMEOUT, BROKEN = "passed", "failed", "timeout", "broken"

ENVIRONMENT = {
    "NUMBA_DISABLE_JIT": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTEST_ADDOPTS": "",
}
MEMORY = 3 * 2**30
"""Bytes of a run, at most: one that runs in circles may fill them before its time is over."""

PARTS = ("bnnopt", "solvers", "tests", "benchmarks")
FILES = ("pyproject.toml",)
PRELOADED = (
    "numpy",
    "scipy.optimize",
    "scipy.sparse",
    "scipy.special",
    "numba",
    "pyomo.environ",
    "highspy",
    "pooch",
    "click",
    "tabulate",
    "pytest",
    "hypothesis.strategies",
)


@dataclass(frozen=True)
class Job:
    """Tests to run where a file has another text; none for the file as it is."""

    tests: tuple[str, ...]
    seconds: float
    file: str = ""
    text: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job: PASSED, FAILED, TIMEOUT or BROKEN (no tests); and what was printed."""

    result: str
    seconds: float
    output: str = field(repr=False, default="")


def prepare() -> None:
    """Import what all runs need; to be called before anything else is imported."""
    os.environ |= ENVIRONMENT
    for name in PRELOADED:
        importlib.import_module(name)


def run_jobs(root: Path, jobs: list[Job], processes: int) -> Iterator[tuple[Job, Outcome]]:
    """Run jobs, some at a time, each in a copy of the repository of its own."""
    with TemporaryDirectory(prefix="mutants-") as folder:
        free = [_copy(root, Path(folder) / str(number)) for number in range(processes)]
        running: list[_Run] = []
        waiting = iter(jobs)
        try:
            while True:
                while free and (job := next(waiting, None)) is not None:
                    running.append(_Run(free.pop(), job))
                if not running:
                    return
                connection.wait([run.process.sentinel for run in running], timeout=0.5)
                for run in [run for run in running if run.is_over]:
                    running.remove(run)
                    free.append(run.copy)
                    yield run.job, run.outcome()
        finally:
            for run in running:
                run.kill()


def _copy(root: Path, folder: Path) -> Path:
    for part in PARTS:
        shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(root / name, folder / name)
    return folder


class _Run:
    """One job at work in a copy."""

    def __init__(self, copy: Path, job: Job) -> None:
        self.copy, self.job = copy, job
        self._began, self._is_late = time.perf_counter(), False
        self._original = copy / job.file if job.text is not None else None
        if self._original is not None:
            shutil.copy2(self._original, copy / "original")
            self._original.write_text(job.text or "")
        forks: context.ForkContext = get_context("fork")
        self.process = forks.Process(target=_run_tests, args=(copy, job))
        self.process.start()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or is late, which ends it."""
        if self.process.is_alive() and time.perf_counter() - self._began > self.job.seconds:
            self._is_late = True
            self.kill()
        return not self.process.is_alive()

    def kill(self) -> None:
        """End it and all that it started."""
        assert self.process.pid is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()

    def outcome(self) -> Outcome:
        """What became of it; its copy is as before."""
        self.process.join()
        if self._original is not None:
            # With its old time, or the bytecode that the copy has of it would be of no use.
            shutil.copy2(self.copy / "original", self._original)
        code = self.process.exitcode
        # Of pytest: 1 where tests fail, 2 where a module cannot be imported.
        results = {0: PASSED, 1: FAILED, 2: FAILED, 4: BROKEN, 5: BROKEN}
        result = TIMEOUT if self._is_late else results.get(code or 0, FAILED)
        output = (self.copy / "output").read_text(errors="replace")
        return Outcome(result, time.perf_counter() - self._began, output)


def _run_tests(copy: Path, job: Job) -> None:
    """In a process of its own, with the copy's package and tests."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    output = os.open(copy / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = job.text is not None
    for name in list(sys.modules):
        if name.split(".")[0] in PARTS:
            del sys.modules[name]
    import pytest

    options = ["-x", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
    code = pytest.main([*options, *job.tests], plugins=[_Quick()])
    sys.stdout.flush()
    os._exit(int(code))


class _Quick:
    """A pytest plugin: an example that fails is enough, it need not be a small one."""

    def pytest_sessionstart(self, session: Any) -> None:
        import hypothesis

        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", phases=phases, database=None)
        hypothesis.settings.load_profile("mutants")

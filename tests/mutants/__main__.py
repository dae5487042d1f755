"""The command line; `tests.mutants` says what it is for."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from tests.mutants import plan, running
from tests.mutants.mutations import Mutant
from tests.mutants.source import Source

PATIENCE, LEAST_SECONDS = 6.0, 30.0
"""A run that takes so many times as long as without an error is ended: it runs in circles."""


def main() -> int:
    """Run what was asked for; 1 if a mutant survives that should not, or a list is wrong."""
    asked = _arguments()
    running.prepare()
    codes = {code.path: code for code in plan.codes()}
    mutants = [mutant for code in codes.values() for mutant in code.mutants()]
    listed = plan.equivalents()
    for entry in (stale := plan.stale(listed, mutants)):
        print(f"equivalent.toml speaks of nothing in {entry.file}: {entry.before}")
    chosen = _chosen(asked, mutants)
    if asked.list:
        for mutant in chosen:
            print(_described(mutant))
        return 0
    limits = _limits({code.path: code for code in codes.values()}, chosen, asked.processes)
    if limits is None:
        return 1
    bad = _run(asked, codes, chosen, limits, listed)
    return 1 if bad or stale else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every mutant, not the fixed sample")
    parser.add_argument("--file", action="append", default=[], help="only of this file; repeatable")
    parser.add_argument("--mutant", help="only this one, and what its tests print")
    parser.add_argument("--seed", type=int, default=0, help="another sample")
    parser.add_argument("--list", action="store_true", help="say which, and run nothing")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _chosen(asked: argparse.Namespace, mutants: list[Mutant]) -> list[Mutant]:
    if asked.mutant:
        return [mutant for mutant in mutants if mutant.name == asked.mutant]
    if asked.file:
        mutants = [mutant for mutant in mutants if mutant.file in asked.file]
    return mutants if asked.all else plan.fixed_sample(mutants, asked.seed)


def _limits(
    codes: dict[str, plan.Code], chosen: list[Mutant], processes: int
) -> dict[str, float] | None:
    """Seconds for the tests of each file, by a run without an error; None if one fails."""
    files = sorted({mutant.file for mutant in chosen})
    jobs = [running.Job(codes[file].tests, 600.0, file) for file in files]
    limits: dict[str, float] | None = {}
    for job, outcome in running.run_jobs(plan.ROOT, jobs, processes):
        print(f"{outcome.seconds:6.1f} s  {outcome.result}  {job.file}", flush=True)
        if outcome.result != running.PASSED:
            print(outcome.output)
            limits = None
        if limits is not None:
            limits[job.file] = max(PATIENCE * outcome.seconds, LEAST_SECONDS)
    return limits


def _run(
    asked: argparse.Namespace,
    codes: dict[str, plan.Code],
    chosen: list[Mutant],
    limits: dict[str, float],
    listed: list[plan.Equivalent],
) -> int:
    """Run the tests on all mutants; how many of the results are wrong."""
    jobs = {}
    for mutant in chosen:
        code, edit = codes[mutant.file], mutant.edit
        text = Source(code.text).replaced(edit.start, edit.end, edit.text)
        jobs[running.Job(code.tests, limits[code.path], code.path, text)] = mutant
    began, counts, bad = time.perf_counter(), Counter[str](), 0
    for job, outcome in running.run_jobs(plan.ROOT, list(jobs), asked.processes):
        mutant = jobs[job]
        reason = next((entry.reason for entry in listed if entry.is_of(mutant)), "")
        result = _result(outcome, reason)
        counts[result] += 1
        if result not in ("killed", "timeout", "equivalent") or asked.mutant:
            print(f"{result}: {_described(mutant)}", flush=True)
        bad += result in ("SURVIVED", "NO TESTS")
        if asked.mutant:
            print(outcome.output)
    print(f"{len(jobs)} mutants in {time.perf_counter() - began:.0f} s: {dict(counts)}")
    return bad


def _result(outcome: running.Outcome, reason: str) -> str:
    if outcome.result == running.PASSED:
        return "equivalent" if reason else "SURVIVED"
    if outcome.result == running.BROKEN:
        return "NO TESTS"
    if outcome.result == running.TIMEOUT:
        return "timeout"
    return "listed, yet killed" if reason else "killed"


def _described(mutant: Mutant) -> str:
    where = f"{mutant.file}:{mutant.line} {mutant.function}".strip()
    return (
        f"{where} ({mutant.kind}, --mutant {mutant.name})\n  - {mutant.before}\n  + {mutant.after}"
    )


if __name__ == "__main__":
    sys.exit(main())

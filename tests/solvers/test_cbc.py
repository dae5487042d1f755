"""CBC's own traps: rounded logs, and cuts that lose the optimum."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

import bnnopt
import solvers
from bnnopt import AttackInstance
from bnnopt.formulations.attack import attack_model
from solvers import SolveOptions, Termination, cbc_run
from solvers.cbc import Cbc
from tests.solvers.models import knapsack

LOG = """\
 ★       2      1            3       0.8007 b&b solution          -7945.5    0.074
     Nodes   OnTree  Depth         BestSol Method                 BestBound     Gap%   Time(s)
         0        1      0         -7945.5                         -7996.52    0.64%     0.210
 ★    2623      768     23         -7950.5 strong branching        -7996.52    0.58%     0.760
      3917      899     18         -7950.5                         -7996.52    0.58%     0.910
Result - Stopped on time limit
Objective value:                -7950.5
Lower bound:                    -7996.52
Enumerated nodes:               22483     (from fathoming 21550)
"""

CLASSIC_LOG = """\
Cbc0038I Solution found of -7900.5
Cbc0012I Integer solution of -7945.5 found by rounding after 12 iterations (0.05 seconds)
Cbc0016I Integer solution of -7950.5 found by branching after 20 iterations (0.1 seconds)
Lower bound:                    -7996.520
Enumerated nodes:               3
"""


ROOT = """\
✔ LP Optimal — Frac: 10/56 (17.9%)   Obj: -47.39   Iters: 7796   Time: 1.93s
"""

NO_SOLUTION_LOG = f"""\
{ROOT}
     Nodes   OnTree  Depth         BestSol Method                 BestBound     Gap%   Time(s)
  ──────── ──────── ────── ─────────────── ──────────────── ─────────────── ──────── ─────────
         0        1      0               —                           -36.95        —     0.050
    117117     9651     14               —                            -31.5        —      1.46
"""


def followed(log: str, options: SolveOptions | None = None, integer: bool = True) -> cbc_run.Run:
    """A run that has read a log."""
    run = cbc_run.Run(options or SolveOptions(), is_integer_program=integer)
    run._began = 0.0
    for line in log.splitlines(keepends=True):
        run._take(line)
    return run


@pytest.mark.parametrize(("log", "bound"), [(LOG, -7996.525), (CLASSIC_LOG, -7996.5205)])
def test_the_log_gives_trace_nodes_and_a_bound_safe_from_rounding(log: str, bound: float) -> None:
    run = followed(log)
    assert run.bound == pytest.approx(bound, abs=1e-9)
    assert [value for _, value in run.trace] == [-7945.5, -7950.5]
    assert run.nodes in (22483, 3)


def test_the_log_has_a_bound_before_there_is_a_solution() -> None:
    assert followed(ROOT).bound == pytest.approx(-47.395)
    run = followed(NO_SOLUTION_LOG)
    assert run.bound == pytest.approx(-31.55)
    assert run.root_bound == pytest.approx(-47.395)
    assert run.trace == []


# The first line of the solution file and the log's summary, as CBC 2.935 has written them.
ENDINGS = [
    ("Optimal", "Optimal solution found", {}, Termination.OPTIMAL),
    (
        "Optimal (within gap tolerance)",
        "Optimal solution found (within gap tolerance)",
        {},
        Termination.OPTIMAL,
    ),
    ("Optimal", "", {"integer": False}, Termination.OPTIMAL),
    ("Integer infeasible", "Problem proven infeasible", {}, Termination.INFEASIBLE),
    ("Infeasible", "", {}, Termination.INFEASIBLE),
    ("Status unknown", "", {"infeasible": True}, Termination.INFEASIBLE),
    ("Unbounded", "", {}, None),
    ("Stopped on time", "Stopped on time limit", {}, Termination.TIME_LIMIT),
    (
        "Stopped on time (LP relaxation not completed - no integer solution)",
        "",
        {},
        Termination.TIME_LIMIT,
    ),
    ("Stopped on iterations", "Stopped on node limit", {"node_limit": 5}, Termination.NODE_LIMIT),
    ("Stopped on iterations", "User ctrl-cuser ctrl-c", {"interrupted": True}, "interrupted"),
    (
        "Stopped on iterations (no integer solution - continuous used)",
        "User ctrl-cuser ctrl-c",
        {"overdue": True},
        Termination.TIME_LIMIT,
    ),
    # No fact is read from a run that was stopped, or whose two reports differ.
    ("Infeasible", "", {"overdue": True}, Termination.TIME_LIMIT),
    ("Integer infeasible", "Problem proven infeasible", {"stopped": True}, Termination.ERROR),
    ("Infeasible", "", {"interrupted": True, "stopped": True}, Termination.INTERRUPTED),
    ("Infeasible", "Stopped on time limit", {"overdue": True}, Termination.TIME_LIMIT),
    ("Infeasible", "Stopped on node limit", {"node_limit": 5}, Termination.NODE_LIMIT),
    ("Unbounded", "", {"overdue": True}, Termination.TIME_LIMIT),
    ("Optimal", "", {}, Termination.ERROR),
    ("Optimal", "Stopped on node limit", {"node_limit": 5}, Termination.NODE_LIMIT),
    ("Optimal", "User ctrl-c", {"interrupted": True}, Termination.INTERRUPTED),
    ("Stopped on iterations", "", {}, Termination.ERROR),
    ("Stopped on difficulties", "", {}, Termination.ERROR),
    ("Status unknown", "", {}, Termination.ERROR),
    ("no solution file", "", {"infeasible": True}, Termination.INFEASIBLE),
    ("no solution file", "", {}, Termination.ERROR),
    ("no solution file", "", {"overdue": True}, Termination.TIME_LIMIT),
]


@pytest.mark.parametrize(("header", "result", "state", "ending"), ENDINGS)
def test_only_a_run_that_was_not_stopped_proves_anything(
    header: str, result: str, state: dict[str, object], ending: Termination | None
) -> None:
    state = dict(state)
    interrupted = bool(state.pop("interrupted", False))
    limit = state.pop("node_limit", None)
    options = SolveOptions(node_limit=limit if isinstance(limit, int) else None)
    run = followed(f"Result - {result}\n", options, integer=bool(state.pop("integer", True)))
    for name, value in state.items():
        setattr(run, name, value)
    assert cbc_run.ending(header, run, interrupted) == ending


def test_within_a_node_limit_no_line_of_the_log_ends_the_run() -> None:
    # The lines come by the clock, and the run must not.
    wide = {"relative_gap": 0.5}
    assert followed_with_pipe(SolveOptions(**wide)).stopped
    assert not followed_with_pipe(SolveOptions(**wide, node_limit=10**6)).stopped


def followed_with_pipe(options: SolveOptions) -> cbc_run.Run:
    import io

    run = cbc_run.Run(options, is_integer_program=True)
    run.attach(io.StringIO(), io.StringIO(LOG), deadline=None)
    run.read()
    return run


class StandIn(Cbc):
    """CBC's place taken by a script that ends as CBC ends now and then."""

    script: ClassVar[Path]

    def binary(self) -> str:
        return str(self.script)


def ended_like(folder: Path, *commands: str) -> solvers.SolveResult:
    StandIn.script = folder / "cbc"
    StandIn.script.write_text("\n".join(["#!/bin/sh", *commands]))
    StandIn.script.chmod(0o755)
    return StandIn().solve(knapsack(items=3, rows=1, maximise=False))


def test_difficulties_are_explained_and_what_is_certain_is_kept(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(ROOT + "Lower bound:                    -3\n")
    header = "Stopped on difficulties - objective value 0.00000000"
    result = ended_like(tmp_path, f"cat {tmp_path}/log", f"echo '{header}' > solution.txt")
    assert result.termination is Termination.ERROR
    assert result.raw_status == "Stopped on difficulties"
    for words in ("numerical trouble", "Stopped on difficulties", "another solver", "Lower bound"):
        assert words in result.message
    assert result.objective == 0.0  # checked
    assert result.bound == pytest.approx(-47.395)  # the root's, from before the trouble


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        (["echo reading", "kill -9 $$"], ["signal 9", "memory"]),
        (["echo 'no licence'", "exit 3"], ["exit status 3", "no licence"]),
        (["echo 'Mystery - objective value 1' > solution.txt"], ["'Mystery'", "another solver"]),
    ],
)
def test_a_failure_of_cbc_says_what_happened(
    tmp_path: Path, commands: list[str], words: list[str]
) -> None:
    result = ended_like(tmp_path, *commands)
    assert result.termination is Termination.ERROR
    assert (result.values, result.bound) == (None, None)
    assert all(word in result.message for word in words), result.message
    assert "\n" not in result.message


@pytest.mark.skipif(not solvers.get("cbc").describe().available, reason="CBC is not installed")
def test_cbc_does_not_cut_off_the_optimum_that_its_cuts_would_lose() -> None:
    # With its default cuts this CBC calls -32 proved optimal, within seconds; the network
    # reaches -28. How far it comes within the limit depends on the machine: what it claims,
    # at the end or half-way, may not be below the optimum.
    network = bnnopt.zoo.load("fashion-mnist-2x100")
    image = bnnopt.datasets.embedded().x(1)
    best = bnnopt.attack(network, image, 0.003, method="bab")
    assert best.status == "optimal"
    model = attack_model(AttackInstance(network, image, 0.003), "paper")
    result = solvers.solve(model, "cbc", time_limit=20)
    assert result.bound is None or result.bound >= best.objective - 1e-4

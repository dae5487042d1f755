"""CBC's own traps: rounded logs, and cuts that lose the optimum."""

from __future__ import annotations

import pytest

import bnnopt
import solvers
from bnnopt import AttackInstance
from bnnopt.formulations.attack import attack_model
from solvers import cbc

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


@pytest.mark.parametrize(("log", "bound"), [(LOG, -7996.525), (CLASSIC_LOG, -7996.5205)])
def test_the_log_gives_trace_nodes_and_a_bound_safe_from_rounding(log: str, bound: float) -> None:
    run = cbc._Run(solvers.SolveOptions(), is_integer_program=True)
    run._began = 0.0
    for line in log.splitlines(keepends=True):
        run._take(line)
    assert run.bound == pytest.approx(bound, abs=1e-9)
    assert [value for _, value in run.trace] == [-7945.5, -7950.5]
    assert run.nodes in (22483, 3)


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

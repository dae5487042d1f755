"""Compile and load a large model into HiGHS, beside Pyomo's own HiGHS interface; and re-solves.

    python benchmarks/loading.py

prints seconds and ratios of (1) a 784-500-500 attack model of 0.65 million nonzeros, and (2) a
target subproblem solved again with new objectives, in place against built anew.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from pyomo.contrib.solver.solvers.highs import Highs as PyomoHighs
from tabulate import tabulate

import bnnopt
import solvers
from benchmarks.instances import REGISTRY, attack_instance
from benchmarks.record import FOLDER, write
from bnnopt.formulations.attack import attack_model

TITLE = (__doc__ or "").split("\n", 1)[0]
LARGE = ("fashion-mnist-2x500", 0, 0.01)
SMALL = "target/fashion-mnist-2x100/0"


def load_ours(model: Any) -> None:
    solvers.get("highs").session(solvers.compile_model(model)).close()


def load_pyomos(model: Any) -> None:
    # Its interface loads as part of a solve; a limit of zero leaves no solving to it.
    PyomoHighs().solve(
        model, time_limit=0.0, load_solutions=False, raise_exception_on_nonoptimal_result=False
    )


def loading(repeats: int) -> dict[str, Any]:
    """Medians over alternating runs, each on a model built anew."""
    seconds: dict[str, list[float]] = {"build": [], "ours": [], "pyomo": []}
    for turn in range(repeats):
        paths = [("ours", load_ours), ("pyomo", load_pyomos)]
        for name, load in paths[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            model = attack_model(attack_instance(*LARGE), "paper")
            seconds["build"].append(time.perf_counter() - began)
            began = time.perf_counter()
            load(model)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    return medians | {"ratio": medians["pyomo"] / medians["ours"]}


def resolving(solves: int) -> dict[str, Any]:
    """Milliseconds until the solver can start on a new objective; both solves must agree."""
    rng = np.random.default_rng(0)
    compiled = solvers.compile_model(REGISTRY[SMALL].build())
    in_place, anew = 0.0, 0.0
    with solvers.get("highs").session(compiled) as session:
        for _ in range(solves):
            # Targets come and go; the distance terms stay.
            asked = rng.integers(0, 2, compiled.num_columns)
            objective = np.where(np.abs(compiled.objective) == 1, 1, asked) * compiled.objective
            began = time.perf_counter()
            session.set_objective(objective)
            in_place += time.perf_counter() - began
            first = session.solve()
            began = time.perf_counter()
            fresh = solvers.get("highs").session(REGISTRY[SMALL].build())
            fresh.set_objective(objective)
            anew += time.perf_counter() - began
            second = fresh.solve()
            fresh.close()
            assert first.objective == second.objective
    return {
        "in place (ms)": 1e3 * in_place / solves,
        "anew (ms)": 1e3 * anew / solves,
        "ratio": anew / in_place,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--solves", type=int, default=20)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    bnnopt.zoo.load(LARGE[0])
    results = {"loading": loading(arguments.repeats), "resolving": resolving(arguments.solves)}
    rows = [
        {"": title, "measured": name, "value": round(value, 4)}
        for title, row in results.items()
        for name, value in row.items()
    ]
    print(tabulate(rows, headers="keys"))
    write(arguments.out / "loading.json", TITLE, arguments, rows)


if __name__ == "__main__":
    main()

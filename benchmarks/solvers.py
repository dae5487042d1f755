"""Compare every installed solver on the same models, in one run and in alternating order.

    python benchmarks/solvers.py --time-limit 60 --out benchmarks/results

prints a table and writes solvers.json, a performance profile and a cactus plot.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

# As a script, this file would be found in place of the package that it measures.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from matplotlib.figure import Figure
from tabulate import tabulate
from tqdm import tqdm

import solvers
from benchmarks.instances import REGISTRY
from benchmarks.record import FOLDER, write

TITLE = (__doc__ or "").split("\n", 1)[0]
SHIFT_SECONDS = 1.0
DISAGREEMENT = 1e-3


def run(names: list[str], time_limit: float, seed: int) -> list[dict[str, Any]]:
    """One record a model and solver; the solver that goes first changes with the model."""
    records: list[dict[str, Any]] = []
    bar = tqdm(total=len(REGISTRY) * len(names), file=sys.stderr)
    for number, instance in enumerate(REGISTRY.values()):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            bar.set_postfix_str(f"{instance.name} {name}")
            compiled = solvers.compile_model(instance.build())
            options = solvers.SolveOptions(time_limit=time_limit, seed=seed)
            try:
                result = solvers.get(name).solve(compiled, options)
            except solvers.ModelTooLargeError as error:
                records.append({"instance": instance.name, "solver": name, "error": str(error)})
            else:
                records.append(_record(instance.name, instance.family, name, result))
            bar.update()
    bar.close()
    return records


def _record(instance: str, family: str, solver: str, result: solvers.SolveResult) -> dict[str, Any]:
    return {
        "instance": instance,
        "family": family,
        "solver": solver,
        "termination": result.termination.value,
        "objective": result.objective,
        "bound": result.bound,
        "gap": result.gap,
        "seconds": round(result.wall_time, 4),
        "nodes": result.nodes,
    }


def disagreements(records: list[dict[str, Any]]) -> list[str]:
    """Models on which two solvers both claim a proof and differ (all models are maximised)."""
    found = []
    for name in REGISTRY:
        proved = {
            r["solver"]: r["objective"]
            for r in records
            if r["instance"] == name and r.get("termination") == "optimal"
        }
        if proved and max(proved.values()) - min(proved.values()) > DISAGREEMENT:
            found.append(f"{name}: {proved}")
    return found


def summary(
    records: list[dict[str, Any]], names: list[str], time_limit: float
) -> list[dict[str, Any]]:
    """A row a family and solver."""
    rows = []
    for family in sorted({r["family"] for r in records if "family" in r}):
        for name in names:
            mine = [r for r in records if r["solver"] == name and r.get("family") == family]
            if not mine:
                continue
            solved = [r["termination"] == "optimal" for r in mine]
            seconds = np.array([min(r["seconds"], time_limit) for r in mine])
            penalised = np.where(solved, seconds, 2 * time_limit)
            gaps = [np.inf if r["gap"] is None else r["gap"] for r in mine]
            rows.append(
                {
                    "family": family,
                    "solver": name,
                    "solved": f"{sum(solved)}/{len(mine)}",
                    "shifted geometric mean (s)": round(
                        float(np.exp(np.log(seconds + SHIFT_SECONDS).mean()) - SHIFT_SECONDS), 3
                    ),
                    "PAR-2 (s)": round(float(penalised.mean()), 3),
                    "median gap": round(float(np.median(gaps)), 4),
                }
            )
    return rows


def draw(records: list[dict[str, Any]], names: list[str], out: Path) -> None:
    """A performance profile and a cactus plot of the solved models."""
    times = {
        name: {
            r["instance"]: max(r["seconds"], 1e-3)
            for r in records
            if r["solver"] == name and r.get("termination") == "optimal"
        }
        for name in names
    }
    best = {
        model: min(t[model] for t in times.values() if model in t)
        for model in {model for t in times.values() for model in t}
    }
    profile, cactus = Figure(figsize=(5, 3.5)), Figure(figsize=(5, 3.5))
    left, right = profile.subplots(), cactus.subplots()
    for name in names:
        ratios = sorted(times[name][model] / best[model] for model in times[name])
        left.step(
            [1, *ratios], np.arange(len(ratios) + 1) / len(REGISTRY), where="post", label=name
        )
        right.plot(
            np.arange(1, len(times[name]) + 1), sorted(times[name].values()), "o-", label=name
        )
    left.set(xscale="log", xlabel="time over the fastest solver's", ylabel="share of models solved")
    right.set(yscale="log", xlabel="models solved", ylabel="seconds each")
    for axes, figure, stem in ((left, profile, "profile"), (right, cactus, "cactus")):
        axes.legend()
        axes.grid(alpha=0.3)
        for ending in ("png", "pdf"):
            figure.savefig(out / f"solvers-{stem}.{ending}", bbox_inches="tight", dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    infos = [info for info in solvers.available() if info.available]
    names = [info.name for info in infos]
    records = run(names, arguments.time_limit, arguments.seed)
    rows = summary(records, names, arguments.time_limit)
    print(tabulate(rows, headers="keys"))
    differing = disagreements(records)
    print("\n".join(["", f"{len(differing)} models on which proofs disagree", *differing]))
    write(arguments.out / "solvers.json", TITLE, arguments, rows, records)
    draw(records, names, arguments.out)


if __name__ == "__main__":
    main()

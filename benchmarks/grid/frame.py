"""The grid's lines as tables, with the columns that `bnnopt.report` draws from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from benchmarks.grid.plan import ATTACK, STAGES, Planned
from bnnopt.result import Status

__all__ = ["CLUSTER", "INSTANCE", "attacks", "common", "models", "truth"]

INSTANCE = ["dataset", "network", "epsilon", "image"]
"""What two attacks must share to be compared."""

CLUSTER = ["dataset", "image"]
"""What the bootstrap draws: an image, with all that was measured on it."""

PROVED = (Status.OPTIMAL.value, Status.INFEASIBLE.value)


def attacks(planned: Iterable[Planned], known: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row an attack that has a result, of those that are planned; others are an older plan's.

    Parameters
    ----------
    planned : iterable of Planned
        Of any stages.
    known : mapping
        Lines by key.

    Returns
    -------
    DataFrame
        Columns of `bnnopt.report.results.finished`, as far as its figures take them, and ``stage``,
        ``limit`` and ``solver``. ``series`` is the attack's name, with the solver where it runs on
        several; ``gap`` is how far ``normalized`` is below the best known.
    """
    cells = [cell for cell in planned if STAGES[cell.stage] == ATTACK]
    several = _on_several_solvers(cells)
    rows = [
        _shared(cell, line, cell.attack in several) | _attack(line)
        for cell, line in _with_results(cells, known)
    ]
    frame = pd.DataFrame(rows)
    if rows:
        best = frame.groupby(INSTANCE)["objective"].transform("max")
        frame["gap"] = (best - frame["objective"]) / frame["scale"]
    return frame


def models(planned: Iterable[Planned], known: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row a model and solver, refused ones too: ``proved`` is 0 for these, ``refused`` 1.

    ``series`` is the solver, ``attack`` the model.
    """
    rows = []
    for cell in planned:
        line = known.get(cell.key)
        if line is None or STAGES[cell.stage] == ATTACK:
            continue
        values = {name: line.get(name) for name in ("objective", "bound", "real", "nodes", "error")}
        shared = _shared(cell, line, is_on_several=False) | {"series": cell.cell.solver}
        refused = "status" not in line
        seconds = cell.cell.time_limit if refused else line["seconds"]
        rows.append(shared | values | {"refused": int(refused), "wall_time": seconds})
    return pd.DataFrame(rows)


def truth(frame: pd.DataFrame) -> pd.DataFrame:
    """A row an instance of `attacks`: what is known of it by all of them together.

    Returns
    -------
    DataFrame
        Columns of `INSTANCE`; ``best``, the largest margin that was replayed; ``bound``, the
        smallest that was proved; ``proved``, whether they meet; ``flipped``; ``certified``, whether
        no image in the box has a margin above 0; ``contradiction``, a bound below a replayed point.
    """
    replayed = frame["objective"].where(frame["verified"] > 0)
    proofs = frame["bound"].where(frame["bound"].notna(), float("inf"))
    groups = frame.assign(best=replayed, proof=proofs).groupby(INSTANCE, sort=False)
    table = groups.agg(
        best=("best", "max"),
        bound=("proof", "min"),
        proved=("proved", "max"),
        flipped=("flipped", "max"),
        scale=("scale", "first"),
    ).reset_index()
    table["certified"] = (table["bound"] <= 0).astype(int)
    table["contradiction"] = table["bound"] < table["best"]
    return table


def common(frame: pd.DataFrame, series: Iterable[str]) -> pd.DataFrame:
    """Rows of some series, on the instances that all of them have."""
    wanted = list(series)
    rows = frame[frame["series"].isin(wanted)]
    counts = rows.groupby(INSTANCE)["series"].transform("nunique")
    return rows[counts == len(wanted)]


def _with_results(
    cells: Iterable[Planned], known: Mapping[str, Mapping[str, Any]]
) -> Iterable[tuple[Planned, Mapping[str, Any]]]:
    """A failed attack may have found something before; it says nothing of the method."""
    for cell in cells:
        line = known.get(cell.key, {})
        if "status" in line and "error" not in line:
            yield cell, line


def _on_several_solvers(cells: Iterable[Planned]) -> set[str]:
    solvers: dict[str, set[str | None]] = {}
    for cell in cells:
        solvers.setdefault(cell.attack, set()).add(cell.cell.solver)
    return {attack for attack, found in solvers.items() if len(found) > 1}


def _shared(cell: Planned, line: Mapping[str, Any], is_on_several: bool) -> dict[str, Any]:
    """What attacks and models have alike."""
    network = cell.network
    solver = cell.cell.solver
    return {
        "stage": cell.stage,
        "attack": cell.attack,
        "solver": solver,
        "series": f"{cell.attack} ({solver})" if is_on_several else cell.attack,
        "network": network.name,
        "dataset": cell.cell.dataset,
        "depth": network.depth,
        "width": max(network.widths),
        "architecture": f"{network.depth}x{max(network.widths)}",
        "epsilon": cell.cell.epsilon,
        "image": cell.cell.image,
        "seed": cell.cell.seed,
        "limit": cell.cell.time_limit,
        "proved": int(line.get("status") in PROVED),
    }


def _attack(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "flipped": line["flipped"],
        "verified": line["verified"],
        "objective": float(line["objective"]),
        "bound": None if line.get("bound") is None else float(line["bound"]),
        "normalized": line["objective"] / line["scale"],
        "start_objective": line["start"],
        "scale": line["scale"],
        "wall_time": line["seconds"],
        "trace": json.dumps(line["trace"]),
    }

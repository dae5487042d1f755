"""Lines that nothing was measured for: tests only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from benchmarks.grid.claim import Lines
from bnnopt.result import Status

Row = dict[str, Any]


def attack(
    series: str,
    objective: float,
    image: int = 0,
    network: str = "mnist-2x100",
    epsilon: float = 0.01,
    **others: Any,
) -> Row:
    """A row of `benchmarks.grid.frame.attacks`; a margin of 100 is the largest."""
    dataset, _, architecture = network.rpartition("-")
    depth, width = map(int, architecture.split("x"))
    row: Row = {
        "stage": "made",
        "attack": series,
        "solver": None,
        "series": series,
        "network": network,
        "dataset": dataset,
        "depth": depth,
        "width": width,
        "architecture": architecture,
        "epsilon": epsilon,
        "image": image,
        "seed": 0,
        "limit": 30.0,
        "proved": 0,
        "flipped": int(objective > 0),
        "verified": 1,
        "objective": float(objective),
        "bound": None,
        "normalized": objective / 100.0,
        "start_objective": -100.0,
        "scale": 100.0,
        "wall_time": 5.0,
        "trace": f"[[1.0, {float(objective)}]]",
    }
    return row | others


def proof(objective: float, **others: Any) -> Row:
    """An optimum of branch and bound."""
    return attack("branch and bound", objective, **others) | {"proved": 1, "bound": objective}


def model(solver: str, objective: float, real: float | None, **others: Any) -> Row:
    """A row of `benchmarks.grid.frame.models`: the paper's model, solved to its optimum."""
    values = {"real": real, "refused": 0, "error": None, "nodes": 1, "attack": "paper"}
    row = attack(solver, objective) | values | {"proved": 1, "bound": objective}
    return row | others


def made(attacks: Iterable[Row] = (), models: Iterable[Row] = ()) -> Lines:
    """All of them."""
    return Lines(pd.DataFrame(list(attacks)), pd.DataFrame(list(models)))


def line(status: Status = Status.FEASIBLE, **others: Any) -> Row:
    """A line of an attack's cell, as a stage's file has it; key and names are the caller's."""
    base: Row = {
        "status": status.value,
        "objective": -4,
        "start": -20,
        "scale": 100,
        "flipped": 0,
        "verified": 1,
        "seconds": 2.0,
        "trace": [[0.5, -4]],
    }
    return base | others

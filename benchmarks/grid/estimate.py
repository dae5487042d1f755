"""How many cells are left, and how many hours they take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from benchmarks.grid.plan import Planned

__all__ = ["estimate"]

OVERHEAD_SECONDS = 0.05
"""Of a cell, beyond its attack."""


def estimate(
    planned: Iterable[Planned], known: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A row a stage: cells, those left, and core-hours of these.

    A cell that is left counts as much as the mean of its attack's that are there, on its solver and
    network where there are such; else as much as its time limit, which is then the most.

    Parameters
    ----------
    planned : iterable of Planned
        Of every stage wanted.
    known : mapping
        Lines by key, as `benchmarks.grid.lines.read` gives them.
    """
    cells = list(planned)
    seconds = _measured(cells, known)
    rows: dict[str, dict[str, Any]] = {}
    for cell in cells:
        start = {"stage": cell.stage, "cells": 0, "left": 0, "core-hours left": 0.0, "guessed": 0}
        row = rows.setdefault(cell.stage, start)
        row["cells"] += 1
        if cell.key in known:
            continue
        found = next((seconds[kind] for kind in _kinds(cell) if kind in seconds), None)
        row["left"] += 1
        row["guessed"] += found is None
        each = cell.cell.time_limit if found is None else float(np.mean(found))
        row["core-hours left"] += (each + OVERHEAD_SECONDS) / 3600
    return list(rows.values())


def _measured(
    cells: list[Planned], known: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[Any, ...], list[float]]:
    seconds: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for cell in cells:
        line = known.get(cell.key, {})
        if "seconds" in line:
            for kind in _kinds(cell):
                seconds[kind].append(line["seconds"])
    return seconds


def _kinds(cell: Planned) -> list[tuple[Any, ...]]:
    """What the time of a cell is guessed from, the likest first."""
    whole = (cell.stage, cell.attack, cell.cell.solver)
    return [(*whole, cell.cell.network, cell.cell.epsilon), (*whole, cell.cell.network), whole]

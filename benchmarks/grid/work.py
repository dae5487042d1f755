"""What a worker does with a cell, and the line that is kept of it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.grid.models import solve
from benchmarks.grid.plan import ATTACK, STAGES, Planned
from bnnopt import AttackInstance
from bnnopt.campaign.frame import largest_margin
from bnnopt.campaign.task import Outcome, Task, decode_network, run_task
from bnnopt.datasets.indexed import Images
from solvers import SolverError

__all__ = ["ModelTask", "line_of", "task_of", "work"]

TRACE_RATIO = 1.5
"""Of incumbents within such a factor of time, a line keeps the last."""

RECORD = ("status", "objective", "bound", "label", "source", "target", "iterations")
SOLVED = ("status", "objective", "bound", "real", "nodes", "size")


@dataclass(frozen=True, eq=False)
class ModelTask(Task):
    """A task to solve a model of the cell's attack once.

    Parameters
    ----------
    model : str
        Of `benchmarks.grid.models.MODELS`.
    """

    model: str


def task_of(planned: Planned, images: Images) -> Task:
    """What a worker gets of a cell; the network and the image lie in it."""
    cell = planned.cell
    x, label = images.x(cell.image), images.label(cell.image)
    assert label is not None, "data sets have labels"
    content = planned.network.to_bytes()
    if STAGES[planned.stage] == ATTACK:
        return Task(planned.key, cell, content, x, label)
    return ModelTask(planned.key, cell, content, x, label, planned.attack)


def work(task: Task) -> Outcome:
    """Run a campaign's cell as a campaign does, or solve a model."""
    if not isinstance(task, ModelTask):
        return run_task(task)
    began, cell, record, error = time.perf_counter(), task.cell, None, ""
    instance = AttackInstance(
        decode_network(task.network), task.x, cell.epsilon, cell.target, ties="never"
    )
    try:
        record = solve(task.model, instance, str(cell.solver), cell.time_limit, cell.seed)
        error = record["message"]
    except SolverError as failure:  # such as a model that a licence does not take
        error = str(failure)
    worker = f"{os.getpid()}"
    return Outcome(record, b"", time.perf_counter() - began, worker, 0, " ".join(error.split()))


def line_of(planned: Planned, outcome: Outcome | None, lost: str, machine: str) -> dict[str, Any]:
    """The line of a cell that ended.

    Parameters
    ----------
    planned : Planned
    outcome : Outcome or None
        None if its worker was lost.
    lost : str
        How it was lost.
    machine : str
        What `benchmarks.grid.lines.enter` calls the conditions.

    Returns
    -------
    dict
        Which cell it is; what came of it, or ``error``; margins, seconds rounded to milliseconds,
        and ``scale``, the largest margin that any activations have; ``load``, of the machine over
        the last minute.
    """
    cell = planned.cell
    line: dict[str, Any] = {
        "key": planned.key,
        "network": planned.network.name,
        "epsilon": cell.epsilon,
        "image": cell.image,
        "attack": planned.attack,
        "solver": cell.solver,
    }
    record = outcome.record if outcome else None
    if record and STAGES[planned.stage] == ATTACK:
        line |= {name: record[name] for name in RECORD}
        line |= {
            "start": record["start_objective"],
            "scale": largest_margin(planned.network, record["target"], record["source"]),
            "flipped": int(record["flipped"]),
            "verified": int(record["verified"]),
            "seconds": round(record["wall_time"], 3),
            "trace": short_trace(record["trace"]),
            "ran": record["ran"] if record["ran"] != cell.method else None,
        }
    elif record:
        line |= {name: record.get(name) for name in SOLVED}
        line["seconds"] = round(record["seconds"], 3)
    error = outcome.error if outcome else lost
    line |= {"error": error or None, "load": round(os.getloadavg()[0], 1), "machine": machine}
    return {name: _plain(value) for name, value in line.items() if value is not None}


def short_trace(trace: Sequence[Sequence[float]]) -> list[list[float]]:
    """Fewer incumbents, the last among them: those that stay for a third of their time.

    Returns
    -------
    list of [seconds, objective]
        The curve of the best so far is never above the true one.
    """
    kept: list[list[float]] = []
    for number, (seconds, value) in enumerate(trace):
        after = trace[number + 1][0] if number + 1 < len(trace) else float("inf")
        if after > TRACE_RATIO * seconds:
            kept.append([round(seconds, 3), _plain(value)])
    return kept


def _plain(value: Any) -> Any:
    """Whole numbers without a point."""
    return int(value) if isinstance(value, float) and value.is_integer() else value

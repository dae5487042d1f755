"""Tables of results, for terminals and notebooks: one row an image, and a line that counts."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from bnnopt.counts import counted
from bnnopt.goal import Goal
from bnnopt.result import AttackResult, Status
from bnnopt.rounded import at_least, at_most

__all__ = [
    "attack_counts",
    "attack_row",
    "goal_columns",
    "html_table",
    "percent",
    "text_table",
]

ENDS = {
    Status.INFEASIBLE: "proved impossible",
    Status.UNKNOWN: "unknown",
    Status.ERROR: "failed",
}
"""How the last line of a table calls them."""


def percent(part: int, whole: int) -> str:
    """A share, rounded down, so that it is safe to quote."""
    if not whole:
        return "none"
    digits = 1 if whole < 1000 else 2
    steps = part * 100 * 10**digits // whole
    return f"{steps / 10**digits:.{digits}f} %"


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Columns by the rows' keys, numbers as they are given."""
    return tabulate(rows, headers="keys", disable_numparse=True, stralign="right")


def html_table(rows: Sequence[Mapping[str, Any]], caption: str) -> str:
    """The same for a notebook; every text is escaped."""
    keys = list(rows[0]) if rows else []
    head = "".join(f"<th>{html.escape(str(key))}</th>" for key in keys)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(row[key]))}</td>" for key in keys) + "</tr>"
        for row in rows
    )
    return (
        f"<table><caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def attack_row(result: AttackResult) -> dict[str, Any]:
    """One row of a table of attacks."""
    return {
        "image": "" if result.image is None else result.image,
        "label": "" if result.label is None else result.label,
        "source": result.source,
        "target": result.target,
        "start": at_least(result.start_objective),
        "objective": at_least(result.objective),
        "bound": at_most(result.bound),
        "status": result.status.value,
        "flipped": "yes" if result.flipped else "",
        **goal_columns(result),
        "seconds": f"{result.wall_time:.1f}",
    }


def goal_columns(result: AttackResult) -> dict[str, str]:
    """The value of each stage of the goal and its bound, and what the perturbation's size is."""
    if result.goal in ("margin", "flip"):
        return {}
    columns: dict[str, str] = {}
    stages = Goal.parse(result.goal).stages
    texts = result.goal.split(",")
    for text, stage, value, bound in zip(
        texts, stages, result.goal_values, result.goal_bounds, strict=True
    ):
        shown, limit = (at_least, at_most) if stage.is_maximised else (at_most, at_least)
        columns[text] = shown(value)
        columns[f"{text} at most" if stage.is_maximised else f"{text} at least"] = limit(bound)
    is_point = None not in result.goal_values
    sizes = {name: at_most(value) if is_point else "" for name, value in result.distances.items()}
    return columns | {name: size for name, size in sizes.items() if name not in texts}


def attack_counts(results: Iterable[AttackResult]) -> str:
    """How many flipped, how many are proved, how the others ended."""
    results = list(results)
    ends = Counter(result.status for result in results)
    flipped = sum(result.flipped for result in results)
    verified = sum(result.verified for result in results)
    return (
        f"{counted(len(results), 'attack')}: {flipped} flipped, "
        f"{ends[Status.OPTIMAL]} proved optimal, "
        + "".join(f"{ends[status]} {text}, " for status, text in ENDS.items() if ends[status])
        + f"{verified} replayed exactly"
    )

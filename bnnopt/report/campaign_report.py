"""A campaign's report: the figures as PDF and PNG, and one HTML page that needs nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from bnnopt.campaign.status import campaign_status
from bnnopt.campaign.store import Store
from bnnopt.errors import MissingDependencyError
from bnnopt.files import write_atomically

__all__ = ["write_report"]

STYLE = "bnnopt.mplstyle"
PAGE = "index.html"

SUMMARY = ["dataset", "network", "epsilon", "series"]
CELLS = {
    "network": "network",
    "image": "image",
    "epsilon": "epsilon",
    "series": "attack",
    "label": "label",
    "source": "source",
    "target": "target",
    "status": "status",
    "start_objective": "start",
    "objective": "objective",
    "bound": "bound",
    "flipped": "flipped",
    "wall_time": "seconds",
    "attempts": "attempts",
}
"""Columns of the table of all attacks, and their headings."""

GOAL = {"goal": "goal", "goal_value": "goal's value", "goal_bound": "goal's bound"}
"""Likewise, where a goal is another one than the margin or a flip."""


def write_report(store: Store, folder: Path) -> Path:
    """Write the figures and the page of a store's finished cells.

    Parameters
    ----------
    store : Store
        What to report of.
    folder : path
        Made if missing.

    Returns
    -------
    path
        Of the page.

    Raises
    ------
    InputError
        If no cell is done.
    MissingDependencyError
        If matplotlib, pandas or jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from matplotlib import style

        from bnnopt.report.figures import drawings
        from bnnopt.report.gallery import exhibits
        from bnnopt.report.results import finished
    except ImportError as error:
        raise MissingDependencyError(error.name or "matplotlib", "a report", "report") from None
    frame = finished(store)
    folder.mkdir(parents=True, exist_ok=True)
    files = resources.files("bnnopt.report")
    with resources.as_file(files / STYLE) as look, style.context(look):
        figures = [_draw(drawing, folder) for drawing in drawings(store, frame)]
        gallery = exhibits(store, frame)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string((files / "page" / "campaign.html").read_text("utf-8"))
    page = template.render(
        style=(files / "page" / "campaign.css").read_text("utf-8"),
        script=(files / "page" / "campaign.js").read_text("utf-8"),
        status=campaign_status(store),
        figures=figures,
        gallery=gallery,
        tables=[_table("Summary", _summary(frame)), _table("All attacks", _cells(frame))],
        provenance=_provenance(store),
        specs=[(_date(added), text) for text, added in store.specs()],
        failures=[(key[:12], message, _date(at)) for key, message, at in store.failures()],
    )
    path = folder / PAGE
    write_atomically(path, page.encode())
    return path


def _draw(drawing: Any, folder: Path) -> dict[str, str]:
    """Write a figure's files; what the page says of it."""
    from bnnopt.report.gallery import data_uri
    from bnnopt.report.saving import save

    said = {"title": drawing.title, "caption": drawing.caption, "missing": drawing.missing}
    if drawing.draw is None:
        return said | {"image": "", "name": drawing.name}
    figure = drawing.draw()
    save(figure, folder / f"{drawing.name}.pdf")
    png = save(figure, folder / f"{drawing.name}.png")
    return said | {"image": data_uri(png), "name": drawing.name}


def _summary(frame: Any) -> Any:
    """A row a network, epsilon and attack."""
    grouped = frame.groupby(SUMMARY, sort=False)
    summary = grouped.agg(
        cells=("key", "size"),
        flipped=("flipped", "mean"),
        proved=("proved", "mean"),
        objective=("objective", "mean"),
        normalized=("normalized", "mean"),
        gap=("gap", "mean"),
        median_seconds=("wall_time", "median"),
    ).reset_index()
    return summary.rename(
        columns={
            "series": "attack",
            "flipped": "share flipped",
            "proved": "share proved",
            "objective": "mean objective",
            "normalized": "mean normalized",
            "gap": "mean gap to best",
            "median_seconds": "median seconds",
        }
    )


def _cells(frame: Any) -> Any:
    shown = CELLS | ({} if set(frame["goal"]) <= {"margin", "flip"} else GOAL)
    cells = frame[list(shown)].rename(columns=shown)
    cells["flipped"] = frame["flipped"].map({1.0: "yes", 0.0: "no"})
    return cells


def _table(title: str, frame: Any) -> dict[str, Any]:
    """A table as the page's script takes it: columns and rows of JSON values."""
    rows = json.loads(frame.round(4).to_json(orient="values"))
    return {"title": title, "data": {"columns": list(frame.columns), "rows": rows}}


def _provenance(store: Store) -> list[tuple[str, str]]:
    """What the results were made with: versions, machines, seeds, limits."""
    versions: dict[str, set[str]] = {}
    seeds: set[int] = set()
    limits: set[float] = set()
    workers: set[str] = set()
    for row in store.rows():
        if row.record is None:
            continue
        record = json.loads(row.record)
        for package, version in record["versions"].items():
            versions.setdefault(package, set()).add(version)
        seeds.add(record["seed"])
        limits.add(record["time_limit"])
        workers.add((row.worker or "").partition(":")[0])
    runners = [
        f"{_date(runner['started'])}: "
        + ", ".join(f"{key} {value}" for key, value in runner["machine"].items())
        for runner in store.runners()
    ]
    return [
        *((package, _listed(found)) for package, found in sorted(versions.items())),
        ("seeds", _listed(seeds)),
        ("time limits (s)", _listed(limits)),
        ("workers' hosts", _listed(workers)),
        *((f"run {number}", runner) for number, runner in enumerate(runners, 1)),
        ("report written", _date(time.time())),
    ]


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(
        f"{value:g}" if isinstance(value, float) else str(value) for value in sorted(values)
    )


def _date(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when))

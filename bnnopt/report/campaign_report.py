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
from bnnopt.counts import counted
from bnnopt.errors import MissingDependencyError
from bnnopt.files import write_atomically

__all__ = ["write_report"]

STYLE, PHONE = "bnnopt.mplstyle", "phone.mplstyle"
PAGE = "index.html"

BROAD_INCHES = 6.5
"""Wider figures get the whole width of the page."""


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
        from bnnopt.report.headline import heading, sentence, title
        from bnnopt.report.page_tables import KEY_LENGTH
        from bnnopt.report.results import done, tried
        from bnnopt.report.verdicts import image_verdicts, verdicts
    except ImportError as error:
        raise MissingDependencyError(error.name or "matplotlib", "a report", "report") from None
    attempts = tried(store)
    frame = done(attempts, store)
    decided = verdicts(image_verdicts(attempts))
    folder.mkdir(parents=True, exist_ok=True)
    files = resources.files("bnnopt.report")
    with (
        resources.as_file(files / STYLE) as look,
        resources.as_file(files / PHONE) as phone,
        style.context(look),
    ):
        chosen = drawings(store, attempts)
        figures = [_draw(drawing, folder, phone) for drawing in chosen if drawing.draw]
        gallery = exhibits(store, frame)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["counted"] = counted
    template = environment.from_string((files / "page" / "campaign.html").read_text("utf-8"))
    page = template.render(
        style=(files / "page" / "campaign.css").read_text("utf-8"),
        script=(files / "page" / "campaign.js").read_text("utf-8"),
        title=title(frame),
        heading=heading(frame),
        sentence=sentence(frame, decided),
        status=campaign_status(store),
        figures=figures,
        missing=[drawing for drawing in chosen if drawing.draw is None],
        gallery=gallery,
        tables=_tables(frame, decided),
        provenance=_provenance(store),
        specs=[(_date(added), text) for text, added in store.specs()],
        failures=[(key[:KEY_LENGTH], message, _date(at)) for key, message, at in store.failures()],
    )
    path = folder / PAGE
    write_atomically(path, page.encode())
    return path


def _draw(drawing: Any, folder: Path, phone: Path) -> dict[str, Any]:
    """Write a figure's files for print; what the page shows and says of it."""
    from matplotlib import style

    from bnnopt.report.gallery import data_uri
    from bnnopt.report.saving import save
    from bnnopt.report.theme import themed_svg

    figure = drawing.draw()
    for ending in ("pdf", "png"):
        save(figure, folder / f"{drawing.name}.{ending}")
    with style.context(phone):
        narrow = drawing.draw()
    return {
        "name": drawing.name,
        "title": drawing.title,
        "caption": drawing.caption,
        "wide": data_uri(themed_svg(figure), "svg+xml"),
        "narrow": data_uri(themed_svg(narrow), "svg+xml"),
        "is_broad": figure.get_figwidth() > BROAD_INCHES,
    }


def _tables(frame: Any, decided: Any) -> list[Any]:
    """Verdicts and a summary of the other attacks, where there are such, and all attacks."""
    from bnnopt.report.page_tables import cells_table, page_table, summary_table, verdict_table

    tables = []
    if not decided.empty:
        tables.append(page_table("Certified accuracy", "verdicts", verdict_table(decided), 4))
    if not frame["decides"].all():
        tables.append(page_table("Summary", "summary", summary_table(frame), 4))
    return [*tables, page_table("All attacks", "attacks", cells_table(frame), 6)]


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

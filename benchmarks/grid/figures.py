"""Figures 2 to 6 of the grid, the truth beside them, and solvers; drawn as a campaign's are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from benchmarks.grid.claim import Lines
from benchmarks.grid.frame import INSTANCE, common
from benchmarks.grid.paper_claims import CONSTANT, FGSM, FROM_FGSM, IFGSM, IPROP, MILPS, PGD
from benchmarks.grid.truth_claims import BAB
from bnnopt.report.campaign_report import STYLE
from bnnopt.report.lines import over_time
from bnnopt.report.panels import Look, bars, boxes, looks
from bnnopt.report.proofs import cactus, profile
from bnnopt.report.saving import save

__all__ = ["draw", "figures"]

OURS = (BAB, "pattern search", "IProp, aware", "auto")
EVERYWHERE = (FGSM, IFGSM, PGD, IPROP, *OURS)
"""Methods on all networks and epsilons."""

TRUTH = "proved optimum"

ORDER = (FGSM, IFGSM, PGD, IPROP, *CONSTANT, FROM_FGSM, *MILPS.values(), *OURS, TRUTH)

Drawing = tuple[str, Callable[[], Figure]]


def draw(lines: Lines, folder: Path) -> list[Path]:
    """Write every figure that the lines have something for, as PNG; return their paths."""
    written = []
    files = resources.files("bnnopt.report")
    with resources.as_file(files / STYLE) as look, style.context(look):
        for name, drawing in figures(lines):
            path = folder / f"grid-{name}.png"
            save(drawing(), path)
            written.append(path)
    return written


def figures(lines: Lines) -> Iterator[Drawing]:
    """Names and what draws them. In a figure, each method has the same images of a setting."""
    frame = lines.attacks
    if len(frame):
        yield from _compared(frame)
        yield from _against_the_truth(lines)
    if len(lines.models) and lines.models["proved"].any():
        yield "solvers", lambda: profile(lines.models, _looks(lines.models))


def _compared(frame: pd.DataFrame) -> Iterator[Drawing]:
    """The paper's figures, on what all of their methods have attacked."""
    flips, objective = "share flipped", "normalized objective"
    for name, series, value, kind in (
        ("figure-2", EVERYWHERE, flips, _flips),
        ("figure-2-milp", (*EVERYWHERE, *MILPS.values()), flips, _flips),
        ("figure-3", (IFGSM, PGD, IPROP, BAB), objective, _boxes),
        ("figure-4", EVERYWHERE, objective, _time),
        ("figure-5", (IPROP, *CONSTANT), flips, _flips),
        ("figure-6", (IPROP, FROM_FGSM, IFGSM), flips, _flips),
    ):
        rows = common(frame, series)
        if len(rows):
            yield name, lambda rows=rows, value=value, kind=kind: kind(rows, value)  # type: ignore[misc]


def _against_the_truth(lines: Lines) -> Iterator[Drawing]:
    """Each method's objective beside the optimum, where that is proved; and proofs over time."""
    known = lines.known[lines.known["proved"] > 0]
    rows = common(lines.attacks, (FGSM, IFGSM, PGD, IPROP))
    rows = rows.merge(known[[*INSTANCE, "best"]], on=INSTANCE)
    if len(rows):
        optimum = rows[rows["series"] == IPROP].assign(series=TRUTH)
        optimum["normalized"] = optimum["best"] / optimum["scale"]
        beside = pd.concat([rows, optimum], ignore_index=True)
        yield "truth", lambda: _boxes(beside, "normalized objective")
        gaps = rows.assign(gap=(rows["best"] - rows["objective"]) / rows["scale"])
        yield "gap", lambda: bars(gaps, "gap", "gap to the proved optimum", _looks(gaps))
    proofs = lines.attacks[lines.attacks["proved"] > 0]
    if len(proofs):
        yield "cactus", lambda: cactus(proofs, _looks(proofs))


def _looks(frame: pd.DataFrame) -> dict[str, Look]:
    """In the order of `ORDER`, then of the rows."""
    series = dict.fromkeys(frame["series"])
    known = [name for name in ORDER if name in series]
    return looks([*known, *(name for name in series if name not in known)])


def _flips(frame: pd.DataFrame, label: str) -> Figure:
    return bars(frame, "flipped", label, _looks(frame))


def _boxes(frame: pd.DataFrame, label: str) -> Figure:
    return boxes(frame, "normalized", label, _looks(frame))


def _time(frame: pd.DataFrame, label: str) -> Figure:
    return over_time(frame, _looks(frame))

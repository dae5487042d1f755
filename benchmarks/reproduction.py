"""The paper's methods beside ours: what the store of a campaign says, with bootstrap intervals.

bnnopt campaign run campaigns/reproduction.toml --store reproduction.db --workers 2
python benchmarks/reproduction.py reproduction.db
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import pandas as pd
from tabulate import tabulate

from benchmarks.record import FOLDER, write
from bnnopt.campaign.store import Store
from bnnopt.report.bootstrap import mean_interval
from bnnopt.report.results import finished

TITLE = (__doc__ or "").split("\n", 1)[0]
GROUPS = ["network", "epsilon", "series"]


def interval(values: pd.Series[float], digits: int) -> str:
    mean, low, high = (round(float(value), digits) for value in mean_interval(values))
    return f"{mean} [{low}, {high}]"


def summary(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a network, epsilon and method."""
    rows: list[dict[str, Any]] = []
    for (network, epsilon, series), here in frame.groupby(GROUPS, sort=False):
        rows.append(
            {
                "network": network,
                "epsilon": epsilon,
                "method": series,
                "images": len(here),
                "share flipped": interval(here["flipped"], 2),
                "normalized objective": interval(here["normalized"], 3),
                "gap to best": interval(here["gap"], 3),
                "proved": int(here["proved"].sum()),
                "mean seconds": float(here["wall_time"].mean()),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("store")
    parser.add_argument("--out", type=Path, default=FOLDER / "reproduction.json")
    arguments = parser.parse_args()
    with Store(arguments.store) as store:
        frame = finished(store).sort_values(GROUPS[:2], kind="stable")
    rows = summary(frame)
    write(arguments.out, TITLE, arguments, rows)
    print(tabulate(rows, headers="keys"))


if __name__ == "__main__":
    main()

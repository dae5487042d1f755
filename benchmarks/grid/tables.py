"""Tables of the grid: methods by epsilon, what is known of each network, and solvers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.grid.frame import CLUSTER, INSTANCE, truth
from bnnopt.report.bootstrap import mean_interval

__all__ = [
    "SHIFT_SECONDS",
    "disagreements",
    "interval",
    "methods",
    "networks",
    "shifted_geometric_mean",
    "solver_table",
]

SHIFT_SECONDS = 1.0
DISAGREEMENT = 1e-3
Row = dict[str, Any]


def interval(frame: pd.DataFrame, value: str, digits: int) -> str:
    """A mean over images, each of which counts once, and its 95 % interval."""
    each = frame.groupby(CLUSTER)[value].mean()
    mean, low, high = (round(float(number), digits) for number in mean_interval(each))
    return f"{mean} [{low}, {high}]"


def methods(frame: pd.DataFrame) -> list[Row]:
    """A row an epsilon and method, over all networks that it has; limits are the method's."""
    rows = []
    for (epsilon, series), here in frame.groupby(["epsilon", "series"], sort=False):
        rows.append(
            {
                "epsilon": epsilon,
                "method": series,
                "limit (s)": float(here["limit"].max()),
                "networks": here["network"].nunique(),
                "attacks": len(here),
                "share flipped": interval(here, "flipped", 3),
                "normalized objective": interval(here, "normalized", 3),
                "gap to best": interval(here, "gap", 3),
                "share proved": round(float(here["proved"].mean()), 3),
                "mean seconds": round(float(here["wall_time"].mean()), 2),
            }
        )
    return sorted(rows, key=lambda row: row["epsilon"])


def networks(frame: pd.DataFrame) -> list[Row]:
    """A row a network and epsilon: what all attacks together know of its instances."""
    rows = []
    for (network, epsilon), here in truth(frame).groupby(["network", "epsilon"], sort=False):
        proved = here[here["proved"] > 0]
        normalized = proved.assign(optimum=proved["best"] / proved["scale"])
        rows.append(
            {
                "network": network,
                "epsilon": epsilon,
                "images": len(here),
                "proved": int(here["proved"].sum()),
                "certified share": interval(here, "certified", 3),
                "flipped share": interval(here, "flipped", 3),
                "proved optimum, normalized": interval(normalized, "optimum", 3)
                if len(proved)
                else None,
            }
        )
    return rows


def shifted_geometric_mean(seconds: npt.ArrayLike) -> float:
    """Of seconds, with a shift of `SHIFT_SECONDS`, so that the quickest do not decide it."""
    shifted = np.asarray(seconds, dtype=np.float64) + SHIFT_SECONDS
    return float(np.exp(np.log(shifted).mean()) - SHIFT_SECONDS)


def solver_table(frame: pd.DataFrame) -> list[Row]:
    """A row a model and solver, on the models that every solver has tried.

    What is not proved counts its time limit in means, and so does a model that a licence refuses.

    Parameters
    ----------
    frame : DataFrame
        See `benchmarks.grid.frame.models`.
    """
    rows: list[Row] = []
    for model, every in frame.groupby("attack", sort=False):
        tried = every.groupby(INSTANCE)["series"].transform("nunique")
        here = every[tried == every["series"].nunique()]
        seconds = (
            here["wall_time"].clip(upper=here["limit"]).where(here["proved"] > 0, here["limit"])
        )
        here = here.assign(counted=seconds)
        solved = here[here["proved"] > 0]
        first = solved.loc[solved.groupby(INSTANCE)["counted"].idxmin(), "series"].value_counts()
        for solver, mine in here.groupby("series", sort=False):
            rows.append(
                {
                    "model": model,
                    "solver": solver,
                    "models": len(mine),
                    "refused": int(mine["refused"].sum()),
                    "proved": int(mine["proved"].sum()),
                    "fastest": int(first.get(solver, 0)),
                    f"geometric mean, shift {SHIFT_SECONDS:g} (s)": round(
                        shifted_geometric_mean(mine["counted"]), 3
                    ),
                    "limit (s)": float(mine["limit"].max()),
                }
            )
    return rows


def disagreements(frame: pd.DataFrame) -> list[str]:
    """Models on which two solvers have proved different optima."""
    proved = frame[frame["proved"] > 0]
    optima = proved.groupby(["attack", *INSTANCE])["objective"].agg(["min", "max"]).astype(float)
    differing = optima[optima["max"] - optima["min"] > DISAGREEMENT]
    return [f"{key}: {row['min']:g} and {row['max']:g}" for key, row in differing.iterrows()]

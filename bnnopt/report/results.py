"""The finished cells of a campaign, as its figures and tables take them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from bnnopt.campaign.frame import store_frame
from bnnopt.campaign.store import Store
from bnnopt.errors import InputError
from bnnopt.result import Status

__all__ = ["INSTANCE", "bounds_at", "done", "finished", "incumbents", "tried"]

INSTANCE = ["network", "epsilon", "image", "seed"]
"""What two attacks must share to be compared."""


def finished(store: Store) -> pd.DataFrame:
    """The cells that are done, with the columns of `tried`.

    Parameters
    ----------
    store : Store
        What to report of.

    Raises
    ------
    InputError
        If no cell is done.
    """
    return done(tried(store), store)


def done(frame: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Those rows of `tried` that have a result; further as `finished`.

    Parameters
    ----------
    frame : DataFrame
        What `tried` gives.
    store : Store
        It is of.
    """
    frame = frame[frame["state"] == "done"].copy()
    if frame.empty:
        raise InputError(f"the store {str(store.path)!r} has no finished cell to report")
    for name in ("flipped", "proved", "normalized", "objective", "wall_time", "start_objective"):
        frame[name] = frame[name].astype(float)
    reached = frame["normalized"].where(frame["maximizes"])
    best = reached.groupby([frame[name] for name in [*INSTANCE, "asked"]]).transform("max")
    frame["gap"] = best - reached
    return frame


def tried(store: Store) -> pd.DataFrame:
    """The cells that are done or failed, with columns for the report beside `store_frame`'s.

    ``series``: the attack's name, with the solver where the campaign has it on several;
    ``architecture``: the network as axes call it; ``proved``: whether the status is
    optimal or infeasible; ``decides``: whether it asks for a flip to any class, as verification
    does; ``maximizes``: whether it asks for the largest margin; ``gap``, where it is done and
    asks for that: how far the normalized objective is below the best of any such attack.

    Parameters
    ----------
    store : Store
        What to report of.
    """
    frame = store_frame(store)
    frame = frame[frame["state"].isin(["done", "failed"])].copy()
    solvers = frame.groupby("attack")["solver"].transform("nunique")
    several = frame["attack"] + " (" + frame["solver"].fillna("") + ")"
    frame["series"] = frame["attack"].where(solvers <= 1, several)
    frame["architecture"] = _architectures(frame)
    frame["proved"] = frame["status"].isin([Status.OPTIMAL.value, Status.INFEASIBLE.value])
    frame["decides"] = (frame["goal"] == "flip") & (frame["asked"] == "untargeted")
    frame["maximizes"] = frame["goal"].str.split(",").str[0] == "margin"
    return frame


def _architectures(frame: pd.DataFrame) -> pd.Series[str]:
    """Depth x width, or the network's name where that is not enough, or says too much."""
    width = frame["width"].astype(str)
    short = frame["depth"].astype(str) + "x" + width
    alike = pd.Series(
        ["x".join([w] * d) for w, d in zip(width, frame["depth"], strict=True)], frame.index
    )
    names = frame.assign(short=short).groupby(["dataset", "short"])["network"].transform("nunique")
    return short.where((names == 1) & (frame["hidden"] == alike), frame["network"])


def incumbents(
    row: pd.Series[float], times: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The normalized objective that an attack had at each of `times`, in seconds.

    Parameters
    ----------
    row : Series
        Of `finished`.
    times : array of float
        In ascending order.
    """
    trace = np.array(json.loads(str(row["trace"])), dtype=np.float64).reshape(-1, 2)
    when = np.concatenate([[0.0], trace[:, 0]])
    best = np.maximum.accumulate(np.concatenate([[row["start_objective"]], trace[:, 1]]))
    at = np.searchsorted(when, times, side="right") - 1
    values: np.ndarray[tuple[int], np.dtype[np.float64]] = best[at] / row["scale"]
    return values


def bounds_at(
    row: pd.Series[float], times: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The normalized bound that an attack had proved at each of `times`; NaN before the first.

    Parameters
    ----------
    row : Series
        Of `finished`.
    times : array of float
        In ascending order.
    """
    bounds = np.array(json.loads(str(row["bounds"])), dtype=np.float64).reshape(-1, 2)
    proved = np.concatenate([[np.nan], bounds[:, 1]])
    values: np.ndarray[tuple[int], np.dtype[np.float64]] = (
        proved[np.searchsorted(bounds[:, 0], times, side="right")] / row["scale"]
    )
    return values

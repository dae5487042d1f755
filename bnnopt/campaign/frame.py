"""A campaign's store as a data frame, for analysis elsewhere: CSV, Parquet, pandas."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnnopt.campaign.cell import Cell
from bnnopt.campaign.data import shown_names
from bnnopt.campaign.store import Row, Store
from bnnopt.errors import InputError, MissingDependencyError, StoreError
from bnnopt.files import write_atomically
from bnnopt.goal import DISTANCES
from bnnopt.margins import Margins
from bnnopt.network import BinarizedNetwork
from bnnopt.result import AttackResult
from bnnopt.shapes import layers_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENDINGS", "export_store", "largest_margin", "store_frame"]

ENDINGS = (".csv", ".parquet")
GOAL = ("goal_value", "goal_bound")


def store_frame(store: Store) -> pd.DataFrame:
    """A row a cell, finished or not, in the order in which they were added.

    Parameters
    ----------
    store : Store
        A runner may be at work on it.

    Returns
    -------
    pandas.DataFrame
        Columns: ``key``, ``attack`` (the method's name in the spec), what defines the cell,
        ``asked`` (the target that it names), ``state``, ``attempts``, ``worker`` and ``error``,
        and where it is done ``finished`` (Unix time), the keys of
        ``AttackResult.as_dict()``, the distances, the value and the bound of the goal's first
        stage, and ``normalized``: the margin over the
        largest that any activations of the last hidden layer have. Two networks, or files of
        images, of one name are told apart by their hashes.

    Raises
    ------
    MissingDependencyError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingDependencyError("pandas", "a table of results", "report") from None
    names = store.networks()
    counts = Counter(names.values())
    shown = {
        key: name if name and counts[name] == 1 else f"{name or 'network'}@{key[:8]}"
        for key, name in names.items()
    }
    networks = {key: store.network(key) for key in names}
    shown |= shown_names((data.identity, data.name) for data in store.data())
    try:
        rows = [_row(row, shown, networks) for row in store.rows()]
    except KeyError as error:
        raise StoreError(f"the store {str(store.path)!r} is damaged: it lacks {error}") from None
    if not rows:
        raise InputError(f"the store {str(store.path)!r} has no cells")
    return pd.DataFrame(rows)


def _row(row: Row, names: dict[str, str], networks: dict[str, BinarizedNetwork]) -> dict[str, Any]:
    cell = Cell.from_definition(row.definition)
    network = networks[cell.network]
    values: dict[str, Any] = {
        "key": row.key,
        "attack": row.attack,
        "network": names[cell.network],
        "depth": network.depth,
        "width": max(network.widths),
        "hidden": layers_text(network),
        "dataset": names.get(cell.dataset, cell.dataset),
        "image": cell.image,
        "epsilon": cell.epsilon,
        "asked": str(cell.target),
        "domain": cell.domain,
        "goal": cell.goal,
        "ties": cell.ties,
        "method": cell.method,
        "options": json.dumps(dict(cell.options), sort_keys=True),
        "solver": cell.solver,
        "formulation": cell.formulation,
        "start": cell.start,
        "seed": cell.seed,
        "threads": cell.threads,
        "time_limit": cell.time_limit,
        "effort": cell.effort,
        "state": row.state,
        "attempts": row.attempts,
        "worker": row.worker,
        "error": row.error,
        "finished": row.finished,
    }
    record = json.loads(row.record) if row.record else {}
    values |= {name: record.get(name) for name in AttackResult.columns()}
    values |= {name: record.get("distances", {}).get(name) for name in DISTANCES}
    for name in GOAL:  # of its first stage; a flip, and records without one, have none
        found = record.get(f"{name}s") or [None]
        values[name] = found[0]
    values["normalized"] = None
    values["trace"] = json.dumps(record["trace"]) if record else None
    values["bounds"] = json.dumps(record.get("bounds", [])) if record else None
    if record:
        scale = largest_margin(network, record["target"], record["source"])
        values["normalized"] = record["objective"] / scale
        values["scale"] = scale
    return values


def largest_margin(network: BinarizedNetwork, target: int, source: int) -> float:
    """The margin of the ideal activations of the last hidden layer (section 4 of the paper).

    Parameters
    ----------
    network : BinarizedNetwork
        Its output layer counts.
    target, source : int
        Classes: the target's logit less the source's.

    Returns
    -------
    float
        At least the smallest step of margins, so that it divides.
    """
    margins = Margins(network.output, source, [target], "never")
    gain, constant = margins.terms(target)
    return max(float(abs(gain).sum() + constant), margins.unit)


def export_store(store: Store, path: str | os.PathLike[str]) -> int:
    """Write `store_frame` to a file; return the number of rows.

    Parameters
    ----------
    store : Store
        What to write of.
    path : path
        Ends in ``.csv`` or ``.parquet``.

    Raises
    ------
    InputError
        On another ending.
    MissingDependencyError
        If pandas, or pyarrow for Parquet, is not installed.
    """
    ending = Path(path).suffix
    if ending not in ENDINGS:
        raise InputError(f"an export ends in {' or '.join(ENDINGS)}, not {os.fspath(path)!r}")
    frame = store_frame(store)
    if ending == ".csv":
        content = frame.to_csv(index=False).encode()
    else:
        try:
            content = frame.to_parquet(index=False)
        except ImportError:
            raise MissingDependencyError("pyarrow", "Parquet", "report") from None
    write_atomically(path, content)
    return len(frame)

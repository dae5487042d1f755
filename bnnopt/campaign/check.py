"""Replaying a campaign: whether every stored row says what its network says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.campaign.cell import Cell
from bnnopt.campaign.data import DIGEST_BYTES, digest_of_all, digest_of_image
from bnnopt.campaign.proofs import complaints_about, is_proof
from bnnopt.campaign.store import Row, Store
from bnnopt.campaign.task import decode_levels
from bnnopt.errors import BnnoptError
from bnnopt.instance import AttackInstance
from bnnopt.network import fingerprint
from bnnopt.result import Status

__all__ = ["check_store"]

DISTANCE_ROUNDING = 1e-9
GIVEN = ("image", "epsilon", "domain", "goal", "method", "solver", "formulation", "seed")


def check_store(store: Store) -> Iterator[tuple[Row | None, list[str]]]:
    """Check the file, then every cell; replay every point through its network.

    Parameters
    ----------
    store : Store
        Nothing in it is changed.

    Yields
    ------
    (Row or None, list of str)
        A cell, and what is wrong with it; None for the file, its networks and its images.
    """
    yield None, [*store.damage(), *_networks(store), *_data(store)]
    for row in store.rows(damaged=True):
        yield row, list(_row(store, row))


def _networks(store: Store) -> Iterator[str]:
    for key, name in store.networks().items():
        try:
            if fingerprint(store.network(key)) != key:
                yield f"network {name} is not the one that was attacked"
        except BnnoptError as error:
            yield f"network {name} cannot be read: {error}"


def _data(store: Store) -> Iterator[str]:
    """Whether images of users' own files are those that were attacked."""
    try:
        for data in store.data():
            if digest_of_all(data.digests) != data.identity:
                yield f"data {data.name}: the digests are not those of what was attacked"
            for index, pixels, label in store.images(data.identity):
                at = slice(DIGEST_BYTES * index, DIGEST_BYTES * (index + 1))
                if digest_of_image(data.type, pixels, label) != data.digests[at]:
                    yield f"data {data.name}: image {index} is not the one that was attacked"
    except BnnoptError as error:
        yield str(error)


CHOSEN = ("solver", "formulation")


def _row(store: Store, row: Row) -> Iterator[str]:
    try:
        cell = Cell.from_definition(row.definition)
    except (ValueError, TypeError) as error:
        yield f"its definition cannot be read: {error}"
        return
    if cell.key != row.key:
        yield "its definition is not the one of its key"
    if (row.state == "done") != (row.record is not None and not _is_of_failure(row)):
        yield f"its state is {row.state!r}, which its result contradicts"
    if row.record is None:
        return
    if row.digest != row.expected_digest():
        yield "its result is not as it was stored: the checksum differs"
    try:
        yield from _replay(store, cell, json.loads(row.record), decode_levels(row.levels or b""))
    except (BnnoptError, ValueError, TypeError, KeyError, IndexError) as error:
        yield f"its result cannot be replayed: {error}"


def _is_of_failure(row: Row) -> bool:
    """Whether a result is what an attempt that failed has left, in a cell that is not done."""
    try:
        record = json.loads(row.record or "{}")
        return row.state != "done" and bool(record["message"] or record["interrupted"])
    except (ValueError, TypeError, KeyError):
        return False


def _replay(
    store: Store, cell: Cell, record: dict[str, Any], levels: npt.NDArray[np.float64]
) -> Iterator[str]:
    """The record beside what the network says of the stored point."""
    network = store.network(cell.network)
    x, label = store.image(cell)
    instance = cell.instance(network, x)
    if levels.shape != instance.levels.shape or not np.array_equal(instance.snap(levels), levels):
        yield "its point is outside the budget"
        return
    margin = float(instance.margins(levels[None])[0])
    is_flip = bool(instance.are_flips(levels[None])[0])
    expected: dict[str, Any] = {name: getattr(cell, name) for name in GIVEN}
    if record.get("ran", cell.method) != cell.method:  # the method that was chosen may take none
        expected |= {name: record[name] for name in CHOSEN if record[name] is None}
    expected |= {
        "network": network.name,
        "label": label,
        "time_limit": cell.time_limit,
        "source": instance.source,
        "objective": margin,
        "flipped": is_flip,
        "start_objective": float(instance.margins(instance.levels[None])[0]),
        "verified": True,
    }
    if "version" in record:
        prediction = int(network.predict(levels / network.levels))
        expected |= {"ties": cell.ties, "effort": cell.effort, "prediction": prediction}
    for name, value in expected.items():
        if record[name] != value:
            yield f"{name} is {record[name]!r}, and the replay gives {value!r}"
    if record["target"] not in instance.targets:
        yield f"target {record['target']!r} is not among those attacked"
    for name, distance in instance.distances(levels).items():
        if abs(record["distances"][name] - distance) > DISTANCE_ROUNDING:
            yield f"{name} is {record['distances'][name]!r}, and the replay gives {distance!r}"
    yield from _bound(instance, record, margin)
    if "version" in record:
        yield from _status(instance, record, is_flip)
    if is_proof(record.get("proof")):
        content = store.proof(cell.key)
        if content is None:
            yield "its proof is lost"
        else:
            yield from complaints_about(content, instance, x, record)


def _bound(instance: AttackInstance, record: dict[str, Any], margin: float) -> Iterator[str]:
    bound, status, gap = record["bound"], record["status"], instance.of_margins.gap
    if bound is not None and bound < margin - gap:
        yield f"its bound {bound!r} excludes its own point of margin {margin!r}"
    proved = bound is not None and bound - margin <= gap
    is_over = status != Status.ERROR
    if is_over and instance.sought.is_margin and (status == Status.OPTIMAL) != proved:
        yield f"its status {status!r} does not follow from its bound"


def _status(instance: AttackInstance, record: dict[str, Any], is_flip: bool) -> Iterator[str]:
    """A goal that asks for a flip has one exactly where the status says so."""
    status, goal = record["status"], instance.sought
    if status == Status.ERROR or not goal.needs_flip:
        return
    if is_flip == (status in (Status.INFEASIBLE, Status.UNKNOWN)):
        yield f"its status {status!r} contradicts its point"
    if not goal.stages and is_flip and status != Status.OPTIMAL:
        yield f"its status {status!r} does not follow from its flip"
    bound, most = record["bound"], instance.of_margins.most_without_flip
    if status == Status.INFEASIBLE and (bound is None or bound > most):
        yield f"its status {status!r} does not follow from its bound {bound!r}"

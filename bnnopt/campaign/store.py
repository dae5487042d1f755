"""A campaign's store: cells, claims, results; safe through kills, full disks and rivals.

A cell is open, then claimed by one runner, then done or failed. Every change is one immediate
transaction, on disk before the call returns.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bnnopt.campaign.cell import Cell
from bnnopt.campaign.data import OwnData, StoredData, stored_type
from bnnopt.campaign.owner import identity, is_gone
from bnnopt.campaign.schema import add_table, connect, has_table, storage_errors
from bnnopt.campaign.spec import CampaignSpec, PlannedCell
from bnnopt.campaign.task import Outcome, decode_network
from bnnopt.datasets.catalog import LEVELS, NAMES
from bnnopt.datasets.indexed import Images
from bnnopt.errors import StoreError
from bnnopt.network import BinarizedNetwork

__all__ = ["LEASE_SECONDS", "RETRIES", "Row", "Store"]

LEASE_SECONDS = 120.0
"""A runner that cannot be seen from here counts as dead after so long without a sign of life."""

RETRIES = 1
"""How often a cell is tried again after it lost its worker."""

ROWS = """
SELECT cells.key, definition, attack, state, cells.attempts, losses, error,
       record, levels, seconds, worker, finished, digest, results.attempts
FROM cells LEFT JOIN results USING (key) ORDER BY cells.rowid
"""


@dataclass(frozen=True, eq=False)
class Row:
    """One cell as it is stored; the fields of the result are None until it is done.

    Parameters
    ----------
    key, definition, attack, state : str
        The state is ``open``, ``claimed``, ``done`` or ``failed``.
    attempts, losses : int
        Starts, and workers lost, so far.
    error : str
        Why it failed.
    record : str or None
        ``AttackResult.as_dict()`` as JSON.
    levels : bytes or None
        See `bnnopt.campaign.task.encode_levels`.
    seconds, finished : float or None
        Wall time in the worker; when it was stored (Unix time).
    worker, digest : str or None
        Who ran it last, and the checksum of the result.
    result_attempts : int or None
        The attempt that gave the result.
    """

    key: str
    definition: str
    attack: str
    state: str
    attempts: int
    losses: int
    error: str
    record: str | None
    levels: bytes | None
    seconds: float | None
    worker: str | None
    finished: float | None
    digest: str | None
    result_attempts: int | None

    @property
    def is_intact(self) -> bool:
        """Whether definition and result are as they were stored, by their checksums."""
        named = hashlib.sha256(str(self.definition).encode()).hexdigest() == self.key
        return named and (self.record is None or self.digest == self.expected_digest())

    def expected_digest(self) -> str:
        """What `digest` must be if the result is as it was stored."""
        return _digest(
            self.key,
            self.record,
            self.levels or b"",
            self.seconds,
            self.worker,
            self.result_attempts,
            self.finished,
        )


class Store:
    """An open store; use it as a context manager.

    Parameters
    ----------
    path : path
        Of the SQLite file.
    create : bool
        Whether to make the file if there is none.

    Raises
    ------
    InputError
        If it is missing, no store, or of another version.
    StoreError
        If it cannot be read or written, at any call.
    """

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        self.path = Path(path)
        self._db = connect(self.path, create=create)
        self._runner: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._db.close()

    # A runner's life.

    def enter(self, machine: Mapping[str, Any]) -> None:
        """Become a runner; `machine` is provenance."""
        with self._transaction():
            now = time.time()
            added = self._db.execute(
                "INSERT INTO runners (process, machine, started, beat) VALUES (?, ?, ?, ?)",
                (identity(), json.dumps(dict(machine)), now, now),
            )
            self._runner = added.lastrowid

    def beat(self) -> None:
        """Give a sign of life, at least every third of `LEASE_SECONDS`."""
        with self._transaction():
            self._db.execute(
                "UPDATE runners SET beat = ?, ended = NULL WHERE id = ?",
                (time.time(), self._runner),
            )

    def leave(self) -> None:
        """Open the cells that this runner has claimed, and be no runner any more."""
        with self._transaction():
            self._drop(self._runner)

    def release_dead(self) -> int:
        """Open the cells whose runner is dead; return how many runners were."""
        with self._transaction():
            living = self._db.execute(
                "SELECT id, process, beat FROM runners WHERE ended IS NULL AND id IS NOT ?",
                (self._runner,),
            ).fetchall()
            dead = [number for number, process, beat in living if _is_dead(process, beat)]
            for number in dead:
                self._drop(number)
        return len(dead)

    def _drop(self, runner: int | None) -> None:
        self._db.execute(
            "UPDATE cells SET state = 'open', runner = NULL WHERE state = 'claimed' AND runner = ?",
            (runner,),
        )
        self._db.execute("UPDATE runners SET ended = ? WHERE id = ?", (time.time(), runner))

    # Planning.

    def add(
        self,
        spec: CampaignSpec,
        planned: Iterable[PlannedCell],
        images: Mapping[str, Images],
    ) -> None:
        """Add a spec's cells; those that are there stay, and failed ones get another chance.

        Parameters
        ----------
        spec : CampaignSpec
            Kept with them.
        planned : iterable of PlannedCell
            Its cells.
        images : mapping
            A data set by name, with every image of the spec.
        """
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO specs VALUES (?, ?)", (spec.text, time.time()))
            for key, network in spec.networks.items():
                row = (key, network.name, network.to_bytes())
                self._db.execute("INSERT OR IGNORE INTO networks VALUES (?, ?, ?)", row)
            if isinstance(spec.data, OwnData):
                add_table(self._db, "data")
                values = (spec.data.identity, spec.data.name, spec.data.type, spec.data.digests)
                self._db.execute("INSERT OR IGNORE INTO data VALUES (?, ?, ?, ?)", values)
            for name, data in images.items():
                rows = [(name, i, data.label(i), data.images[i].tobytes()) for i in spec.images]
                self._db.executemany("INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?)", rows)
            self._db.executemany(
                "INSERT INTO cells (key, definition, attack) VALUES (?, ?, ?) ON CONFLICT (key) "
                "DO UPDATE SET attack = excluded.attack, "
                "losses = CASE state WHEN 'failed' THEN 0 ELSE losses END, "
                "state = CASE state WHEN 'failed' THEN 'open' ELSE state END",
                ((plan.cell.key, plan.cell.definition, plan.attack) for plan in planned),
            )

    # One cell.

    def claim(self, key: str) -> bool:
        """Take an open cell; False if it is not open (any more)."""
        with self._transaction():
            changed = self._db.execute(
                "UPDATE cells SET state = 'claimed', runner = ?, attempts = attempts + 1, "
                "error = '' WHERE key = ? AND state = 'open'",
                (self._runner, key),
            )
        return changed.rowcount == 1

    def finish(self, key: str, outcome: Outcome) -> None:
        """Keep a result; the first one of a cell that is done stays."""
        with self._transaction():
            (state,) = self._one("SELECT state FROM cells WHERE key = ?", key)
            if state != "done":
                self._keep(key, outcome)
            self._db.execute(
                "UPDATE cells SET state = 'done', runner = NULL, error = '' WHERE key = ?", (key,)
            )

    def _keep(self, key: str, outcome: Outcome) -> None:
        """Instead of what an attempt that failed has left."""
        record, now = json.dumps(outcome.record, sort_keys=True), time.time()
        (attempts,) = self._one("SELECT attempts FROM cells WHERE key = ?", key)
        values = (key, record, outcome.levels, outcome.seconds, outcome.worker, attempts, now)
        self._db.execute(
            "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, _digest(*values)),
        )
        if outcome.proof:
            add_table(self._db, "proofs")
            self._db.execute("INSERT OR REPLACE INTO proofs VALUES (?, ?)", (key, outcome.proof))

    def fail(self, key: str, outcome: Outcome) -> None:
        """An attack ended with an error: it would again. What it had found is kept."""
        self._record_failure(key, outcome.error, lost=False)
        if outcome.record is not None:
            with self._transaction():
                (state,) = self._one("SELECT state FROM cells WHERE key = ?", key)
                if state == "failed":
                    self._keep(key, outcome)

    def lose(self, key: str, message: str) -> bool:
        """A cell lost its worker; True if it is open for another try."""
        return self._record_failure(key, message, lost=True)

    def _record_failure(self, key: str, message: str, *, lost: bool) -> bool:
        with self._transaction():
            (losses,) = self._one("SELECT losses FROM cells WHERE key = ?", key)
            state = "open" if lost and losses < RETRIES else "failed"
            self._db.execute(
                "UPDATE cells SET state = ?, runner = NULL, losses = losses + ?, error = ? "
                "WHERE key = ? AND state = 'claimed' AND runner = ?",
                (state, int(lost), message, key, self._runner),
            )
            self._db.execute("INSERT INTO failures VALUES (?, ?, ?)", (key, message, time.time()))
        return state == "open"

    # Reading.

    def states(self) -> dict[str, str]:
        """The state of every cell, by key."""
        with storage_errors(self.path):
            return dict(self._db.execute("SELECT key, state FROM cells"))

    def rows(self, *, damaged: bool = False) -> Iterator[Row]:
        """Every cell, in the order in which they were added.

        Parameters
        ----------
        damaged : bool
            Whether a cell that is not as it was stored is given like any other, for a reader
            that looks for it; else it is an error.
        """
        with storage_errors(self.path):
            for values in self._db.execute(ROWS):
                row = Row(*values)
                if not damaged and not row.is_intact:
                    raise self._damaged(f"cell {row.key[:12]} is not as it was stored")
                yield row

    def network(self, key: str) -> BinarizedNetwork:
        """The network with this `fingerprint`."""
        return decode_network(self.network_content(key))

    def network_content(self, key: str) -> bytes:
        """Likewise, as `BinarizedNetwork.to_bytes` gave it."""
        with storage_errors(self.path):
            content: bytes
            (content,) = self._one("SELECT content FROM networks WHERE hash = ?", key)
        if not isinstance(content, bytes):
            raise self._damaged(f"network {key[:12]} is not as it was stored")
        return content

    def proof(self, key: str) -> bytes | None:
        """The proof of a cell's result."""
        with storage_errors(self.path):
            if not has_table(self._db, "proofs"):
                return None
            query = "SELECT content FROM proofs WHERE key = ?"
            found = self._db.execute(query, (key,)).fetchone()
        if found is not None and not isinstance(found[0], bytes):
            raise self._damaged(f"the proof of cell {key[:12]} is not as it was stored")
        return None if found is None else found[0]

    def proofs(self) -> Iterator[tuple[Cell, bytes]]:
        """Every cell whose result has a proof, and the proof."""
        for row in self.rows():
            content = self.proof(row.key)
            if content is not None:
                yield Cell.from_definition(row.definition), content

    def networks(self) -> dict[str, str]:
        """The name of every network, by `fingerprint`."""
        with storage_errors(self.path):
            return dict(self._db.execute("SELECT hash, name FROM networks ORDER BY rowid"))

    def image(self, cell: Cell) -> tuple[npt.NDArray[Any], int]:
        """A cell's image, shape (n,), whole levels or values as a network takes it; its label."""
        query = "SELECT pixels, label FROM images WHERE dataset = ? AND image = ?"
        kind = None
        with storage_errors(self.path):
            pixels, label = self._one(query, cell.dataset, cell.image)
            if cell.dataset not in NAMES:
                (kind,) = self._one("SELECT type FROM data WHERE identity = ?", cell.dataset)
        try:
            if kind is None:
                return np.frombuffer(pixels, dtype=np.uint8) / LEVELS, label
            return np.frombuffer(pixels, dtype=stored_type(kind)), label
        except (TypeError, ValueError):
            raise self._damaged(f"image {cell.image} is not as it was stored") from None

    def data(self) -> list[StoredData]:
        """Every set of images of users' own files."""
        with storage_errors(self.path):
            if not has_table(self._db, "data"):
                return []
            rows = self._db.execute("SELECT identity, name, type, digests FROM data ORDER BY rowid")
            found = [StoredData(*row) for row in rows]
        if not all(isinstance(data.digests, bytes) for data in found):
            raise self._damaged("its data are not as they were stored")
        return found

    def has_other(self, data: OwnData) -> bool:
        """Whether a file of the same name held other images in an earlier run."""
        return any(
            stored.name == data.name and stored.identity != data.identity for stored in self.data()
        )

    def images(self, dataset: str) -> Iterator[tuple[int, bytes, int]]:
        """(index, pixels, label) of every image of a set."""
        with storage_errors(self.path):
            query = "SELECT image, pixels, label FROM images WHERE dataset = ?"
            for index, pixels, label in self._db.execute(query, (dataset,)):
                if not isinstance(pixels, bytes):
                    raise self._damaged(f"image {index} is not as it was stored")
                yield index, pixels, label

    def specs(self) -> list[tuple[str, float]]:
        """Every spec that was run on the store, and when it first was (Unix time)."""
        with storage_errors(self.path):
            return self._db.execute("SELECT text, added FROM specs ORDER BY added").fetchall()

    def runners(self) -> list[dict[str, Any]]:
        """Every runner so far: its machine, when it started, and whether it still lives."""
        query = "SELECT process, machine, started, beat, ended FROM runners ORDER BY id"
        with storage_errors(self.path):
            found = self._db.execute(query).fetchall()
        try:
            return [
                {
                    "machine": dict(json.loads(machine)),
                    "started": started,
                    "alive": ended is None and not _is_dead(process, beat),
                }
                for process, machine, started, beat, ended in found
            ]
        except (TypeError, ValueError):
            raise self._damaged("its runners are not as they were stored") from None

    def failures(self) -> list[tuple[str, str, float]]:
        """(key, message, Unix time) of every attack that failed and every worker lost."""
        with storage_errors(self.path):
            return self._db.execute("SELECT key, message, at FROM failures ORDER BY at").fetchall()

    def damage(self) -> list[str]:
        """What SQLite's own check says against the file; nothing if it is sound."""
        with storage_errors(self.path):
            said = [line for (line,) in self._db.execute("PRAGMA integrity_check")]
        return [] if said == ["ok"] else said

    def _one(self, query: str, *values: Any) -> tuple[Any, ...]:
        row: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
        if row is None:
            raise self._damaged(f"it lacks {values!r}")
        return row

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            f"the store {str(self.path)!r} is damaged: {what}; bnnopt campaign check says where"
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, and nobody else writes meanwhile."""
        with storage_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _is_dead(process: str, beat: float) -> bool:
    gone = is_gone(process)
    return time.time() - beat > LEASE_SECONDS if gone is None else gone


def _digest(
    key: str,
    record: str | None,
    levels: bytes,
    seconds: float | None,
    worker: str | None,
    attempts: int | None,
    finished: float | None,
) -> str:
    content = [key, record, levels, seconds, worker, attempts, finished]
    text = json.dumps(content, default=bytes.hex)  # levels, and whatever else a damaged file has
    return hashlib.sha256(text.encode()).hexdigest()

"""The layout of a campaign's store, one SQLite file, and opening it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bnnopt.errors import InputError, StoreError

__all__ = ["add_table", "connect", "has_table", "storage_errors"]

VERSIONS = (1, 2, 3)
"""A store begins as the first; one that holds images of users' own files is the second, one that
holds proofs is the third."""

APPLICATION_ID = 0x626E6E6F  # "bnno", in SQLite's header
BUSY_SECONDS = 60.0

SCHEMA = """
CREATE TABLE specs (text TEXT PRIMARY KEY, added REAL NOT NULL);
CREATE TABLE runners (
    id INTEGER PRIMARY KEY AUTOINCREMENT, process TEXT NOT NULL, machine TEXT NOT NULL,
    started REAL NOT NULL, beat REAL NOT NULL, ended REAL
);
CREATE TABLE networks (hash TEXT PRIMARY KEY, name TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE images (
    dataset TEXT NOT NULL, image INTEGER NOT NULL, label INTEGER NOT NULL, pixels BLOB NOT NULL,
    PRIMARY KEY (dataset, image)
);
CREATE TABLE cells (
    key TEXT PRIMARY KEY, definition TEXT NOT NULL, attack TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'claimed', 'done', 'failed')),
    runner INTEGER, attempts INTEGER NOT NULL DEFAULT 0, losses INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX claims ON cells (runner) WHERE state = 'claimed';
CREATE TABLE results (
    key TEXT PRIMARY KEY REFERENCES cells (key), record TEXT NOT NULL, levels BLOB NOT NULL,
    seconds REAL NOT NULL, worker TEXT NOT NULL, attempts INTEGER NOT NULL,
    finished REAL NOT NULL, digest TEXT NOT NULL
);
CREATE TABLE failures (
    key TEXT NOT NULL REFERENCES cells (key), message TEXT NOT NULL, at REAL NOT NULL
);
"""

LATER = {
    "data": """
CREATE TABLE IF NOT EXISTS data (
    identity TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, digests BLOB NOT NULL
)
""",
    "proofs": """
CREATE TABLE IF NOT EXISTS proofs (
    key TEXT PRIMARY KEY REFERENCES cells (key), content BLOB NOT NULL
)
""",
}
"""Tables of the second version and of the third."""


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open a store, or make an empty one.

    Raises
    ------
    InputError
        If it is missing, no store, or of another version.
    StoreError
        If it cannot be read or written.
    """
    if not create and not path.is_file():
        raise InputError(f"the store {str(path)!r} does not exist: bnnopt campaign run makes it")
    with storage_errors(path):
        try:
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            _prepare(connection, path, create)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise InputError(f"{str(path)!r} is not a campaign store") from None
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    """Check or make the tables; of two processes that make them, the second finds them."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    if create and tables == 0 and application == 0:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        if tables == 0:
            for statement in SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSIONS[0]}")
        connection.execute("COMMIT")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise InputError(f"{str(path)!r} is not a campaign store")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in VERSIONS:
        is_newer = version > VERSIONS[-1]
        remedy = "upgrade bnnopt" if is_newer else "read it with the bnnopt that wrote it"
        raise InputError(
            f"the store {str(path)!r} is of version {version}, and this bnnopt reads versions "
            f"{VERSIONS[0]} to {VERSIONS[-1]}: {remedy}"
        )


def add_table(connection: sqlite3.Connection, name: str) -> None:
    """Have a table of a later version, within the caller's transaction."""
    connection.execute(LATER[name])
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    needed = VERSIONS[1 + list(LATER).index(name)]
    connection.execute(f"PRAGMA user_version = {max(version, needed)}")


def has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Whether a store has a table of a later version."""
    query = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = ?"
    (count,) = connection.execute(query, (name,)).fetchone()
    return bool(count)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into one sentence that says what is left.

    Raises
    ------
    StoreError
    """
    try:
        yield
    except UnicodeDecodeError as error:  # sqlite3's own message was damaged
        raise StoreError(
            f"the store {str(path)!r} is damaged ({error.reason}): restore a copy of it"
        ) from None
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise StoreError(
                f"the store {str(path)!r} cannot grow ({error}): every finished cell is kept in "
                "it; make room on its disk, then give the same command again"
            ) from None
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreError(
                f"the store {str(path)!r} is damaged ({error}): restore a copy of it"
            ) from None
        if code == sqlite3.SQLITE_BUSY:
            raise StoreError(
                f"the store {str(path)!r} was locked for {BUSY_SECONDS:g} s by another process"
            ) from None
        raise StoreError(f"the store {str(path)!r} cannot be used: {error}") from None

"""Whatever a file holds: it is read as what it says, or refused by an error of bnnopt's."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import zipfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bnnopt import BinarizedNetwork
from bnnopt.campaign.check import check_store
from bnnopt.campaign.frame import store_frame
from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import run_campaign
from bnnopt.campaign.spec import parse_spec
from bnnopt.campaign.status import campaign_status
from bnnopt.campaign.store import Store
from bnnopt.datasets.idx import parse_idx
from bnnopt.errors import BnnoptError, DataError, InputError, NetworkFormatError
from tests.hardening.conftest import tiny_network

NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none())
JSON = st.recursive(
    st.one_of(NUMBERS, st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
DAMAGE = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=9)


def damaged(whole: bytes, damage: list[tuple[float, int]]) -> bytes:
    """Some bytes replaced; places are shares of the length."""
    content = bytearray(whole)
    for place, value in damage:
        content[int(place * len(content))] = value
    return bytes(content)


def parts(content: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Members of a network's archive, and its metadata."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata: dict[str, Any] = json.loads(np.load(io.BytesIO(members["metadata.npy"])).tobytes())
    return members, metadata


def packed(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


WHOLE = tiny_network().to_bytes()
MEMBERS, METADATA = parts(WHOLE)


@given(key=st.sampled_from(sorted(METADATA)), value=JSON)
def test_any_metadata_make_a_network_or_are_refused(key: str, value: Any) -> None:
    stream = io.BytesIO()
    text = json.dumps(METADATA | {key: value}).encode()
    np.save(stream, np.frombuffer(text, dtype=np.uint8))
    with suppress(NetworkFormatError):
        network = BinarizedNetwork.from_bytes(packed(MEMBERS | {"metadata.npy": stream.getvalue()}))
        assert network.widths == (5, 4)
        assert BinarizedNetwork.from_bytes(network.to_bytes()).name == network.name
        network.predict(np.zeros(784))


@given(name=st.sampled_from(sorted(MEMBERS)), damage=DAMAGE)
def test_any_array_makes_a_network_or_is_refused(
    name: str, damage: list[tuple[float, int]]
) -> None:
    """The archive's own checksums are right, so that what decodes the arrays sees the damage."""
    content = packed(MEMBERS | {name: damaged(MEMBERS[name], damage)})
    with suppress(NetworkFormatError):
        BinarizedNetwork.from_bytes(content).predict(np.zeros(784))


@given(damage=DAMAGE)
def test_any_damage_to_a_network_file_is_refused_or_harmless(
    damage: list[tuple[float, int]],
) -> None:
    with suppress(NetworkFormatError):
        assert BinarizedNetwork.from_bytes(damaged(WHOLE, damage)).widths == (5, 4)


@example(sides=[1] * 70, content=b"1")
@example(sides=[0, 2**32 - 1, 2**32 - 1, 2**32 - 1], content=b"")
@given(
    sides=st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 2), max_size=80),
    content=st.binary(max_size=8),
)
def test_any_idx_header_is_read_or_refused(sides: list[int], content: bytes) -> None:
    header = b"\0\0\x08" + bytes([len(sides)]) + np.array(sides, dtype=">u4").tobytes()
    with suppress(DataError):
        assert parse_idx(header + content).shape == tuple(sides)


SPEC = {
    "networks": '["fashion-mnist-2x100"]',
    "images": '"0"',
    "epsilons": "[0.0]",
    "seeds": "[0]",
    "target": '"runner-up"',
    "domain": '"continuous"',
    "goal": '"margin"',
    "threads": "1",
    "time_limit": "60",
    "solvers": '["highs"]',
    "methods": '[{method = "milp"}]',
}


def spec_text(changes: dict[str, str]) -> str:
    return "\n".join(f"{key} = {value}" for key, value in (SPEC | changes).items())


LITERALS = st.one_of(
    st.sampled_from(
        ["nan", "-inf", "1e400", "0x10", "1979-05-27", "07:32:00", "''", "[]", "{}", "[[]]", "-1"]
    ),
    st.sampled_from(['"mnist"', '"0:3"', '"l0,linf"', '"untargeted"', '"pixels"', "9", "99"]),
    st.sampled_from(['[{method = "iprop", options = {step = 1}}]', '[{method = "x"}]', "[1, 1]"]),
    JSON.map(lambda value: json.dumps(value).replace("null", "true")),
    st.text(max_size=12),
)


@given(changes=st.dictionaries(st.sampled_from(sorted(SPEC)), LITERALS, min_size=1, max_size=2))
def test_any_spec_of_a_campaign_is_read_or_refused(changes: dict[str, str]) -> None:
    with suppress(InputError):
        assert parse_spec(spec_text(changes)).methods


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a finished campaign, as one file."""
    folder = tmp_path_factory.mktemp("finished")
    tiny_network().save(folder / "n.npz")
    text = "\n".join(
        f"{key} = {value}" for key, value in (SPEC | {"networks": '["n.npz"]'}).items()
    )
    with Store(folder / "store", create=True) as store:
        assert run_campaign(parse_spec(text, folder=folder), store, LocalWorkers(1)).done == 1
    with closing(sqlite3.connect(folder / "store")) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    return folder / "store"


def read_everything(path: Path) -> None:
    """All that the commands read of a store."""
    with Store(path) as store:
        campaign_status(store)
        list(check_store(store))
        store_frame(store)


def read_or_refuse(path: Path) -> None:
    with suppress(BnnoptError):
        read_everything(path)


@given(damage=DAMAGE)
@settings(max_examples=150)
def test_a_damaged_store_is_read_or_refused(
    finished: Path, damage: list[tuple[float, int]]
) -> None:
    pytest.importorskip("pandas")
    copy = finished.with_name("damaged")
    copy.write_bytes(damaged(finished.read_bytes(), damage))
    read_or_refuse(copy)


COLUMNS = {
    "cells": ["definition", "attack", "attempts", "losses", "error"],
    "results": ["record", "levels", "seconds", "worker", "attempts", "finished", "digest"],
    "networks": ["hash", "name", "content"],
    "images": ["dataset", "image", "label", "pixels"],
    "runners": ["process", "machine", "beat"],
    "specs": ["text"],
}
PLACES = [(table, column) for table, columns in COLUMNS.items() for column in columns]
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    st.binary(max_size=9),
    JSON.map(json.dumps),
)


@given(place=st.sampled_from(PLACES), value=VALUES)
@settings(max_examples=200)
def test_a_store_with_any_value_in_it_is_read_or_refused(
    finished: Path, place: tuple[str, str], value: Any
) -> None:
    pytest.importorskip("pandas")
    copy = finished.with_name("changed")
    shutil.copy(finished, copy)
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute(f"UPDATE {place[0]} SET {place[1]} = ?", (value,))
    read_or_refuse(copy)

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bnnopt
from bnnopt import datasets
from bnnopt.bounds import count_unstable
from bnnopt.campaign.cell import Cell
from bnnopt.campaign.check import check_store
from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.owner import identity, is_gone
from bnnopt.campaign.runner import run_campaign
from bnnopt.campaign.spec import CampaignSpec
from bnnopt.campaign.store import Store
from bnnopt.campaign.task import Outcome
from bnnopt.errors import InputError
from tests.campaign.conftest import small_spec, spec_file, table


def run(spec: CampaignSpec, path: Path) -> None:
    with Store(path, create=True) as store:
        tally = run_campaign(spec, store, LocalWorkers(1))
        assert tally.failed == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "store"
    run(small_spec(3), path)
    return path


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    path = tmp_path / "copy"
    path.write_bytes(finished.read_bytes())
    return path


def execute(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement, values).rowcount == 1


def complaints(path: Path) -> list[str]:
    with Store(path) as opened:
        return [complaint for _, found in check_store(opened) for complaint in found]


def test_cells_whose_boxes_flip_most_neurons_run_first(finished: Path) -> None:
    with Store(finished) as opened:
        rows = sorted(opened.rows(), key=lambda row: row.finished or 0.0)
        cells = [Cell.from_definition(row.definition) for row in rows]
        network = opened.network(cells[0].network)
        images = [opened.image(cell)[0] for cell in cells]
    unstable = [
        int(count_unstable(network, image[None], cell.epsilon)[0])
        for cell, image in zip(cells, images, strict=True)
    ]
    assert unstable == sorted(unstable, reverse=True)
    assert len(set(unstable)) > 2


def test_a_finished_campaign_is_not_run_again(store: Path) -> None:
    before = table(store)
    with Store(store) as opened:
        finish_times = [row.finished for row in opened.rows()]
    run(small_spec(3), store)
    with Store(store) as opened:
        assert [row.finished for row in opened.rows()] == finish_times
        assert {row.attempts for row in opened.rows()} == {1}
    assert table(store) == before


def test_a_changed_spec_adds_its_cells_and_the_old_ones_stay(store: Path) -> None:
    before = table(store)
    run(small_spec(4), store)
    after = table(store)
    assert len(after) == 8
    assert after.items() >= before.items()


def test_an_undamaged_store_passes_its_check(store: Path) -> None:
    assert complaints(store) == []


TAMPERING: dict[str, Callable[[dict[str, Any]], Any]] = {
    "objective": lambda record: record["objective"] + 4,
    "bound": lambda record: record["objective"] - 4,
    "status": lambda record: "feasible",
    "flipped": lambda record: not record["flipped"],
    "wall_time": lambda record: 0.0,
    "epsilon": lambda record: 0.5,
    "target": lambda record: record["source"],
}


@pytest.mark.parametrize("key", TAMPERING)
def test_a_tampered_record_is_found(store: Path, key: str) -> None:
    with Store(store) as opened:
        row = list(opened.rows())[-1]
    record = json.loads(row.record or "")
    record[key] = TAMPERING[key](record)
    execute(store, "UPDATE results SET record = ? WHERE key = ?", json.dumps(record), row.key)
    found = complaints(store)
    assert any("checksum" in complaint for complaint in found)
    assert key == "wall_time" or len(found) > 1  # the replay finds it too


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE results SET levels = (SELECT levels FROM results WHERE key != ?1) ", "checksum"),
        ("UPDATE results SET levels = x'00' ", "cannot be replayed"),
        ("UPDATE results SET worker = 'elsewhere' ", "checksum"),
        ("UPDATE cells SET state = 'open' ", "its state is 'open'"),
        ("UPDATE cells SET definition = replace(definition, '0.002', '0.003') ", "of its key"),
        ("UPDATE cells SET definition = '{}' ", "cannot be read"),
        ("DELETE FROM results ", "its state is 'done'"),
    ],
)
def test_a_tampered_row_is_found(store: Path, statement: str, message: str) -> None:
    with Store(store) as opened:
        key = list(opened.rows())[-1].key
    execute(store, statement + "WHERE key = ?1", key)
    assert any(message in complaint for complaint in complaints(store))


def test_a_tampered_image_or_network_is_found(store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE images SET pixels = zeroblob(784) WHERE image = 1")
    assert len(complaints(store)) == 2
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE networks SET content = x'00'")
    assert any("network fashion-mnist-2x100" in complaint for complaint in complaints(store))


def test_the_check_command_names_the_cell_and_fails(
    store: Path,
    bnnopt_cli: Any,
) -> None:
    assert bnnopt_cli("campaign", "check", str(store))[:2] == (
        0,
        "6 results replayed: no mismatch\n",
    )
    execute(store, "UPDATE results SET seconds = 0 WHERE rowid = 2")
    code, out, _ = bnnopt_cli("campaign", "check", str(store))
    assert code == 1
    assert "cell " in out
    assert "6 results replayed: 1 mismatch\n" in out


@pytest.mark.parametrize(
    ("version", "remedy"), [(0, "the bnnopt that wrote it"), (9, "upgrade bnnopt")]
)
def test_a_store_of_another_version_says_why_not(store: Path, version: int, remedy: str) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(InputError, match=remedy):
        Store(store)


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database, " * 100)
    with pytest.raises(InputError, match="not a campaign store"):
        Store(other, create=True)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE something (x)")
    with pytest.raises(InputError, match="not a campaign store"):
        Store(tmp_path / "other.db", create=True)
    with pytest.raises(InputError, match="does not exist"):
        Store(tmp_path / "none")
    assert other.read_text().startswith("not a database")


def test_a_process_knows_itself_and_the_dead() -> None:
    me = identity()
    assert is_gone(me) is False
    scope, number, started = me.split(" ")
    assert is_gone(f"{scope} {number} {int(started) - 1}") is True
    assert is_gone(f"elsewhere {number} {started}") is None


def test_status_counts_and_export_writes_every_cell(
    store: Path,
    tmp_path: Path,
    bnnopt_cli: Any,
) -> None:
    code, out, _ = bnnopt_cli("campaign", "status", str(store), "--json")
    assert code == 0
    (attack,) = json.loads(out)["attacks"]
    assert (attack["attack"], attack["done"], attack["open"]) == ("milp", 6, 0)
    assert "0 cells unfinished" in bnnopt_cli("campaign", "status", str(store))[1]
    pandas = pytest.importorskip("pandas")
    sheet, frame = tmp_path / "cells.csv", tmp_path / "cells.parquet"
    for file in (sheet, frame):
        assert bnnopt_cli("campaign", "export", str(store), "--out", str(file))[0] == 0
    with sheet.open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(pandas.read_parquet(frame)) == 6
    by_key = table(store)
    assert all(row["objective"] == by_key[row["key"]][3] for row in rows)
    assert bnnopt_cli("campaign", "export", str(store), "--out", "cells.xls")[0] == 2


def test_one_of_anything_is_no_plural(tmp_path: Path, bnnopt_cli: Any) -> None:
    pytest.importorskip("pandas")
    spec, store = spec_file(tmp_path, 1), str(tmp_path / "store")
    spec.write_text(spec.read_text().replace("[0.0, 0.002]", "[0.0]"))
    said = bnnopt_cli("campaign", "run", str(spec), "--dry-run")[1]
    assert "\n1 cell, at most 0.0 hours of work: 0.0 hours on 1 worker\n" in said
    assert bnnopt_cli("campaign", "run", str(spec), "--store", store)[1].startswith(
        "1 cell: 1 done"
    )
    assert "0 cells unfinished; 0 runners alive" in bnnopt_cli("campaign", "status", store)[1]
    assert bnnopt_cli("campaign", "check", store)[1] == "1 result replayed: no mismatch\n"
    sheet = str(tmp_path / "cells.csv")
    assert bnnopt_cli("campaign", "export", store, "--out", sheet)[1] == f"{sheet}: 1 row\n"


def test_dry_run_counts_cells_and_hours_and_writes_nothing(
    tmp_path: Path,
    bnnopt_cli: Any,
) -> None:
    spec = spec_file(tmp_path, 100)
    code, out, _ = bnnopt_cli("campaign", "run", str(spec), "--dry-run", "--workers", "2")
    assert code == 0
    assert "200 cells, at most 3.3 hours of work: 1.7 hours on 2 workers" in out
    assert list(tmp_path.iterdir()) == [spec]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--store is missing"),
        (("--store", "s", "--workers", "0"), "--workers must be at least 1"),
        (("--store", "s", "--workers", "2", "--scheduler", "tcp://h:1"), "exclude each other"),
        (("--store", "/nowhere/s"), "does not exist"),
    ],
)
def test_a_mistaken_command_is_bad_input(
    tmp_path: Path,
    bnnopt_cli: Any,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    code, _, err = bnnopt_cli("campaign", "run", str(spec_file(tmp_path)), *arguments)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_what_a_failed_attack_has_found_is_stored_and_replaced_by_a_result(tmp_path: Path) -> None:
    spec, path = small_spec(1), tmp_path / "store"
    run(spec, tmp_path / "whole")
    with Store(tmp_path / "whole") as whole:
        row = next(row for row in whole.rows() if row.record)
    assert row.record is not None
    record = json.loads(row.record) | {"status": "error", "message": "the solver failed"}
    failed = Outcome(record, row.levels or b"", 1.0, "here:1", 0, "the solver failed")
    with Store(path, create=True) as store:
        images = {"fashion-mnist": datasets.for_indices("fashion-mnist", spec.images)}
        store.add(spec, spec.cells(), images)
        store.enter({})
        assert store.claim(row.key)
        store.fail(row.key, failed)
        (kept,) = (other for other in store.rows() if other.key == row.key)
        assert (kept.state, kept.error) == ("failed", "the solver failed")
        assert json.loads(kept.record or "") == record
        store.leave()
    assert not complaints(path)
    run(spec, path)  # another chance
    assert table(path) == table(tmp_path / "whole")


def test_a_cell_of_the_first_edition_keeps_its_key_and_means_that_ties_are_no_flips() -> None:
    definition = (
        '{"dataset":"fashion-mnist","domain":"continuous","epsilon":0.002,"formulation":"tight",'
        '"goal":"margin","image":0,"method":"milp","network":"0","options":{},"seed":0,'
        '"solver":"highs","start":"none","target":"runner-up","threads":1,"time_limit":20.0}'
    )
    cell = Cell.from_definition(definition)
    assert (cell.ties, cell.effort) == ("never", None)
    assert cell.definition == definition
    assert cell.key == hashlib.sha256(definition.encode()).hexdigest()
    others = [replace(cell, ties="lowest"), replace(cell, ties="always"), replace(cell, effort=5)]
    assert len({other.key for other in (cell, *others)}) == 4
    assert all(Cell.from_definition(other.definition) == other for other in others)


def test_a_campaign_of_verdicts_certifies_what_verify_does(tmp_path: Path, bnnopt_cli: Any) -> None:
    spec = tmp_path / "verdicts.toml"
    spec.write_text(
        'networks = ["fashion-mnist-2x100"]\nimages = "0:12"\nepsilons = [0.005]\n'
        'target = 3\ntime_limit = 60\n\n[[methods]]\nmethod = "verify"\n'
    )
    store = tmp_path / "store"
    assert bnnopt_cli("campaign", "run", str(spec), "--store", str(store))[0] == 0
    data = bnnopt.datasets.embedded()
    report = bnnopt.certify_images(
        "fashion-mnist-2x100", data.x(slice(12)), 0.005, labels=data.labels[:12].tolist()
    )
    code, out, _ = bnnopt_cli("campaign", "status", str(store), "--json")
    assert code == 0
    (found,) = json.loads(out)["attacks"]
    assert found["attack"] == "verify"
    assert (found["robust"], found["flipped"]) == (report.robust, report.vulnerable)
    assert report.certified_accuracy is not None
    assert found["certified"] == round(report.certified_accuracy * 12)
    assert "verify: certified " in bnnopt_cli("campaign", "status", str(store))[1]
    assert bnnopt_cli("campaign", "check", str(store))[0] == 0

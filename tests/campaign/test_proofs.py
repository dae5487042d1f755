"""Proofs of campaigns are kept, checked with all else, and handed on with what checks them."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt.campaign.cell import Cell
from bnnopt.campaign.check import check_store
from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.proofs import proof_of
from bnnopt.campaign.runner import run_campaign
from bnnopt.campaign.spec import parse_spec
from bnnopt.campaign.store import Store
from bnnopt.errors import InputError
from bnnopt.instance import AttackInstance

SPEC = """
networks = ["fashion-mnist-2x100"]
images = "1,4"
epsilons = [0.005]

[[methods]]
method = "verify"
proof = true

[[methods]]
method = "bab"
proof = true

[[methods]]
name = "unproved"
method = "bab"
effort = 1
proof = true

[[methods]]
name = "not asked"
method = "bab"
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("proofs") / "store.db"
    with Store(path, create=True) as store:
        run_campaign(parse_spec(SPEC), store, LocalWorkers(1))
    return path


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy."""
    copy = tmp_path / "copy.db"
    with sqlite3.connect(finished) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    return copy


def said(path: Path) -> dict[tuple[str, int], Any]:
    with Store(path) as opened:
        rows = {row.attack: row for row in opened.rows()}
        assert set(rows) == {"verify", "bab", "unproved", "not asked"}
        return {
            (row.attack, record["image"]): record["proof"]
            for row in opened.rows()
            for record in [json.loads(row.record or "")]
        }


def complaints(path: Path) -> list[str]:
    with Store(path) as opened:
        return [complaint for _, found in check_store(opened) for complaint in found]


def execute(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)


def test_a_result_names_its_proof_or_says_why_it_has_none(store: Path) -> None:
    found = said(store)
    assert all(
        found[attack, image].startswith("sha256:")
        for attack in ("verify", "bab")
        for image in (1, 4)
    )
    assert found["unproved", 4].startswith("none: the goal margin is feasible")
    assert found["not asked", 4] is None
    with sqlite3.connect(store) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    assert complaints(store) == []


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("DELETE FROM proofs", "its proof is lost"),
        ("UPDATE proofs SET content = x'00'", "its proof is not the one that was stored"),
        ("UPDATE proofs SET content = 'text'", "is not as it was stored"),
    ],
)
def test_a_proof_that_was_changed_is_found(store: Path, statement: str, complaint: str) -> None:
    execute(store, statement)
    found = complaints(store)
    assert len(found) == 4
    assert all(complaint in text for text in found)


def test_a_good_proof_of_another_question_is_found(store: Path) -> None:
    from bnnopt.campaign.proofs import complaints_about

    with Store(store) as opened:
        rows = {(row.attack, json.loads(row.record or "")["image"]): row for row in opened.rows()}

        def against(proof: tuple[str, int], record: tuple[str, int], **changes: Any) -> list[str]:
            """Complaints about a proof beside another cell's record, which names it."""
            row = rows[record]
            cell = Cell.from_definition(row.definition)
            x, _ = opened.image(cell)
            named = json.loads(rows[proof].record or "")["proof"]
            text = json.loads(row.record or "") | {"proof": named} | changes
            instance = cell.instance(opened.network(cell.network), x)
            content = opened.proof(rows[proof].key)
            assert content is not None
            return list(complaints_about(content, instance, x, text))

        assert against(("bab", 4), ("bab", 4)) == []
        assert "about another image" in against(("bab", 1), ("bab", 4))[0]
        assert "another question" in against(("verify", 4), ("bab", 4))[0]
        (bound,) = against(("bab", 4), ("bab", 4), bound=-1000.0)
        assert "not -1000.0" in bound
        (claim,) = against(("verify", 4), ("verify", 4), status="infeasible")
        assert claim == "its proof claims 'flip', not 'robust'"


def test_exported_proofs_are_checked_by_python_alone(
    store: Path, tmp_path: Path, bnnopt_cli: Any
) -> None:
    folder = tmp_path / "handed on"
    code, out, _ = bnnopt_cli("campaign", "proofs", str(store), "--out", str(folder))
    assert (code, out) == (0, f"{folder}: 4 proofs\n")
    with open(folder / "proofs.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4
    for row in rows:
        files = [row["network"], row["image"], row["proof"]]
        ran = subprocess.run(
            [sys.executable, "-I", "check.py", *files],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.startswith("proved: ")


def test_a_store_without_proofs_has_none_to_export(tmp_path: Path, bnnopt_cli: Any) -> None:
    Store(tmp_path / "empty.db", create=True).__exit__()
    code, out, _ = bnnopt_cli(
        "campaign", "proofs", str(tmp_path / "empty.db"), "--out", str(tmp_path / "out")
    )
    assert code == 0
    assert out.endswith(": 0 proofs\n")


def test_a_proof_has_its_own_time() -> None:
    network, images = bnnopt.load_network("fashion-mnist-2x100"), bnnopt.datasets.embedded()
    instance = AttackInstance(network, images.x(4), 0.005)
    result = bnnopt.attack(network, images.x(4), 0.005)
    named, content = proof_of(instance, result, 0.0)
    assert (named.proof, content) == ("none: its proof took more than 0 s", b"")
    named, content = proof_of(instance, result, 60.0)
    assert named.proof is not None
    assert named.proof.startswith("sha256:")
    assert np.array_equal(named.adversarial, result.adversarial)
    assert content


def test_whether_a_proof_is_wanted_is_true_or_false() -> None:
    with pytest.raises(InputError, match="proof must be true or false"):
        parse_spec(SPEC.replace("proof = true", 'proof = "yes"'))

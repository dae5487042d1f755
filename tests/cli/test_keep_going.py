"""Many images: one that fails ends no other."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from bnnopt import api
from bnnopt.errors import SolverFailureError

NETWORK = "fashion-mnist-2x100"


@pytest.fixture
def third_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    attack, calls = api.attack, [0]

    def flaky(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise SolverFailureError("the solver failed on this image")
        return attack(*arguments, **options)

    monkeypatch.setattr(api, "attack", flaky)
    monkeypatch.setattr(sys.modules["bnnopt.certify"], "attack", flaky)


@pytest.mark.usefixtures("third_fails")
def test_attack_goes_on_past_an_image_that_fails_and_exits_1(
    bnnopt_cli: Any, tmp_path: Path
) -> None:
    lines, figure = tmp_path / "out.jsonl", tmp_path / "out.png"
    arguments = ("--images", "0:5", "--epsilon", "0.002", "--json", str(lines))
    code, out, err = bnnopt_cli("attack", NETWORK, *arguments, "--figure", str(figure))
    assert code == 1
    images = [json.loads(line)["image"] for line in lines.read_text().splitlines()]
    assert images == [0, 1, 3, 4]
    assert "4 attacks" in out
    assert figure.exists()
    assert "bnnopt: image 2: the solver failed on this image" in err


def test_a_target_that_one_image_has_already_ends_no_other(bnnopt_cli: Any) -> None:
    # Images 4 and 7 show class 6.
    arguments = ("--images", "1,4,7,8", "--epsilon", "0.002", "--target", "6")
    code, out, err = bnnopt_cli("attack", NETWORK, *arguments)
    assert code == 1
    assert "2 attacks" in out
    assert "image 4: target 6 is already the prediction" in err


def test_a_question_that_is_wrong_for_every_image_is_one_line(bnnopt_cli: Any) -> None:
    code, out, err = bnnopt_cli("attack", NETWORK, "--images", "0:3", "--max-pixels", "-3")
    assert (code, out) == (2, "")
    (line,) = err.strip().splitlines()
    assert line == "bnnopt: max_pixels must be a whole number, at least 0, not -3"


@pytest.mark.usefixtures("third_fails")
def test_verify_goes_on_past_an_image_that_fails_and_exits_1(
    bnnopt_cli: Any, tmp_path: Path
) -> None:
    lines = tmp_path / "out.jsonl"
    arguments = ("--images", "4,8,1", "--epsilon", "0.005", "--json", str(lines))
    code, out, err = bnnopt_cli("verify", NETWORK, *arguments)
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert code == 1
    assert [record["image"] for record in records] == [4, 8]
    assert "image 1: the solver failed on this image" in err
    assert "2 images: 1 robust, 1 vulnerable, 0 unknown" in out


def test_epsilon_is_taken_as_a_quotient_and_recorded_as_what_it_is(
    bnnopt_cli: Any, tmp_path: Path
) -> None:
    lines = tmp_path / "out.jsonl"
    arguments = ("--images", "1", "--epsilon", "1/255", "--domain", "pixels", "--json", str(lines))
    code, _, _ = bnnopt_cli("attack", NETWORK, *arguments)
    assert code == 0
    record = json.loads(lines.read_text())
    assert record["epsilon"] == 1 / 255
    assert record["distances"]["linf"] == 1 / 255


def test_a_table_shows_the_value_and_the_bound_of_each_stage_and_nothing_where_there_is_none(
    bnnopt_cli: Any,
) -> None:
    arguments = ("--images", "4", "--epsilon", "0.05", "--domain", "pixels", "--max-pixels", "60")
    code, out, _ = bnnopt_cli("attack", NETWORK, *arguments, "--goal", "l0,linf", "--effort", "60")
    head, _, row = out.splitlines()[:3]
    assert code == 0
    assert [name for name in re.split(r"\s{2,}", head) if name[:2] in ("l0", "l1", "li")] == [
        "l0",
        "l0 at least",
        "linf",
        "linf at least",
        "l1",
    ]
    assert len(re.split(r"\s{2,}", row.strip())) > 8
    none = ("--images", "1", "--epsilon", "0.004", "--goal", "l1")
    code, out, _ = bnnopt_cli("attack", NETWORK, *none)
    assert code == 0
    assert "infeasible" in out
    assert "1 proved impossible" in out

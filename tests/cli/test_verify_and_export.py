from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import highspy
import pytest


def test_verify_prints_verdicts_and_writes_json(
    bnnopt_cli: Any,
    tmp_path: Path,
) -> None:
    lines = tmp_path / "verdicts.jsonl"
    code, out, _ = bnnopt_cli(
        "verify",
        "fashion-mnist-2x100",
        *("--images", "1,4", "--epsilon", "0.005", "--json", str(lines)),
    )
    assert code == 0
    assert "2 images: 1 robust, 1 vulnerable, 0 unknown" in out
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record["verdict"] for record in records] == ["robust", "vulnerable"]


def test_verify_bisects(bnnopt_cli: Any) -> None:
    code, out, _ = bnnopt_cli(
        "verify",
        "fashion-mnist-2x100",
        *("--images", "4", "--epsilon", "0.004", "--bisect", "--domain", "pixels"),
    )
    assert code == 0
    assert "certified" in out


@pytest.mark.parametrize("ending", ["lp", "mps"])
@pytest.mark.parametrize("formulation", ["tight", "paper"])
def test_an_exported_model_has_the_papers_names_and_another_reader_finds_the_same_optimum(
    bnnopt_cli: Any,
    tmp_path: Path,
    ending: str,
    formulation: str,
) -> None:
    path = tmp_path / f"a model.{ending}"
    arguments = ("fashion-mnist-2x100", "--image", "1", "--epsilon", "0.002")
    code, out, _ = bnnopt_cli(
        "export", *arguments, "--formulation", formulation, "--out", str(path)
    )
    assert code == 0
    assert "stable neurons by layer" in out
    text = path.read_text()
    assert "image 1 of fashion-mnist" in text.splitlines()[2]
    assert " p783 " in text
    assert " h1_" in text
    assert " on_1_" in text
    assert (" a2_0 " in text) == (formulation == "paper")
    reader = highspy.Highs()
    reader.silent()
    assert reader.readModel(str(path)) == highspy.HighsStatus.kOk
    reader.run()
    code, out, _ = bnnopt_cli(
        "attack",
        "fashion-mnist-2x100",
        *("--images", "1", "--epsilon", "0.002", "--json", "-"),
    )
    objective = json.loads(out.splitlines()[0])["objective"]
    assert abs(abs(reader.getInfo().objective_function_value) - abs(objective)) < 1e-4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("export", "fashion-mnist-2x100", "--out", "model.txt"), ".lp, .mps or .vnnlib"),
        (("export", "fashion-mnist-2x100", "--out", "/nowhere/m.lp"), "does not exist"),
        (("export", "fashion-mnist-2x100", "--image", "0:2", "--out", "m.lp"), "one index"),
        (("verify", "fashion-mnist-2x100", "--region", "5"), "2 ranges"),
        (("verify", "fashion-mnist-2x100", "--region", "5:40,1:2"), "does not lie"),
        (("attack", "fashion-mnist-2x100", "--goal", "l7"), "unknown goal"),
        (("attack", "fashion-mnist-2x100", "--direction", "up"), "unknown direction"),
        (("attack", "fashion-mnist-2x100", "--max-pixels", "-3"), "max_pixels"),
        (("attack", "fashion-mnist-2x100", "--formulation", "loose"), "unknown formulation"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    bnnopt_cli: Any,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    code, _, err = bnnopt_cli(*arguments)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_attack_shows_distances_and_model_sizes(bnnopt_cli: Any) -> None:
    code, out, _ = bnnopt_cli(
        "attack",
        "fashion-mnist-2x100",
        *("--images", "4", "--epsilon", "0.02", "--region", "12:16,12:16", "--verbose"),
        *("--goal", "margin,l1", "--max-pixels", "8", "--time-limit", "60"),
    )
    assert code == 0
    assert '"rows"' in out
    assert "l1" in out

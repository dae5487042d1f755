"""``bnnopt vnnlib`` and ``bnnopt export --out FILE.vnnlib``, as a user calls them."""

from __future__ import annotations

import gzip
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from bnnopt.exchange.vnnlib import Case, Difference, read_vnnlib
from tests.exchange.tiny_onnx import tiny_onnx, tiny_spec

BOX = (Fraction(0),) * 3, (Fraction(1),) * 3
ALWAYS, NEVER = Difference(0, 0, Fraction(0), False), Difference(0, 1, Fraction(99), False)


@pytest.mark.parametrize("packed", [False, True])
def test_the_verdict_is_the_first_line_and_the_counterexample_follows(
    bnnopt_cli: Any, tmp_path: Path, packed: bool
) -> None:
    def write(name: str, content: bytes) -> None:
        path = tmp_path / f"{name}{'.gz' * packed}"
        path.write_bytes(gzip.compress(content) if packed else content)

    write("net.onnx", tiny_onnx(0))
    for difference, verdict in ((ALWAYS, "sat"), (NEVER, "unsat")):
        write("spec.vnnlib", tiny_spec(Case(*BOX, ((difference,),)), 3).encode())
        # The names of a list, which are without .gz.
        files = str(tmp_path / "net.onnx"), str(tmp_path / "spec.vnnlib")
        code, out, err = bnnopt_cli("vnnlib", *files, "--time-limit", "60")
        lines = out.splitlines()
        assert (code, err, lines[0]) == (0, "", verdict)
        assert len(lines) == (7 if verdict == "sat" else 1)


def test_what_is_not_served_is_one_line_and_exit_code_2(bnnopt_cli: Any, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(tiny_onnx(0))
    (tmp_path / "spec.vnnlib").write_text("(assert (>= Y_0 0))")
    files = str(tmp_path / "net.onnx"), str(tmp_path / "spec.vnnlib")
    code, out, err = bnnopt_cli("vnnlib", *files)
    assert (code, out) == (2, "")
    assert "spec.vnnlib" in err
    assert len(err.splitlines()) == 1
    code, _, err = bnnopt_cli("vnnlib", "nowhere.onnx", "nowhere.vnnlib")
    assert code == 2
    assert "nowhere.vnnlib" in err


def test_an_exported_property_asks_for_the_flips(bnnopt_cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "robust.vnnlib"
    options = ("--epsilon", "0.01", "--target", "untargeted", "--out", str(path))
    code, out, _ = bnnopt_cli("export", "fashion-mnist-2x100", *options)
    assert code == 0
    assert "784 inputs, 9 classes" in out
    (case,) = read_vnnlib(path).cases
    assert max(b - a for a, b in zip(case.low, case.high, strict=True)) == pytest.approx(0.02)
    assert len(case.choices) == 9

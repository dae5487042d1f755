"""The checker accepts what holds, says what it has proved, and rejects everything else."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import bnnopt
from bnnopt.proof import check, writing
from tests.helpers import random_network
from tests.kinds import FIRST, HEADS, network_of
from tests.proof import cases

CHECKER = Path(check.__file__)

options = st.fixed_dictionaries(
    {
        "epsilon": st.sampled_from(["1/7", "2/7", "0.3", "0"]),
        "domain": st.sampled_from(["continuous", "pixels"]),
        "direction": st.sampled_from(["both", "lighten", "darken"]),
        "goal": st.sampled_from(["margin", "flip"]),
        "target": st.sampled_from(["runner-up", "untargeted"]),
        "ties": st.sampled_from(["lowest", "never", "always"]),
        "max_l1": st.sampled_from([None, None, "1/7", "1/2"]),
    }
)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    first=st.sampled_from(FIRST),
    deeper=st.sampled_from(
        [(), ("dense",), ("ternary",), ("dense", "pool"), ("copies", "convolution")]
    ),
    head=st.sampled_from(HEADS),
    options=options,
)
def test_what_is_proved_holds_by_enumeration(seed, first, deeper, head, options) -> None:
    network = network_of(seed, first, deeper, head)
    rng = np.random.default_rng(seed)
    image = rng.integers(0, network.levels + 1, network.num_inputs) / network.levels
    lines = cases.proof_of(network, image, **options)
    if lines is not None:
        assert cases.checked(network, image, lines)
        assert cases.is_true(network, image, cases.header(lines))


def test_the_checker_needs_nothing_but_python(tmp_path: Path) -> None:
    network, image = network_of(3), np.array([3, 1, 2, 0])
    image = image[: network.num_inputs] / network.levels
    network.save(tmp_path / "net.npz")
    np.save(tmp_path / "image.npy", image)
    result = bnnopt.attack(network, image, "1/7", proof=tmp_path / "proof")
    assert result.proof == str(tmp_path / "proof")
    command = [sys.executable, "-I", "-S", str(CHECKER), "net.npz", "image.npy", "proof"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("proved: no continuous image within 1/7 of this one")
    (tmp_path / "proof").write_bytes((tmp_path / "proof").read_bytes()[:-9])
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1 and run.stderr.startswith("rejected: line")


def test_the_checker_is_short_and_imports_the_standard_library_only() -> None:
    text = CHECKER.read_text()
    assert len(text.splitlines()) <= 400
    modules = {line.split()[1] for line in text.splitlines() if line.startswith(("import", "from"))}
    assert {name.split(".")[0] for name in modules} <= sys.stdlib_module_names


def test_a_proof_that_is_interrupted_leaves_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "write_proof", interrupt)
    image = bnnopt.datasets.embedded().x(1)
    result = bnnopt.attack("fashion-mnist-2x100", image, "0.001", proof=tmp_path / "proof")
    assert result.status == "optimal" and result.interrupted
    assert result.proof == "none: interrupted" and not (tmp_path / "proof").exists()


@settings(max_examples=200, deadline=None)
@given(
    levels=st.sampled_from([1, 2, 100, 255, 256, 65536]),
    near=st.integers(0, 65536),
    steps=st.integers(-3, 3),
)
@example(levels=255, near=77, steps=1)
@example(levels=255, near=77, steps=2)
@example(levels=255, near=254, steps=-1)
@example(levels=65536, near=1001, steps=1)
def test_the_checker_reads_float32_as_the_package_does(levels: int, near: int, steps: int) -> None:
    bits = np.float32(min(near, levels) / levels).view(np.int32) + np.int32(steps)
    pixels = np.array([bits], dtype=np.int32).view(np.float32)
    assume(0.0 <= pixels[0] <= 1.0)
    about = {"epsilon": "1/5", "domain": "continuous", "direction": "both", "fixed": [], "l1": None}
    network = random_network(3, inputs=1, levels=levels)
    known = check.Network(io.BytesIO(network.to_bytes()))
    box = check.Box(known, cases.npy(pixels), about)
    instance = bnnopt.AttackInstance(network, pixels, "1/5")
    assert box.image == [int(x * 2**20) for x in instance.levels]
    assert box.low == [int(x * 2**20) for x in instance.box[0]]
    assert box.high == [int(x * 2**20) for x in instance.box[1]]


def test_equal_proofs_are_equal_files(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = network_of(3), np.array([3, 1, 2, 0])
    image = image[: network.num_inputs] / network.levels
    instance, result = cases.solved(network, image, epsilon="1/7")
    content = writing.proof_content(instance, result)
    monkeypatch.setattr("time.time", lambda: 10.0**9)
    assert writing.proof_content(instance, result) == content
    assert gzip.decompress(content).decode().splitlines() == list(
        writing.proof_lines(instance, result)
    )


def test_what_is_about_something_else_is_rejected() -> None:
    network = network_of(3)
    image = np.array([3, 1, 2, 0])[: network.num_inputs] / network.levels
    lines = cases.proof_of(network, image, epsilon="1/7")
    assert lines is not None and cases.checked(network, image, lines)
    for changes, why in (
        ({"format": "bnnopt proof 2"}, "another version"),
        ({"network": "0" * 64}, "another network"),
        ({"image": "0" * 64}, "another image"),
    ):
        with pytest.raises(check.Rejected, match=why):
            cases.checked(network, image, cases.with_header(lines, **changes))
    for left in (lines[:-1], [*lines, "end"], [*lines[:-1], "", "end"], [*lines, ""]):
        with pytest.raises(check.Rejected):
            cases.checked(network, image, left)

"""A script of continuous integration that gates on the certified accuracy of a colour network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bnnopt
from tests.own_images import images_for, network_of_images, saved

SCRIPT = """
set -e
"$PYTHON" -m bnnopt verify net.npz --data own.npz --images : --epsilon {epsilon} --fail-under 0.6
echo released
"""


def gate(folder: Path, epsilon: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", SCRIPT.format(epsilon=epsilon)],
        cwd=folder,
        env=os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("wrong", [0, 3])
def test_a_release_is_stopped_by_its_certified_accuracy(wrong: int, tmp_path: Path) -> None:
    network = network_of_images(255, (3, 4, 4))
    saved(tmp_path, network, 6, wrong=wrong)
    images, labels = images_for(network, 6, wrong=wrong)
    passed = stopped = 0
    for epsilon in ("0", "64/255"):
        accuracy = bnnopt.certify_images(
            network, images, epsilon, labels=labels.tolist()
        ).certified_accuracy
        assert accuracy is not None
        done = gate(tmp_path, epsilon)
        if accuracy >= 0.6:
            assert done.returncode == 0, done.stderr
            assert done.stdout.endswith("released\n")
            passed += 1
        else:
            assert done.returncode == 3, done.stderr
            assert "released" not in done.stdout
            assert "certified accuracy is below 0.6" in done.stderr
            stopped += 1
    # Unchanged images pass exactly if enough are classified right; with wide boxes none does.
    assert (passed, stopped) == ((1, 1) if wrong == 0 else (0, 2))

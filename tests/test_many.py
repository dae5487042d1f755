"""Many images in one call: the same results as one by one, kept whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnnopt
from bnnopt import Robustness, certify
from bnnopt.errors import InputError, UnknownNameError
from tests.helpers import random_network

NAME = "fashion-mnist-2x100"


def images(count: int) -> Any:
    return bnnopt.datasets.embedded().x(slice(0, count))


def labels(count: int) -> list[int]:
    return bnnopt.datasets.embedded().labels[:count].tolist()


@pytest.mark.parametrize("workers", [1, 2])
def test_verdicts_of_many_images_are_those_of_each(workers: int) -> None:
    report = bnnopt.certify_images(NAME, images(6), 0.005, labels=labels(6), workers=workers)
    assert [c.image for c in report] == list(range(6))
    for number, certificate in enumerate(report):
        assert certificate.verdict is certify(NAME, images(6)[number], 0.005).verdict
    assert report.robust + report.vulnerable + report.unknown == len(report) == 6
    right = [c for c in report if c.label == c.source]
    assert report.clean_accuracy == len(right) / 6
    robust = [c for c in right if c.verdict is Robustness.ROBUST]
    assert report.certified_accuracy == len(robust) / 6


@pytest.mark.parametrize("method", ["bab", "pattern", "fgsm"])
def test_attacks_on_many_images_are_those_on_each(method: str) -> None:
    given: dict[str, Any] = {"time_limit": 2.0, "effort": 3}
    report = bnnopt.attack_images(NAME, images(3), 0.002, method=method, indices=[7, 5, 9], **given)
    alone = [bnnopt.attack(NAME, image, 0.002, method=method, **given) for image in images(3)]
    assert [r.image for r in report] == [7, 5, 9]
    assert [r.objective for r in report] == [r.objective for r in alone]


def test_a_misclassified_robust_image_is_not_certified() -> None:
    network = random_network(np.random.default_rng(0), 4, (3,), 2)
    image = np.full((1, 4), 0.5)
    wrong = 1 - network.predict(image[0])
    report = bnnopt.certify_images(network, image, 0.0, labels=[wrong])
    assert (report.robust, report.clean_accuracy, report.certified_accuracy) == (1, 0.0, 0.0)
    assert bnnopt.certify_images(network, image, 0.0).certified_accuracy is None


def test_a_report_prints_saves_and_becomes_a_table(tmp_path: Path) -> None:
    report = bnnopt.attack_images(NAME, images(5), 0.005, labels=labels(5), time_limit=5.0)
    assert "5 attacks" in str(report)
    assert str(report).count("\n") >= 7
    html = report._repr_html_()
    assert html.count("<tr>") == 6
    report.save(tmp_path / "r.jsonl")
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert records == json.loads(json.dumps([r.as_dict() for r in report]))
    assert report.to_frame()["objective"].tolist() == [r.objective for r in report]
    report.save(tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text().count("\n") == 6
    report.save(tmp_path / "r.npz")
    own = bnnopt.datasets.read_images(tmp_path / "r.npz")
    flipped = [r for r in report if r.flipped]
    assert flipped
    assert own.labels is not None
    assert own.labels.tolist() == [r.label for r in flipped]
    network = bnnopt.load_network(NAME)
    assert network.predict(own.x()).tolist() == [r.prediction for r in flipped]
    with pytest.raises(InputError, match=r"\.jsonl, \.csv, \.npz"):
        report.save(tmp_path / "r.pkl")


def test_names_in_html_are_escaped() -> None:
    from bnnopt.tables import html_table

    assert "<b>" not in html_table([{"<b>": "<b>"}], "<b>")


def test_shares_are_rounded_down() -> None:
    from bnnopt.tables import percent

    assert (percent(2, 3), percent(1999, 2000), percent(1, 1)) == ("66.6 %", "99.95 %", "100.0 %")


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(UnknownNameError, match="epsylon"):
        bnnopt.certify_images(NAME, images(1), epsylon=0.1)


def test_ctrl_c_keeps_what_is_finished() -> None:
    slow: dict[str, Any] = {"method": "milp", "formulation": "paper"}  # minutes an image
    bnnopt.attack(NAME, images(1)[0], 0.05, time_limit=0.1, **slow)  # imports it all
    timer = threading.Timer(3.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    report = bnnopt.attack_images(NAME, images(4), 0.05, time_limit=600.0, **slow)
    timer.join()
    assert report.interrupted
    assert 1 <= len(report) < 4
    assert report[-1].interrupted
    assert all(result.verified for result in report)


def test_a_script_needs_no_guard_for_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import bnnopt\n"
        "print('begins')\n"
        "data = bnnopt.datasets.embedded()\n"
        f"report = bnnopt.certify_images({NAME!r}, data.x(slice(0, 4)), 0.001, workers=2)\n"
        "print(len(report))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.stdout, done.returncode) == ("begins\n4\n", 0), done.stderr

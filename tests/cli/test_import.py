"""Networks and images of other programs, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnnopt
import bnnopt.errors

NAME = "fashion-mnist-2x100"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "net.onnx"
    bnnopt.to_onnx(bnnopt.load_network(NAME), path)
    return str(path)


@pytest.fixture
def images(tmp_path: Path) -> str:
    data = bnnopt.datasets.embedded()
    path = tmp_path / "own.npz"
    np.savez(path, images=data.images[:12], labels=data.labels[:12])
    return str(path)


def test_an_imported_network_is_the_file_s_and_knows_its_accuracy(
    file: str, images: str, tmp_path: Path, bnnopt_cli: Any
) -> None:
    out = tmp_path / "net.npz"
    arguments = (file, "--out", str(out), "--data", images, "--check", "20", "--name", "mine")
    code, said, _ = bnnopt_cli("import", *arguments)
    assert code == 0
    assert "200 neurons are those of the file on 20 images" in said
    network = bnnopt.load_network(out)
    data = bnnopt.datasets.embedded()
    right = int((network.predict(data.x(slice(12))) == data.labels[:12]).sum())
    assert f"{right} of 12 images" in said
    assert (network.name, network.accuracy) == ("mine", right / 12)
    assert np.array_equal(network.logits(data.x()), bnnopt.load_network(NAME).logits(data.x()))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_file_and_own_images_are_verified_as_they_are(
    file: str, images: str, workers: str, bnnopt_cli: Any
) -> None:
    question = ("--data", images, "--images", "0:6", "--epsilon", "0.005", "--json", "-")
    code, said, table = bnnopt_cli("verify", file, *question, "--workers", workers)
    assert code == 0
    records = sorted((json.loads(line) for line in said.splitlines()), key=lambda r: r["image"])
    data = bnnopt.datasets.embedded()
    report = bnnopt.certify_images(NAME, data.x(slice(6)), 0.005, labels=data.labels[:6].tolist())
    assert [r["verdict"] for r in records] == [c.verdict.value for c in report]
    assert [r["label"] for r in records] == data.labels[:6].tolist()
    assert report.summary in table


def test_verify_fails_under_an_accuracy_and_saves_what_it_found(
    file: str, images: str, tmp_path: Path, bnnopt_cli: Any
) -> None:
    saved = tmp_path / "found.npz"
    question = ("--data", images, "--images", "0:6", "--epsilon", "0.005")
    options = ("--fail-under", "0.99", "--save-images", str(saved))
    code, _, err = bnnopt_cli("verify", file, *question, *options)
    assert code == 3
    assert "certified accuracy is below 0.99" in err
    found = bnnopt.datasets.read_images(saved)
    assert len(found) >= 1
    assert found.labels is not None
    assert (bnnopt.load_network(NAME).predict(found.x()) != found.labels).all()
    assert bnnopt_cli("verify", file, *question, "--fail-under", "0.1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("verify", "FILE"), "give images with --data"),
        (("import", "FILE", "--out", "net.bin"), "must end in .npz"),
        (("import", "net.pt", "--out", "net.npz"), "bnnopt.from_torch and bnnopt.from_state_dict"),
        (("import", "FILE", "--out", "net.npz", "--input-range", "0"), "takes two numbers"),
        (("attack", NAME, "--input-range", "0,255"), "only for files of other programs"),
        (("attack", "FILE", "--data", "none.npz"), "none.npz does not exist"),
    ],
)
def test_a_wrong_question_is_answered_in_one_line(
    file: str, arguments: tuple[str, ...], says: str, bnnopt_cli: Any
) -> None:
    given = [file if argument == "FILE" else argument for argument in arguments]
    code, _, err = bnnopt_cli(*given)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"pictures": np.zeros((2, 4))}, "no array 'images'"),
        ({"images": np.zeros(4)}, "has the shape"),
        ({"images": np.zeros((2, 4)), "labels": np.zeros(3)}, "2 class numbers"),
        ({"images": np.zeros((2, 4)), "labels": np.array([0.5, 1])}, "2 class numbers"),
        ({"images": np.array([["a"], ["b"]])}, "not an .npz file of images"),
    ],
)
def test_a_file_of_images_that_is_none_says_why(
    arrays: dict[str, Any], says: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(bnnopt.errors.InputError, match=says):
        bnnopt.datasets.read_images(tmp_path / "own.npz")

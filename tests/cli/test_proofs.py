"""``--proof`` and ``check-proof``: one file an image, and exit codes that say what holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnnopt

NETWORK, TIGHT = "fashion-mnist-2x100", ("--epsilon", "0.003")


@pytest.mark.parametrize(("command", "said"), [("attack", "a margin above"), ("verify", "flips")])
def test_proofs_that_are_written_hold_for_their_image_only(
    bnnopt_cli: Any, tmp_path: Path, command: str, said: str
) -> None:
    name = str(tmp_path / "proof-{}.gz")
    code, out, _ = bnnopt_cli(command, NETWORK, "--images", "1,4", *TIGHT, "--proof", name)
    assert code == 0
    assert f"image 4: proof {tmp_path / 'proof-4.gz'}" in out
    code, out, _ = bnnopt_cli("check-proof", NETWORK, "4", str(tmp_path / "proof-4.gz"))
    assert code == 0 and out.startswith("proved: ") and said in out
    code, _, err = bnnopt_cli("check-proof", NETWORK, "4", str(tmp_path / "proof-1.gz"))
    assert code == 1 and "rejected: line 1: " in err and "another image" in err


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_an_image_of_a_file_is_checked(bnnopt_cli: Any, tmp_path: Path, kind: str) -> None:
    image, proof = tmp_path / "image.npy", tmp_path / "proof.gz"
    pixels = np.round(255 * bnnopt.datasets.embedded().x(1)).astype(np.uint8)
    if kind != "uint8":  # as torchvision's ToTensor divides
        pixels = pixels.astype(kind) / np.array(255, kind)
    np.save(image, pixels)
    result = bnnopt.certify(NETWORK, pixels, "0.002", proof=proof)
    assert result.proof == str(proof)
    code, out, _ = bnnopt_cli("check-proof", NETWORK, str(image), str(proof))
    assert code == 0 and "no continuous image within 1/500 of this one" in out


def test_images_do_not_share_a_file(bnnopt_cli: Any, tmp_path: Path) -> None:
    name = str(tmp_path / "proof.gz")
    code, _, err = bnnopt_cli("attack", NETWORK, "--images", "1,4", "--proof", name)
    assert code == 2 and "--proof needs {} for the image's index" in err
    code, _, err = bnnopt_cli("check-proof", NETWORK, "1,4", __file__)
    assert code == 2 and "one index" in err
    for image, proof in (("1", "no.gz"), ("no.npy", __file__)):
        code, _, err = bnnopt_cli("check-proof", NETWORK, image, proof)
        assert code == 2 and "is not a file" in err


def test_where_there_is_no_proof_the_result_says_why(tmp_path: Path) -> None:
    x = bnnopt.datasets.embedded().x(1)
    for options, why in (
        ({"goal": "margin+l1", "method": "milp"}, "none: the goal margin+l1 is optimal"),
        ({"max_pixels": 3, "goal": "flip", "method": "milp"}, "none: proofs have no limits"),
        ({"method": "pattern"}, "none: the goal margin is feasible"),
    ):
        result = bnnopt.attack(NETWORK, x, "0.001", proof=tmp_path / "proof.gz", **options)
        assert result.proof is not None and result.proof.startswith(why), result.proof
        assert not (tmp_path / "proof.gz").exists()

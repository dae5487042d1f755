from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.image import imread

from bnnopt import AttackResult, BinarizedNetwork, attack
from bnnopt.errors import InputError
from bnnopt.report.attack_figure import save_figure
from tests.helpers import random_image, random_network

SHAPES = [
    (3, 8, 8),
    (8, 8, 3),
    (28, 14),
    (12,),
    (1, 784),
    (784, 1),
    (2, 8, 8),
    (8, 8, 5),
    (2, 300),
    (1,),
    (1, 1),
    (2, 2, 3, 4),
]


@cache
def result_of(*shape: int) -> AttackResult:
    network = random_network(0, inputs=int(np.prod(shape)), levels=255)
    shaped = BinarizedNetwork(network.hidden, network.output, 255, input_shape=shape)
    image = random_image(shaped, 1).reshape(shape)
    return attack(shaped, image, 0.1, method="pattern", time_limit=0.2)


def reshaped(result: AttackResult, *shape: int) -> AttackResult:
    return replace(
        result,
        original=result.original.reshape(shape),
        adversarial=result.adversarial.reshape(shape),
    )


def drawn(result: AttackResult, folder: Path) -> np.ndarray:
    save_figure([result], folder / "figure.png")
    return imread(folder / "figure.png")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_an_attack_on_an_image_of_any_shape_is_drawn(
    shape: tuple[int, ...], ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"figure.{ending}"
    save_figure([result_of(*shape)], path)
    assert path.stat().st_size > 1000


def test_attacks_on_networks_of_several_shapes_are_drawn_together(tmp_path: Path) -> None:
    save_figure([result_of(*shape) for shape in SHAPES], tmp_path / "all.png")
    one = drawn(result_of(*SHAPES[0]), tmp_path)
    assert imread(tmp_path / "all.png").shape[0] > 8 * one.shape[0]


def test_colours_are_the_same_with_channels_first_and_last(tmp_path: Path) -> None:
    last = result_of(8, 8, 3)
    first = replace(
        last,
        original=np.moveaxis(last.original, -1, 0),
        adversarial=np.moveaxis(last.adversarial, -1, 0),
    )
    picture = drawn(last, tmp_path)
    assert np.array_equal(drawn(first, tmp_path), picture)
    assert np.ptp(picture[..., :3], axis=-1).max() > 0.5


def test_axes_of_size_one_change_nothing(tmp_path: Path) -> None:
    signal, image = result_of(784, 1), result_of(28, 14)
    for shape in ((784,), (1, 784), (1, 784, 1)):
        assert np.array_equal(drawn(reshaped(signal, *shape), tmp_path), drawn(signal, tmp_path))
    for shape in ((1, 28, 14), (28, 14, 1)):
        assert np.array_equal(drawn(reshaped(image, *shape), tmp_path), drawn(image, tmp_path))


def test_a_perturbation_is_seen_however_large_the_budget_is(tmp_path: Path) -> None:
    result = result_of(28, 14)
    change = result.adversarial - result.original
    assert np.abs(change).max() > 0
    tiny = replace(result, adversarial=result.original + change / 1024)
    below_titles = slice(60, None)
    picture = drawn(replace(tiny, epsilon=1.0), tmp_path)[below_titles]
    # The figure's only colours are the perturbation's.
    assert np.ptp(picture[..., :3], axis=-1).max() > 0.5


def test_an_unchanged_image_is_drawn(tmp_path: Path) -> None:
    results = [result_of(*shape) for shape in SHAPES[:5]]
    same = [replace(result, adversarial=result.original) for result in results]
    save_figure(same, tmp_path / "same.png")
    save_figure([replace(result, epsilon=0.0) for result in same], tmp_path / "zero.png")


def test_no_attacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one attack"):
        save_figure([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()

"""Every architecture that can be trained is exported as what was trained."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from bnnopt import BinarizedNetwork, datasets
from bnnopt.errors import BnnoptError, ExportError

torch = pytest.importorskip("torch")

from bnnopt import training  # noqa: E402
from bnnopt.training.loop import build  # noqa: E402
from bnnopt.training.model import PixelCuts, TrainableNetwork, WholeLinear, binarize  # noqa: E402


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded 100 images serve as training and as test set."""
    monkeypatch.setattr(datasets, "load", lambda name, split: datasets.embedded())


def recipe(**changes: Any) -> training.Recipe:
    options = {"depth": 1, "width": 20, "epochs": 3, "batch_size": 20, "learning_rate": 0.02}
    return training.Recipe("fashion-mnist", **(options | changes))


ARCHITECTURES: list[dict[str, Any]] = [
    {"input": "binary"},
    {"input": "binary", "cuts": (0.2,), "depth": 2, "width": (30, 10)},
    {"input": "cuts:3", "head": "batchnorm"},
    {"input": "cuts:2", "cuts": ("1/10", 0.6), "learn_cuts": True, "learning_rate": 0.2},
    {"dead_zone": 0.05, "depth": 5},
    {"input": "binary", "dead_zone": 0.05},
    {"input": "binary", "convolutions": ((4, 5, 2),), "depth": 0},
    {"input": "cuts:2", "convolutions": ((4, 7, 3), (6, 3, 2)), "dead_zone": 0.05},
    {"convolutions": ((4, 5, 2),), "depth": 1, "head": "batchnorm"},
    {"input": "binary", "convolutions": ((4, 5, 2),), "depth": 0, "head_range": 15},
    {"head_range": 1, "depth": 2},
]


@pytest.mark.parametrize("changes", ARCHITECTURES)
def test_the_exported_network_is_the_trained_one_on_every_image(changes: dict[str, Any]) -> None:
    run = training.train(recipe(**changes), device="cpu", progress=False)
    network = training.export(run)
    images = datasets.embedded()
    with torch.no_grad():
        scores = run.model.double().eval()(torch.tensor(images.x().reshape(100, -1))).numpy()
    assert np.array_equal(network.predict(images.x()), scores.argmax(axis=1))
    assert network.accuracy == np.mean(scores.argmax(axis=1) == images.labels)
    blocks = len(changes.get("convolutions", ()))
    assert network.depth == (run.recipe.num_cuts > 0) + blocks + run.recipe.depth
    assert [layer.convolution is not None for layer in network.hidden][-1] == (not run.recipe.depth)
    again = BinarizedNetwork.from_bytes(network.to_bytes())
    assert np.array_equal(again.predict(images.x()), network.predict(images.x()))
    assert run.recipe.as_dict().items() <= dict(again.recipe).items()


def test_export_refuses_a_network_whose_cuts_differ_by_one_level() -> None:
    run = training.train(recipe(input="binary", cuts=(0.2,)), device="cpu", progress=False)
    network = training.export(run)
    with torch.no_grad():
        run.model.cuts.scaled += 1 / 32
    with pytest.raises(ExportError, match="disagrees"):
        training.check_agreement(run.model, network, datasets.embedded().images)


def test_a_cut_divides_whole_levels_as_it_is_written_and_no_image_is_on_it() -> None:
    for cut in (0.5, 0.2, "1/3", 1, 0):
        (level,) = recipe(input="binary", cuts=(cut,)).cut_levels
        levels = np.arange(256)
        written = np.array([Fraction(int(k), 255) >= Fraction(str(cut)) for k in levels])
        # All pixels reach a cut at 0, and a neuron that says so says nothing.
        assert np.array_equal(levels > level, written if cut else levels > 0)
        assert level % 1 == 0.5


def test_bits_are_signs_pixel_by_pixel_and_cut_after_cut() -> None:
    cuts = PixelCuts((50.5, 127.5), learnt=False)
    bits = cuts(torch.tensor([[0.0, 51.0, 128.0]]))
    assert bits.tolist() == [[-1, 1, 1, -1, -1, 1]]


def test_cuts_are_learnt_in_steps_of_a_level_and_stay_between_black_and_white() -> None:
    run = training.train(
        recipe(input="binary", learn_cuts=True, learning_rate=0.9, epochs=10),
        device="cpu",
        progress=False,
    )
    (level,) = run.model.cuts.levels().tolist()
    assert level != 127.5
    assert level % 1 == 0.5
    assert 0 < level < 255


def test_the_dead_zone_leaves_weights_out_and_passes_their_gradient() -> None:
    latent = torch.tensor([-0.5, -0.01, 0.01, 0.5, 2.0], requires_grad=True)
    weight = binarize(latent, 0.1)
    assert weight.tolist() == [-1, 0, 0, 1, 1]
    weight.sum().backward()
    assert latent.grad.tolist() == [1, 1, 1, 1, 0]
    network = training.export(training.train(recipe(dead_zone=0.05), device="cpu", progress=False))
    share = network.hidden[0].weight.nnz / np.prod(network.hidden[0].shape)
    assert 0.2 < share < 0.9


def test_a_head_of_whole_weights_reaches_what_is_allowed_and_no_more() -> None:
    head = WholeLinear(5, 1, 3)
    latent = torch.tensor([-1.0, -0.1, 0.2, 0.5, 1.0], requires_grad=True)
    weights = head.weights(latent)
    assert weights.tolist() == [-3, 0, 1, 2, 3]
    weights.sum().backward()
    assert latent.grad.tolist() == [3] * 5
    run = training.train(recipe(head_range=3, epochs=20), device="cpu", progress=False)
    network = training.export(run)
    assert set(np.unique(network.output.weight)) <= set(range(-3, 4))
    assert np.abs(network.output.weight).max() > 1
    assert not network.output.is_binary


def test_a_network_of_the_first_edition_starts_as_it_did() -> None:
    torch.manual_seed(3)
    weights = [torch.empty(shape).uniform_(-0.1, 0.1) for shape in ((20, 784), (5, 20), (10, 5))]
    torch.manual_seed(3)
    model = build(recipe(depth=2, width=(20, 5)), 784)
    pairs = zip(model.latent_weights(), weights, strict=True)
    assert all(torch.equal(found, expected) for found, expected in pairs)


def test_a_recipe_of_the_first_edition_says_what_it_said() -> None:
    keys = ("dataset", "depth", "width", "head", "epochs", "batch_size", "learning_rate", "seed")
    assert tuple(recipe().as_dict()) == keys
    changed = recipe(input="cuts:2", cuts=(0.1, 0.3)).as_dict()
    assert changed["cuts"] == [0.1, 0.3]
    assert set(changed) == {*keys, "input", "cuts"}


def test_names_say_the_layers_unless_a_title_does() -> None:
    assert recipe(depth=2).name == "fashion-mnist-2x20"
    assert recipe(depth=2, width=(20, 10)).name == "fashion-mnist-20-10"
    block = recipe(convolutions=((8, 5, 2),), depth=0)
    assert block.name == "fashion-mnist-conv8.5"
    assert recipe(title="mine").name == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "bits"}, "unknown input"),
        ({"input": "cuts:0"}, "from 1 to 16"),
        ({"input": "cuts:x"}, "from 1 to 16"),
        ({"input": "binary", "cuts": (0.1, 0.2)}, "1 cuts a pixel, not 2"),
        ({"input": "cuts:2", "cuts": (0.2, 0.1)}, "must rise"),
        ({"input": "cuts:2", "cuts": (0.1, 0.1001)}, "must rise"),
        ({"input": "binary", "cuts": (1.5,)}, "a cut"),
        ({"cuts": (0.5,)}, "0 cuts a pixel"),
        ({"learn_cuts": True}, "learn_cuts needs cuts"),
        ({"width": (20, 10)}, "2 numbers for a depth of 1"),
        ({"depth": 0}, "depth must be from 1"),
        ({"convolutions": ((8, 4, 2),)}, "must be odd"),
        ({"convolutions": ((8, 3, 5),)}, "at least its stride"),
        ({"convolutions": ((0, 3, 1),)}, "a convolution is"),
        ({"convolutions": ((8, 3),)}, "a convolution is"),
        ({"convolutions": ((999, 3, 1),)}, "channels"),
        ({"dead_zone": 1.5}, "dead_zone"),
        ({"robust": 2}, "robust"),
        ({"robust": "x"}, "robust"),
        ({"robust": 0.1, "attack_steps": 0}, "attack_steps must be at least 1"),
        ({"robust": 0.1, "attack_steps": -1}, "attack_steps"),
        ({"ramp": -0.1}, "ramp"),
        ({"ramp": float("nan")}, "ramp"),
        ({"held_out": 60_000}, "held_out"),
        ({"head_range": -1}, "head_range"),
        ({"head_range": 2000}, "head_range"),
        ({"head_range": 3, "head": "batchnorm"}, "of an integer head"),
    ],
)
def test_a_recipe_out_of_range_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BnnoptError, match=message):
        recipe(**changes)


def test_the_model_takes_what_no_recipe_says() -> None:
    model = TrainableNetwork(12, (5,), 3, "integer", levels=3, cuts=(0.5, 1.5)).eval()
    bits, hidden = model.activations(torch.tensor([[k / 3 for k in (0, 1, 2, 3)] * 3]))
    assert bits.view(2, 12)[:, :4].tolist() == [[-1, 1, 1, 1], [-1, -1, 1, 1]]
    assert hidden.shape == (1, 5)
    layers, _ = training.fold_model(model)
    assert layers[0].shape == (24, 12)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnnopt import BinarizedNetwork, OutputLayer, datasets
from bnnopt.errors import BnnoptError, ExportError, InputError, UnknownNameError

torch = pytest.importorskip("torch")

from bnnopt import training  # noqa: E402
from bnnopt.training import loop  # noqa: E402


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded 100 images serve as training and as test set."""
    monkeypatch.setattr(datasets, "load", lambda name, split: datasets.embedded())


def recipe(**changes: Any) -> training.Recipe:
    options = {"depth": 2, "width": 20, "epochs": 4, "batch_size": 20, "learning_rate": 0.02}
    return training.Recipe("fashion-mnist", **(options | changes))


def same(a: BinarizedNetwork, b: BinarizedNetwork) -> bool:
    pairs = [*zip(a.hidden, b.hidden, strict=True), (a.output, b.output)]
    return all(np.array_equal(x.weight, y.weight) for x, y in pairs)


@pytest.mark.parametrize("head", training.HEADS)
@pytest.mark.parametrize("depth", [1, 3])
def test_the_exported_network_is_the_trained_one_on_every_image(head: Any, depth: int) -> None:
    run = training.train(recipe(head=head, depth=depth), device="cpu", progress=False)
    network = training.export(run)
    images = datasets.embedded()
    x = torch.tensor(images.x().reshape(100, -1))
    with torch.no_grad():
        scores = run.model.double().eval()(x).numpy()
    assert np.array_equal(network.predict(images.x()), scores.argmax(axis=1))
    assert network.accuracy == np.mean(scores.argmax(axis=1) == images.labels)
    assert network.head == head
    assert (network.depth, network.widths) == (depth, (20,) * depth)


def test_training_learns() -> None:
    run = training.train(recipe(epochs=30, width=60), device="cpu", progress=False)
    accuracy = training.export(run).accuracy
    assert accuracy is not None
    assert accuracy > 0.9


def test_export_refuses_a_network_that_disagrees_on_one_image() -> None:
    run = training.train(recipe(), device="cpu", progress=False)
    network = training.export(run)
    bias = network.output.bias.copy()
    bias[0] += 1
    output = OutputLayer(network.output.weight, network.output.scale, bias)
    wrong = BinarizedNetwork(network.hidden, output)
    with pytest.raises(ExportError, match="disagrees"):
        training.check_agreement(run.model, wrong, datasets.embedded().images)


def test_an_interrupted_training_ends_in_the_network_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, target = tmp_path / "n.npz.checkpoint", tmp_path / "n.npz"
    whole = training.export(training.train(recipe(), device="cpu", progress=False))
    run_epoch, done = loop._epoch, []

    def interrupted_epoch(*args: Any) -> float:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return run_epoch(*args)

    monkeypatch.setattr(loop, "_epoch", interrupted_epoch)
    with pytest.raises(KeyboardInterrupt):
        training.train_to_file(recipe(), target, device="cpu", progress=False)
    assert checkpoint.exists()
    assert not target.exists()
    monkeypatch.setattr(loop, "_epoch", run_epoch)
    resumed = training.train_to_file(recipe(), target, device="cpu", progress=False)
    assert same(resumed, whole)
    assert not checkpoint.exists()
    assert same(BinarizedNetwork.load(target), whole)


def test_the_seed_decides_the_network() -> None:
    nets = [
        training.export(training.train(recipe(seed=seed), device="cpu", progress=False))
        for seed in (1, 1, 2)
    ]
    assert same(nets[0], nets[1])
    assert not same(nets[0], nets[2])


def test_a_checkpoint_of_another_recipe_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "c"
    training.train(recipe(epochs=1), device="cpu", checkpoint=checkpoint, progress=False)
    with pytest.raises(InputError, match="another recipe"):
        training.train(recipe(), device="cpu", checkpoint=checkpoint, progress=False)
    whole = checkpoint.read_bytes()
    for damaged in (b"", b"junk", whole[: len(whole) // 2]):
        checkpoint.write_bytes(damaged)
        with pytest.raises(InputError, match="not a usable checkpoint"):
            training.train(recipe(), device="cpu", checkpoint=checkpoint, progress=False)


class Evil:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was executed",))


def test_a_checkpoint_is_never_unpickled_into_code(tmp_path: Path) -> None:
    checkpoint = tmp_path / "c"
    torch.save({"recipe": Evil()}, checkpoint)
    with pytest.raises(InputError, match="not a usable checkpoint"):
        training.train(recipe(), device="cpu", checkpoint=checkpoint, progress=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": 0},
        {"width": 0},
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"seed": -1},
        {"head": "linear"},
    ],
)
def test_a_recipe_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BnnoptError):
        recipe(**changes)


def test_unknown_devices_and_data_sets_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'cuda'"):
        training.train(recipe(), device="cudaa", progress=False)
    with pytest.raises(UnknownNameError, match="did you mean 'mnist'"):
        replace(recipe(), dataset="mnits")


def test_the_zoo_trains_and_skips_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.zoo, "zoo_recipes", lambda epochs, seed: [recipe(seed=seed)])
    done = training.train_to_file(recipe(seed=1), tmp_path / f"{recipe().name}.npz", "cpu", False)
    before = (tmp_path / f"{recipe().name}.npz").stat().st_mtime_ns
    (again,) = training.train_zoo(tmp_path, device="cpu", seed=1)
    assert same(again, done)
    assert (tmp_path / f"{recipe().name}.npz").stat().st_mtime_ns == before

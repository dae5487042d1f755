"""Networks trained together are those that would be trained alone, but for rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnnopt import BinarizedNetwork, datasets
from bnnopt.errors import InputError

torch = pytest.importorskip("torch")

from bnnopt import training  # noqa: E402
from bnnopt.training import loop, together, zoo  # noqa: E402
from bnnopt.training.together import shape_of, train_together  # noqa: E402
from tests.training.tape import Tape  # noqa: E402


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded 100 images, and as another data set the same upside down."""

    def load(name: str, split: str) -> datasets.Dataset:
        data = datasets.embedded()
        turned = data.images[:, ::-1].copy()
        return data if name == "fashion-mnist" else replace(data, images=turned)

    monkeypatch.setattr(datasets, "load", load)


@pytest.fixture
def in_double_precision() -> Iterator[None]:
    """Where sums in another order change no sign in a short run."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def recipes(**changes: Any) -> list[training.Recipe]:
    options = {"depth": 2, "width": 20, "epochs": 4, "batch_size": 15, "learning_rate": 0.02}
    options |= changes
    names = (("mnist", 0), ("fashion-mnist", 0), ("fashion-mnist", 3))
    return [training.Recipe(name, seed=seed, **options) for name, seed in names]


def alone(chosen: training.Recipe, **options: Any) -> training.TrainingRun:
    return training.train(chosen, device="cpu", progress=False, **options)


def all_at_once(chosen: list[training.Recipe], **options: Any) -> list[training.TrainingRun]:
    return train_together(chosen, device="cpu", progress=False, **options)


def distance(a: Any, b: Any) -> float:
    """The largest of all parameters and statistics."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return max(float((x.double() - y.double()).abs().max()) for x, y in pairs)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"head": "batchnorm"},
        {"head_range": 7},
        {"depth": 1, "dead_zone": 0.03, "held_out": 30},
    ],
)
def test_each_network_is_the_one_that_is_trained_alone(
    changes: dict[str, Any], in_double_precision: None
) -> None:
    chosen = recipes(**changes)
    runs = all_at_once(chosen)
    assert [run.recipe for run in runs] == chosen
    for run, single in zip(runs, map(alone, chosen), strict=True):
        assert distance(run.model, single.model) < 1e-9
    assert min(distance(runs[0].model, run.model) for run in runs[1:]) > 0.01


def test_in_single_precision_it_is_as_good_a_network() -> None:
    chosen = recipes(epochs=30, width=60)
    for run, single in zip(all_at_once(chosen), map(alone, chosen), strict=True):
        together_, alone_ = (training.export(r).accuracy for r in (run, single))
        assert together_ is not None
        assert alone_ is not None
        assert together_ > 0.9
        assert abs(together_ - alone_) < 0.05


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    run_epoch, done = together._Together.epoch, []

    def epoch(self: Any) -> float:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(1)
        return run_epoch(self)

    monkeypatch.setattr(together._Together, "epoch", epoch)


def test_an_interrupted_training_ends_in_the_same_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipes()
    checkpoints = [tmp_path / f"{number}" for number in range(3)]
    whole = all_at_once(chosen)
    with monkeypatch.context() as patched:
        patched.setattr(together, "CHECKPOINT_SECONDS", 0.0)
        interrupt(patched, after=2)
        with pytest.raises(KeyboardInterrupt):
            all_at_once(chosen, checkpoints=checkpoints)
    for run, expected in zip(all_at_once(chosen, checkpoints=checkpoints), whole, strict=True):
        assert distance(run.model, expected.model) == 0
    # What is done is not trained again.
    interrupt(monkeypatch, after=0)
    assert len(all_at_once(chosen, checkpoints=checkpoints)) == 3


def test_alone_and_together_go_on_from_each_others_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_double_precision: None
) -> None:
    chosen = recipes()
    expected = [alone(recipe) for recipe in chosen]
    checkpoints = [tmp_path / f"{number}" for number in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr(together, "CHECKPOINT_SECONDS", 0.0)
        interrupt(patched, after=2)
        with pytest.raises(KeyboardInterrupt):
            all_at_once(chosen, checkpoints=checkpoints)
    # The last goes on alone to its end; the others are behind it, and go on together.
    resumed = alone(chosen[2], checkpoint=checkpoints[2])
    assert distance(resumed.model, expected[2].model) < 1e-9
    runs = all_at_once(chosen, checkpoints=checkpoints)
    for run, single in zip(runs, expected, strict=True):
        assert distance(run.model, single.model) < 1e-9


def test_a_step_of_all_is_the_same_work_every_time() -> None:
    chosen = recipes()

    def trained(tape: Tape | None) -> list[Any]:
        place = torch.device("cpu")
        pool = together._Pool(chosen, place)
        states = [loop.begin(recipe, 784, pool.count, place, None) for recipe in chosen]
        batch = together._Together(states, pool, True)
        batch._step.grapher = tape
        batch._step.optimizer.param_groups[0]["fused"] = True
        for _ in range(4):
            batch.epoch()
        batch.settle()
        return [state.model for state in states]

    tape = Tape()
    for replayed, eager in zip(trained(tape), trained(None), strict=True):
        assert distance(replayed, eager) == 0
    assert tape.replays > 0
    assert tape.waits() == []


def test_networks_of_other_shapes_are_not_trained_together() -> None:
    (first, *_) = recipes()
    for other in (
        replace(first, width=30),
        replace(first, epochs=5),
        replace(first, convolutions=((4, 5, 2),)),
    ):
        with pytest.raises(InputError, match="of one shape"):
            all_at_once([first, other])
    for changes in ({"input": "binary"}, {"robust": "0.1"}, {"convolutions": ((4, 5, 2),)}):
        assert shape_of(replace(first, **changes)) is None
    assert len({shape_of(recipe) for recipe in recipes()}) == 1


def test_the_zoo_of_a_gpu_is_written_network_by_network(tmp_path: Path) -> None:
    chosen = [*recipes(), *recipes(width=10)[:2]]
    missing = {recipe: tmp_path / f"{n}.npz" for n, recipe in enumerate(chosen)}
    networks = list(zoo._at_once(missing, "cpu"))
    assert len(networks) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}.npz" for n in range(5)]
    for recipe, path in missing.items():
        network = BinarizedNetwork.load(path)
        assert recipe.as_dict().items() <= dict(network.recipe).items()
        images = datasets.load(recipe.dataset, "test")
        assert network.accuracy == np.mean(network.predict(images.x()) == images.labels)

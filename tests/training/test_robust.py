"""Attacks inside training stay in their boxes, and do what they are for."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnnopt import BinarizedNetwork, datasets
from bnnopt.network import fingerprint

torch = pytest.importorskip("torch")

from bnnopt import training  # noqa: E402
from bnnopt.training import loop  # noqa: E402
from bnnopt.training.model import TrainableNetwork  # noqa: E402
from bnnopt.training.robust import attacked  # noqa: E402
from bnnopt.training.state import TrainingState  # noqa: E402


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded 100 images serve as training and as test set."""
    monkeypatch.setattr(datasets, "load", lambda name, split: datasets.embedded())


def recipe(**changes: Any) -> training.Recipe:
    options = {"depth": 1, "width": 50, "epochs": 4, "batch_size": 20, "learning_rate": 0.02}
    return training.Recipe("fashion-mnist", **(options | {"robust": "0.1"} | changes))


def model(cuts: tuple[float, ...], pixels: int = 784) -> TrainableNetwork:
    torch.manual_seed(0)
    return TrainableNetwork(pixels, (30,), 10, "integer", cuts=cuts).eval()


def images() -> tuple[Any, Any]:
    data = datasets.embedded()
    flat = torch.tensor(data.images.reshape(100, -1)).float()
    return flat, torch.tensor(data.labels.astype(np.int64))


def attack(trained: TrainableNetwork, radius: Any, steps: int, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return attacked(trained, *images(), radius, steps, generator)


def same(a: BinarizedNetwork, b: BinarizedNetwork) -> bool:
    return fingerprint(a) == fingerprint(b)


def loss(trained: TrainableNetwork, seen: Any) -> float:
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(trained.scores(seen), images()[1]))


@pytest.mark.parametrize("cuts", [(127.5,), (30.5, 60.5, 200.5)])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_attacked_bits_are_those_of_an_image_in_the_box(
    cuts: tuple[float, ...], steps: int
) -> None:
    levels, _ = images()
    seen = attack(model(cuts), 25.5, steps).view(100, len(cuts), -1)
    reached = (seen > 0).sum(1)  # so many cuts, which must be the lowest
    assert torch.equal(seen > 0, torch.arange(len(cuts))[:, None] < reached[:, None])
    edges = torch.tensor([-1000.0, *cuts, 1000.0])
    # Some level of [levels - radius, levels + radius] lies between the two cuts.
    assert bool((edges[reached] <= levels + 25.5).all())
    assert bool((edges[reached + 1] > levels - 25.5).all())


def test_a_box_of_no_size_changes_nothing() -> None:
    levels, _ = images()
    for cuts in ((), (127.5,)):
        trained = model(cuts)
        assert torch.equal(attack(trained, 0.0, 2), trained.read(levels / 255))


def test_attacked_levels_stay_in_the_box_and_in_the_range() -> None:
    levels, _ = images()
    seen = attack(model(()), 25.5, 3) * 255
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 255.001
    assert float((seen - levels).abs().max()) <= 25.501


def test_each_image_may_have_a_radius_of_its_own() -> None:
    levels, _ = images()
    trained = model((127.5,))
    radius = torch.zeros(100, 1)
    radius[50:] = 76.5
    changed = (attack(trained, radius, 1) != trained.read(levels / 255)).any(1)
    assert not bool(changed[:50].any())
    assert bool(changed[50:].all())


@pytest.mark.parametrize("cuts", [(), (127.5,), (30.5, 60.5, 200.5)])
def test_gradients_find_more_than_chance(cuts: tuple[float, ...]) -> None:
    trained = training.train(recipe(robust=None), device="cpu", progress=False).model
    if cuts:
        changes = {"input": f"cuts:{len(cuts)}", "cuts": tuple(c / 255 for c in cuts)}
        trained = training.train(recipe(robust=None, **changes), device="cpu", progress=False).model
    levels, _ = images()
    clean = loss(trained, trained.read(levels / 255))
    by_gradient = loss(trained, attack(trained, 25.5, 2))
    assert by_gradient > 1.1 * clean
    if cuts:
        assert by_gradient > loss(trained, attack(trained, 25.5, 0))


def test_a_step_of_gradient_takes_the_best_number_of_cuts() -> None:
    from bnnopt.training.robust import _best_count

    gradient = torch.tensor(list(product((-2.0, -1.0, 0.0, 1.0, 3.0), repeat=3))).T[None]
    counts = _best_count(gradient)[0, 0].tolist()
    for values, count in zip(gradient[0].T.tolist(), counts, strict=True):
        sums = [sum(values[:k]) for k in range(4)]
        assert sums[int(count)] == max(sums)


def test_training_on_attacked_images_withstands_more_of_them() -> None:
    options = {"input": "binary", "cuts": (0.2,), "epochs": 30}
    plain, robust = (
        training.train(recipe(robust=epsilon, **options), device="cpu", progress=False).model
        for epsilon in (None, "0.1")
    )
    assert loss(robust, attack(robust, 25.5, 5)) < loss(plain, attack(plain, 25.5, 5))


def test_epsilon_grows_over_its_share_of_the_epochs() -> None:
    chosen = recipe(ramp=0.5, epochs=8)
    state = TrainingState(chosen, loop.build(chosen, 784), 100)
    radii = []
    for state.epoch in range(8):
        radii.append(state.radius)
    assert radii == pytest.approx([6.375, 12.75, 19.125, 25.5, 25.5, 25.5, 25.5, 25.5])
    assert recipe(robust=None).radius == 0


@pytest.mark.parametrize("changes", [{"input": "binary"}, {"attack_steps": 2, "ramp": 0.5}])
def test_an_interrupted_robust_training_ends_in_the_same_network(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, target = recipe(**changes), tmp_path / "n.npz"
    whole = training.export(training.train(chosen, device="cpu", progress=False))
    run_epoch, done = loop._epoch, []

    def interrupted_epoch(*args: Any) -> float:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return run_epoch(*args)

    monkeypatch.setattr(loop, "_epoch", interrupted_epoch)
    with pytest.raises(KeyboardInterrupt):
        training.train_to_file(chosen, target, device="cpu", progress=False)
    monkeypatch.setattr(loop, "_epoch", run_epoch)
    assert same(training.train_to_file(chosen, target, device="cpu", progress=False), whole)
    other = training.train(recipe(**changes, seed=1), device="cpu", progress=False)
    assert not same(training.export(other), whole)


def test_images_that_are_held_out_are_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    run_epoch = loop._epoch

    def watched(trained: Any, state: Any, some: Any, labels: Any) -> float:
        seen.append(some)
        return run_epoch(trained, state, some, labels)

    monkeypatch.setattr(loop, "_epoch", watched)
    training.train(recipe(held_out=40, epochs=1), device="cpu", progress=False)
    (trained_on,) = seen
    expected = torch.tensor(datasets.embedded().images[:60].reshape(60, -1))
    assert torch.equal(trained_on, expected)

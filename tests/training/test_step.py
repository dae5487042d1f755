"""A step is the same work every time, and trains what the loop of version 0.1.0 trained."""

from __future__ import annotations

from typing import Any

import pytest

from bnnopt import datasets

torch = pytest.importorskip("torch")

from bnnopt import training  # noqa: E402
from bnnopt.training import loop  # noqa: E402
from bnnopt.training.robust import attacked  # noqa: E402
from bnnopt.training.state import TrainingState  # noqa: E402
from bnnopt.training.step import WARM_UP, cosine_rates  # noqa: E402
from tests.training.tape import Tape  # noqa: E402

CPU = torch.device("cpu")
RECIPES: list[dict[str, Any]] = [
    {},
    {"head": "batchnorm", "depth": 3, "dead_zone": 0.03},
    {"robust": "0.1", "input": "binary", "ramp": 0.7},
    {"robust": "1/30", "ramp": 0.7, "attack_steps": 2},
    {"robust": "0.03", "input": "cuts:2", "learn_cuts": True},
    {"convolutions": ((4, 5, 2),), "held_out": 30},
]
BOUNDED = {"robust": "0.1", "input": "binary", "bound_weight": 0.5, "ramp": 0.5}
BOUNDED_CONVOLUTION = BOUNDED | {"convolutions": ((4, 5, 2),), "depth": 0, "width": ()}
CAPTURED = [*RECIPES, BOUNDED, BOUNDED_CONVOLUTION]


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded 100 images serve as training and as test set."""
    monkeypatch.setattr(datasets, "load", lambda name, split: datasets.embedded())


def recipe(**changes: Any) -> training.Recipe:
    options = {"depth": 1, "width": 20, "epochs": 3, "batch_size": 15, "learning_rate": 0.02}
    return training.Recipe("fashion-mnist", **(options | changes))


def same(a: Any, b: Any) -> bool:
    states = a.state_dict(), b.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[1])


def first_edition(chosen: training.Recipe) -> Any:
    """The network of the loop as it was before steps were captured."""
    images, labels = loop.resident(chosen.dataset, "train", CPU)
    count = len(labels) - chosen.held_out
    torch.manual_seed(chosen.seed)
    model = loop.build(chosen, 784)
    batches = count // chosen.batch_size
    optimizer = torch.optim.Adam(model.parameters(), lr=chosen.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, chosen.epochs * batches)
    order, attacks = (torch.Generator().manual_seed(chosen.seed) for _ in range(2))
    for epoch in range(chosen.epochs):
        ramp = chosen.ramp * chosen.epochs
        radius = chosen.radius * min((epoch + 1) / ramp if ramp else 1.0, 1.0)
        numbers = torch.randperm(count, generator=order)[: batches * chosen.batch_size]
        for batch in torch.split(numbers, chosen.batch_size):
            seen, y = images[batch].float(), labels[batch]
            if chosen.robust is None:
                seen = model.read(seen / 255)
            else:
                model.eval()
                seen = attacked(model, seen, y, radius, chosen.attack_steps, attacks)
            loss = torch.nn.functional.cross_entropy(model.train().scores(seen), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            model.clamp()
    return model


@pytest.mark.parametrize("changes", RECIPES)
def test_a_recipe_gives_the_network_that_it_gave_to_the_bit(changes: dict[str, Any]) -> None:
    run = training.train(recipe(**changes), device="cpu", progress=False)
    assert same(run.model, first_edition(recipe(**changes)))


def test_rates_are_those_of_torchs_cosine_from_any_step() -> None:
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=0.003)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    expected = []
    for _ in range(50):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert list(cosine_rates(0.003, 50)) == expected
    assert list(cosine_rates(0.003, 50, start=20)) == expected[20:]


def stepwise(chosen: training.Recipe, tape: Tape | None) -> tuple[TrainingState, list[float]]:
    """Trained with the kernel of Adam that CUDA has too, in which nothing is a Python number."""
    images, labels = loop.resident(chosen.dataset, "train", CPU)
    count = len(labels) - chosen.held_out
    state = loop.begin(chosen, 784, count, CPU, None)
    state.step.optimizer.param_groups[0]["fused"] = True
    state.step.grapher = tape
    losses = []
    for state.epoch in range(chosen.epochs):
        losses.append(loop._epoch(state.model, state, images[:count], labels[:count]))
    return state, losses


@pytest.mark.parametrize("changes", CAPTURED)
def test_a_step_that_is_replayed_trains_the_same_network_to_the_bit(
    changes: dict[str, Any],
) -> None:
    chosen, tape = recipe(**changes), Tape()
    replayed, losses = stepwise(chosen, tape)
    eager, expected = stepwise(chosen, None)
    assert tape.replays == chosen.epochs * eager.batches - WARM_UP
    assert losses == expected
    assert same(replayed.model, eager.model)
    averages = replayed.step.averages(), eager.step.averages()
    assert all(
        torch.equal(averages[0][number][name], value)
        for number, kept in averages[1].items()
        for name, value in kept.items()
    )
    assert torch.equal(replayed.attacks.get_state(), eager.attacks.get_state())


@pytest.mark.parametrize("changes", CAPTURED)
def test_nothing_in_a_step_waits_for_the_device(changes: dict[str, Any]) -> None:
    tape = Tape()
    stepwise(recipe(**changes), tape)
    assert tape.calls
    assert tape.waits() == []


def test_an_adam_that_counts_in_python_is_not_captured() -> None:
    images, labels = loop.resident("fashion-mnist", "train", CPU)
    state = loop.begin(recipe(), 784, 100, CPU, None)
    state.step.grapher = Tape()
    with pytest.raises(AssertionError, match="capturable"):
        loop._epoch(state.model, state, images, labels)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("changes", CAPTURED)
def test_a_graph_trains_the_network_that_single_steps_train(changes: dict[str, Any]) -> None:
    with_graph, without = (
        training.train(recipe(**changes), device="cuda", progress=False, graph=graph).model
        for graph in (True, False)
    )
    assert same(with_graph, without)

"""A checkpoint resumes the training that it is of, or is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bnnopt.errors import InputError

pytest.importorskip("torch")

import torch

from bnnopt.training.model import TrainableNetwork
from bnnopt.training.recipe import Recipe
from bnnopt.training.state import TrainingState

RECIPE = Recipe("mnist", 1, 3, epochs=2)


def state() -> TrainingState:
    return TrainingState(RECIPE, TrainableNetwork(4, (3,), 10, RECIPE.head), 256)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "n.npz.checkpoint"
    state().save(path)
    return path


def restore(path: Path) -> None:
    with suppress(InputError):
        resumed = state()
        resumed.restore(path)
        assert 0 <= resumed.epoch <= RECIPE.epochs
        assert resumed.seconds >= 0


@given(damage=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=9))
def test_a_damaged_checkpoint_resumes_or_is_refused(
    checkpoint: Path, damage: list[tuple[float, int]]
) -> None:
    content = bytearray(checkpoint.read_bytes())
    for place, value in damage:
        content[int(place * len(content))] = value
    copy = checkpoint.with_name("damaged")
    copy.write_bytes(bytes(content))
    restore(copy)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.text(max_size=5) | st.integers(0, 9), st.integers(0, 9), max_size=3),
    st.builds(torch.zeros, st.integers(0, 9)),
)
KEYS = ("recipe", "epoch", "seconds", "model", "optimizer", "generator", "attacks")


@example(key="epoch", value=-1)
@example(key="epoch", value=3)
@example(key="seconds", value=float("nan"))
@example(key="optimizer", value={})
@given(key=st.sampled_from(KEYS), value=VALUES)
def test_a_checkpoint_with_any_value_resumes_or_is_refused(
    checkpoint: Path, key: str, value: object
) -> None:
    content = torch.load(checkpoint, weights_only=True)
    copy = checkpoint.with_name("changed")
    torch.save(content | {key: value}, copy)
    restore(copy)

"""Training of many networks of one shape at once, each with its own seed, order and data set."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bnnopt.errors import InputError
from bnnopt.training.loop import TrainingRun, begin, pick_device, resident
from bnnopt.training.recipe import LEVELS, Recipe
from bnnopt.training.stacked import StackedNetwork
from bnnopt.training.state import TrainingState
from bnnopt.training.step import Step

__all__ = ["shape_of", "train_together"]

CHECKPOINT_SECONDS = 10.0
"""Between checkpoints, at least: an epoch of a small network takes less time than its file."""

AnyPath = str | os.PathLike[str]


def shape_of(recipe: Recipe) -> Recipe | None:
    """What recipes have in common that can be trained together; None if they are trained alone.

    Data set, seed and title are each network's own. Convolutions, cuts and attacks are not stacked.
    """
    if recipe.convolutions or recipe.num_cuts or recipe.robust is not None:
        return None
    return replace(recipe, dataset="mnist", seed=0, title="")


def train_together(
    recipes: Sequence[Recipe],
    device: str = "auto",
    checkpoints: Sequence[AnyPath] | None = None,
    progress: bool = True,
    graph: bool = True,
) -> list[TrainingRun]:
    """Train networks of one shape, all in each step.

    Each starts from the weights and sees the batches that `bnnopt.training.train` gives it, and
    ends as near to that network as sums in another order let it. On a CPU this is no faster than
    one after the other.

    Parameters
    ----------
    recipes : sequence of Recipe
        At least one; of one `shape_of`.
    device, graph
        As for `bnnopt.training.train`.
    checkpoints : sequence of path, optional
        One a recipe, in the form of `train`, which can go on from them, and the other way round.
        Written every `CHECKPOINT_SECONDS` and at the end.
    progress : bool
        Show a bar on stderr, with the mean loss.

    Returns
    -------
    list of TrainingRun
        One a recipe; the seconds of each are its share of those of all.

    Raises
    ------
    InputError
        If the recipes differ in shape, or a checkpoint belongs to another one or is damaged.
    """
    shapes = {shape_of(recipe) for recipe in recipes}
    if len(shapes) != 1 or None in shapes:
        names = ", ".join(recipe.name for recipe in recipes)
        raise InputError(f"networks trained together must be dense and of one shape, not {names}")
    place = pick_device(device)
    data = _Pool(recipes, place)
    places: Sequence[AnyPath | None] = checkpoints or [None] * len(recipes)
    states = [
        begin(recipe, data.images.shape[1], data.count, place, checkpoint, graph)
        for recipe, checkpoint in zip(recipes, places, strict=True)
    ]
    files = dict(zip(map(id, states), places, strict=True))
    for _, alike in groupby(sorted(states, key=_epoch_of), _epoch_of):
        _finish(_Together(list(alike), data, graph), files, progress)
    for state in states:
        state.model.eval()
    return [TrainingRun(s.model, s.recipe, s.seconds, place.type) for s in states]


def _epoch_of(state: TrainingState) -> int:
    return state.epoch


class _Pool:
    """The training images of all data sets, one after the other."""

    def __init__(self, recipes: Sequence[Recipe], place: torch.device) -> None:
        names = sorted({recipe.dataset for recipe in recipes})
        loaded = [resident(name, "train", place) for name in names]
        self.count = min(len(labels) for _, labels in loaded) - recipes[0].held_out
        self.images = torch.cat([images[: self.count] for images, _ in loaded])
        self.labels = torch.cat([labels[: self.count] for _, labels in loaded])
        self.start = {name: number * self.count for number, name in enumerate(names)}


class _Together:
    """Networks that are at the same epoch."""

    def __init__(self, states: list[TrainingState], data: _Pool, graph: bool) -> None:
        self.states, self._data = states, data
        self.network = StackedNetwork([state.model for state in states])
        first = states[0]
        self._step = Step(
            self.network.parameters(),
            (first.batches, len(states), first.batch_size),
            graph=graph,
            after=self.network.clamp,
        )
        self._step.restore(_stacked([state.step.averages() for state in states]))

    def epoch(self) -> float:
        """Train all for an epoch; returns the mean loss."""
        started = time.perf_counter()
        starts = [self._data.start[state.recipe.dataset] for state in self.states]
        orders = [s.next_order() + start for s, start in zip(self.states, starts, strict=True)]
        rates = [state.next_rates() for state in self.states]  # the same of all
        losses = self._step.epoch(self._loss, torch.stack(orders, dim=1), rates[0], 0.0)
        mean = float(losses.mean())
        share = (time.perf_counter() - started) / len(self.states)
        for state in self.states:
            state.epoch += 1
            state.seconds += share
        return mean

    def _loss(self, batch: Tensor) -> Tensor:
        """Of image numbers (networks, batch size) to each network's mean cross-entropy."""
        levels = self._data.images[batch].to(self.network.parameters()[0].dtype)
        scores = self.network.scores(levels.div_(LEVELS))
        labels = self._data.labels[batch]
        losses = nn.functional.cross_entropy(
            scores.flatten(0, 1), labels.flatten(), reduction="none"
        )
        return losses.view_as(labels).mean(dim=1)

    def settle(self) -> None:
        """Bring weights and averages back to the single networks' states."""
        self.network.unstack()
        averages = self._step.averages()
        for number, state in enumerate(self.states):
            state.step.restore(
                {
                    key: {
                        name: value.clone() if name == "step" else value[number].clone()
                        for name, value in kept.items()
                    }
                    for key, kept in averages.items()
                }
            )


def _stacked(averages: list[dict[int, dict[str, Tensor]]]) -> dict[int, dict[str, Tensor]]:
    """Adam's averages of single networks as those of the stack; their steps are the same."""
    return {
        key: {
            name: value if name == "step" else torch.stack([a[key][name] for a in averages])
            for name, value in kept.items()
        }
        for key, kept in averages[0].items()
    }


def _finish(together: _Together, files: dict[int, AnyPath | None], progress: bool) -> None:
    """Train to the last epoch, with checkpoints."""
    states = together.states
    first = states[0]
    bar = tqdm(
        total=first.recipe.epochs,
        initial=first.epoch,
        desc=", ".join(state.recipe.name for state in states),
        unit="epoch",
        disable=not progress,
        file=sys.stderr,
    )
    written = time.monotonic()
    with bar:
        while first.epoch < first.recipe.epochs:
            loss = together.epoch()
            done = first.epoch == first.recipe.epochs
            if done or time.monotonic() - written >= CHECKPOINT_SECONDS:
                together.settle()
                for state in states:
                    path = files[id(state)]
                    if path is not None:
                        state.save(path)
                written = time.monotonic()
            bar.set_postfix(loss=f"{loss:.3f}")
            bar.update()

"""The training loop: Adam, cosine schedule, the data resident on the device, checkpoints."""

from __future__ import annotations

import io
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bnnopt import datasets
from bnnopt.errors import InputError, UnknownNameError
from bnnopt.files import write_atomically
from bnnopt.training.model import TrainableNetwork
from bnnopt.training.recipe import LEVELS, Recipe
from bnnopt.training.robust import attacked

__all__ = ["DEVICES", "TrainingRun", "accuracy", "build", "pick_device", "train"]

DEVICES = ("auto", "cpu", "cuda")
EVALUATION_BATCH = 2000


@dataclass(frozen=True)
class TrainingRun:
    """What a finished training leaves: the network in evaluation mode, and how it went.

    Parameters
    ----------
    model : TrainableNetwork
        In evaluation mode.
    recipe : Recipe
        What was trained.
    seconds : float
        Wall time.
    device : str
        Where it ran.
    """

    model: TrainableNetwork
    recipe: Recipe
    seconds: float
    device: str


def pick_device(device: str) -> torch.device:
    """``auto`` is a CUDA device where there is one, else the CPU."""
    if device not in DEVICES:
        raise UnknownNameError("device", device, DEVICES)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but torch finds none: use 'cpu' or 'auto'")
    return torch.device(device)


def train(
    recipe: Recipe,
    device: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> TrainingRun:
    """Train a network.

    Parameters
    ----------
    recipe : Recipe
        What to train, and how.
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` takes a GPU where there is one.
    checkpoint : path, optional
        Written after every epoch, and resumed from if it exists: an interrupted run that is
        started again ends in the same network as one that was not interrupted.
    progress : bool
        Show a bar on stderr, with the loss and the accuracy on the images that were held out, or
        on the test images where none were.

    Raises
    ------
    InputError
        If the checkpoint belongs to another recipe or is damaged.
    """
    place = pick_device(device)
    images, labels = _resident(recipe.dataset, "train", place)
    if recipe.held_out:
        check_images, check_labels = images[-recipe.held_out :], labels[-recipe.held_out :]
        images, labels = images[: -recipe.held_out], labels[: -recipe.held_out]
    else:
        check_images, check_labels = _resident(recipe.dataset, "test", place)
    torch.manual_seed(recipe.seed)
    model = build(recipe, images.shape[1]).to(place)
    state = _State(recipe, model, len(labels))
    if checkpoint is not None and Path(checkpoint).exists():
        state.restore(checkpoint, place)
    bar = tqdm(
        total=recipe.epochs,
        initial=state.epoch,
        desc=recipe.name,
        unit="epoch",
        disable=not progress,
        file=sys.stderr,
    )
    with bar:
        while state.epoch < recipe.epochs:
            started = time.perf_counter()
            loss = _epoch(model, state, images, labels)
            state.epoch += 1
            state.seconds += time.perf_counter() - started
            if checkpoint is not None:
                state.save(checkpoint)
            if progress:
                share = accuracy(model, check_images, check_labels)
                bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{share:.2%}")
            bar.update()
    model.eval()
    return TrainingRun(model, recipe, state.seconds, place.type)


def build(recipe: Recipe, num_inputs: int) -> TrainableNetwork:
    """The network of a recipe, with weights from torch's generator."""
    return TrainableNetwork(
        num_inputs,
        recipe.widths,
        10,
        recipe.head,
        levels=LEVELS,
        cuts=recipe.cut_levels if recipe.num_cuts else (),
        learn_cuts=recipe.learn_cuts,
        convolutions=recipe.convolutions,
        dead_zone=recipe.dead_zone,
    )


class _State:
    """All that an epoch changes; saved whole, so that a resumed run repeats nothing."""

    def __init__(self, recipe: Recipe, model: TrainableNetwork, num_images: int) -> None:
        self.recipe, self.model = recipe, model
        self.batch_size = min(recipe.batch_size, num_images)
        self.batches = num_images // self.batch_size  # the rest of an epoch's order is left out
        self.optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, T_max=recipe.epochs * self.batches
        )
        self.generator = torch.Generator().manual_seed(recipe.seed)
        place = model.output.latent.device
        self.attacks = torch.Generator(place).manual_seed(recipe.seed)  # apart from the order's
        self.epoch = 0
        self.seconds = 0.0

    @property
    def radius(self) -> float:
        """How far this epoch's attacks go, in levels."""
        ramp = self.recipe.ramp * self.recipe.epochs
        return self.recipe.radius * min((self.epoch + 1) / ramp if ramp else 1.0, 1.0)

    def save(self, path: str | os.PathLike[str]) -> None:
        content: dict[str, Any] = {
            "recipe": self.recipe.as_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "attacks": self.attacks.get_state(),
        }
        stream = io.BytesIO()
        torch.save(content, stream)
        write_atomically(path, stream.getvalue())

    def restore(self, path: str | os.PathLike[str], place: torch.device) -> None:
        try:
            content = torch.load(path, map_location=place, weights_only=True)
            recipe = dict(content["recipe"])
        except Exception as error:  # noqa: BLE001 - torch raises anything on a damaged file
            raise _damaged(path, error) from None
        if recipe != self.recipe.as_dict():
            raise InputError(
                f"{os.fspath(path)} is the checkpoint of another recipe: delete it to start "
                f"afresh, or train with {recipe}"
            )
        try:
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.schedule.load_state_dict(content["schedule"])
            self.generator.set_state(content["generator"].cpu())
            self.attacks.set_state(content["attacks"].cpu())
            self.epoch, self.seconds = int(content["epoch"]), float(content["seconds"])
            if not (0 <= self.epoch <= self.recipe.epochs and self.seconds >= 0):
                raise ValueError(f"epoch {self.epoch} after {self.seconds} s")
        except (
            OverflowError,
            RuntimeError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            raise _damaged(path, error) from None


def _damaged(path: str | os.PathLike[str], error: Exception) -> InputError:
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(
        f"{os.fspath(path)} is not a usable checkpoint ({first_line}): delete it to start afresh"
    )


def _epoch(model: TrainableNetwork, state: _State, images: Tensor, labels: Tensor) -> float:
    """One pass over the training images; returns the mean loss."""
    order = torch.randperm(len(labels), generator=state.generator).to(labels.device)
    total = torch.zeros((), device=labels.device)
    batches = torch.split(order[: state.batches * state.batch_size], state.batch_size)
    for batch in batches:
        loss = _loss(model, state, images[batch].float(), labels[batch])
        state.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        state.optimizer.step()
        state.schedule.step()
        model.clamp()
        total += loss.detach()
    return float(total) / len(batches)


def _loss(model: TrainableNetwork, state: _State, levels: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of a batch, attacked first where training is robust."""
    if state.recipe.robust is None:
        model.train()
        return nn.functional.cross_entropy(model(levels / LEVELS), labels)
    model.eval()
    steps = state.recipe.attack_steps
    seen = attacked(model, levels, labels, state.radius, steps, state.attacks)
    model.train()
    return nn.functional.cross_entropy(model.scores(seen), labels)


def accuracy(model: TrainableNetwork, images: Tensor, labels: Tensor) -> float:
    """Share of uint8 `images`, shape (count, pixels), that the network classifies right."""
    model.eval()
    dtype = model.output.latent.dtype
    right = 0
    with torch.no_grad():
        parts = torch.split(images, EVALUATION_BATCH), torch.split(labels, EVALUATION_BATCH)
        for x, y in zip(*parts, strict=True):
            right += int((model(x.to(dtype) / LEVELS).argmax(dim=1) == y).sum())
    return right / len(labels)


def _resident(dataset: str, split: datasets.Split, place: torch.device) -> tuple[Tensor, Tensor]:
    data = datasets.load(dataset, split)
    images = torch.tensor(data.images.reshape(len(data), -1), device=place)
    return images, torch.tensor(data.labels, dtype=torch.int64, device=place)

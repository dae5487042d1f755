"""The training loop: Adam, cosine schedule, the data resident on the device, checkpoints."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bnnopt import datasets
from bnnopt.errors import InputError, UnknownNameError
from bnnopt.training.bounds import box, worst_scores
from bnnopt.training.model import TrainableNetwork
from bnnopt.training.recipe import LEVELS, Recipe
from bnnopt.training.robust import attacked
from bnnopt.training.state import TrainingState

__all__ = [
    "DEVICES",
    "TrainingRun",
    "accuracy",
    "begin",
    "build",
    "pick_device",
    "resident",
    "train",
]

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
    graph: bool = True,
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
    graph : bool
        Capture the step in a CUDA graph, on a CUDA device; the same seed gives the same network
        with and without, as far as the device's kernels repeat themselves.

    Raises
    ------
    InputError
        If the checkpoint belongs to another recipe or is damaged.
    """
    place = pick_device(device)
    images, labels = resident(recipe.dataset, "train", place)
    if recipe.held_out:
        check_images, check_labels = images[-recipe.held_out :], labels[-recipe.held_out :]
        images, labels = images[: -recipe.held_out], labels[: -recipe.held_out]
    else:
        check_images, check_labels = resident(recipe.dataset, "test", place)
    state = begin(recipe, images.shape[1], len(labels), place, checkpoint, graph)
    model = state.model
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


def begin(
    recipe: Recipe,
    num_inputs: int,
    num_images: int,
    place: torch.device,
    checkpoint: str | os.PathLike[str] | None,
    graph: bool = True,
) -> TrainingState:
    """A recipe's network with the weights of its seed, or where its checkpoint left it."""
    torch.manual_seed(recipe.seed)
    state = TrainingState(recipe, build(recipe, num_inputs).to(place), num_images, graph)
    if checkpoint is not None and Path(checkpoint).exists():
        state.restore(checkpoint)
    return state


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
        head_range=recipe.head_range,
    )


def _epoch(model: TrainableNetwork, state: TrainingState, images: Tensor, labels: Tensor) -> float:
    """One pass over the training images; returns the mean loss."""

    def loss(batch: Tensor) -> Tensor:
        return _loss(model, state, images[batch].to(model.output.latent.dtype), labels[batch])

    order, rates = state.next_order(), state.next_rates()
    return float(state.step.epoch(loss, order, rates, state.radius))


def _loss(model: TrainableNetwork, state: TrainingState, levels: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of a batch, attacked first where training is robust, and bounded."""
    if state.recipe.robust is None:
        model.train()
        return nn.functional.cross_entropy(model(levels.div_(LEVELS)), labels)
    model.eval()
    recipe, radius = state.recipe, state.step.radius
    seen = attacked(model, levels, labels, radius, recipe.attack_steps, state.attacks)
    worst = None
    if recipe.bound_weight:
        worst = worst_scores(model, *box(model, levels, radius), labels)
    model.train()
    found = nn.functional.cross_entropy(model.scores(seen), labels)
    if worst is None:
        return found
    weight = (radius * (recipe.bound_weight / recipe.radius)).to(found.dtype)  # grows with epsilon
    return torch.lerp(found, nn.functional.cross_entropy(worst, labels), weight)


def accuracy(model: TrainableNetwork, images: Tensor, labels: Tensor) -> float:
    """Share of uint8 `images`, shape (count, pixels), that the network classifies right."""
    model.eval()
    dtype = model.output.latent.dtype
    right = torch.zeros((), dtype=torch.int64, device=labels.device)
    with torch.no_grad():
        parts = torch.split(images, EVALUATION_BATCH), torch.split(labels, EVALUATION_BATCH)
        for x, y in zip(*parts, strict=True):
            right += (model(x.to(dtype) / LEVELS).argmax(dim=1) == y).sum()
    return int(right) / len(labels)


def resident(dataset: str, split: datasets.Split, place: torch.device) -> tuple[Tensor, Tensor]:
    """A data set's images on a device: uint8, shape (count, pixels), and labels, shape (count,)."""
    data = datasets.load(dataset, split)
    images = torch.tensor(data.images.reshape(len(data), -1), device=place)
    return images, torch.tensor(data.labels, dtype=torch.int64, device=place)

"""Where a training is: all that an epoch changes, and the file that keeps it."""

from __future__ import annotations

import io
import os
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from bnnopt.errors import InputError
from bnnopt.files import write_atomically
from bnnopt.training.model import TrainableNetwork
from bnnopt.training.recipe import Recipe
from bnnopt.training.step import Step, cosine_rates

__all__ = ["TrainingState"]


class TrainingState:
    """All that an epoch changes; saved whole, so that a resumed run repeats nothing.

    Parameters
    ----------
    recipe : Recipe
    model : TrainableNetwork
        On the device that trains it.
    num_images : int
        Training images.
    graph : bool
        As for `bnnopt.training.step.Step`.
    """

    def __init__(
        self, recipe: Recipe, model: TrainableNetwork, num_images: int, graph: bool = True
    ) -> None:
        self.recipe, self.model, self.num_images = recipe, model, num_images
        self.batch_size = min(recipe.batch_size, num_images)
        self.batches = num_images // self.batch_size  # the rest of an epoch's order is left out
        place = model.output.latent.device
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.attacks = torch.Generator(place).manual_seed(recipe.seed)  # apart from the order's
        self.step = Step(
            model.parameters(),
            (self.batches, self.batch_size),
            graph=graph,
            generators=() if recipe.robust is None else (self.attacks,),
            after=model.clamp,
        )
        self.epoch = 0
        self.seconds = 0.0
        self._begin_rates()

    def _begin_rates(self) -> None:
        steps = self.recipe.epochs * self.batches
        self._rates = cosine_rates(self.recipe.learning_rate, steps, self.epoch * self.batches)

    @property
    def radius(self) -> float:
        """How far this epoch's attacks go, in levels."""
        ramp = self.recipe.ramp * self.recipe.epochs
        return self.recipe.radius * min((self.epoch + 1) / ramp if ramp else 1.0, 1.0)

    def next_rates(self) -> list[float]:
        """The learning rates of the epoch that begins."""
        return list(islice(self._rates, self.batches))

    def next_order(self) -> Tensor:
        """The images of its batches, drawn anew: shape (batches, batch size), on the host."""
        order = torch.randperm(self.num_images, generator=self.generator)
        return order[: self.batches * self.batch_size].view(self.batches, self.batch_size)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint, whole or not at all."""
        content: dict[str, Any] = {
            "recipe": self.recipe.as_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizer": self.step.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "attacks": self.attacks.get_state(),
        }
        stream = io.BytesIO()
        torch.save(content, stream)
        write_atomically(path, stream.getvalue())

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Take over a checkpoint.

        Raises
        ------
        InputError
            If it belongs to another recipe or is damaged.
        """
        place = self.model.output.latent.device
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
            self.step.restore(dict(content["optimizer"]["state"]))
            self.generator.set_state(content["generator"].cpu())
            if self.recipe.robust is not None:  # states of other devices have another size
                self.attacks.set_state(content["attacks"].cpu())
            self.epoch, self.seconds = int(content["epoch"]), float(content["seconds"])
            if not (0 <= self.epoch <= self.recipe.epochs and self.seconds >= 0):
                raise ValueError(f"epoch {self.epoch} after {self.seconds} s")
        except (
            OverflowError,
            RuntimeError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            raise _damaged(path, error) from None
        self._begin_rates()


def _damaged(path: str | os.PathLike[str], error: Exception) -> InputError:
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(
        f"{os.fspath(path)} is not a usable checkpoint ({first_line}): delete it to start afresh"
    )

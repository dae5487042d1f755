"""Everything that defines a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bnnopt.datasets import NAMES
from bnnopt.errors import InputError, UnknownNameError
from bnnopt.training.model import HEADS, Head

__all__ = ["Recipe"]

MAX_DEPTH, MAX_WIDTH, MAX_EPOCHS = 16, 4096, 10_000


@dataclass(frozen=True)
class Recipe:
    """A training run: the same recipe on the same device and threads gives the same network.

    Parameters
    ----------
    dataset : {"mnist", "fashion-mnist"}
        To learn from.
    depth, width : int
        Hidden layers, and neurons of each.
    head : {"integer", "batchnorm"}
        See `bnnopt.training.model.TrainableNetwork`.
    epochs : int
        Passes over the 60,000 training images.
    batch_size : int
        Images a step.
    learning_rate : float
        Adam's at the start; a cosine takes it to zero.
    seed : int
        Of the initial weights and the order of the batches.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    dataset: str
    depth: int
    width: int
    head: Head = "integer"
    epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 0.003
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dataset not in NAMES:
            raise UnknownNameError("data set", self.dataset, NAMES)
        if self.head not in HEADS:
            raise UnknownNameError("head", self.head, HEADS)
        ranges = {
            "depth": (1, MAX_DEPTH),
            "width": (1, MAX_WIDTH),
            "epochs": (1, MAX_EPOCHS),
            "batch_size": (2, 60_000),
            "seed": (0, 2**63 - 1),
        }
        for key, (low, high) in ranges.items():
            if not low <= getattr(self, key) <= high:
                raise InputError(f"{key} must be from {low} to {high}, not {getattr(self, key)}")
        if not 0.0 < self.learning_rate <= 1.0:
            raise InputError(f"learning_rate must be in (0, 1], not {self.learning_rate}")

    @property
    def name(self) -> str:
        """The network's name, such as ``mnist-2x100``."""
        return f"{self.dataset}-{self.depth}x{self.width}"

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

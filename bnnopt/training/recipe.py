"""Everything that defines a training run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil
from typing import Any

from bnnopt.arguments import read_fraction
from bnnopt.datasets import NAMES
from bnnopt.errors import InputError, UnknownNameError
from bnnopt.training.model import HEADS, Head

__all__ = ["INPUTS", "LEVELS", "Convolutional", "Recipe"]

MAX_DEPTH, MAX_WIDTH, MAX_EPOCHS = 16, 4096, 10_000
MAX_CUTS, MAX_STEPS, MAX_HELD_OUT, MAX_HEAD_RANGE = 16, 100, 50_000, 1024
LEVELS = 255
INPUTS = ("levels", "binary", "cuts:N")

Convolutional = tuple[int, int, int]
"""Channels, the odd side of a kernel, and its stride; half a side is padded with absent inputs."""

_ALWAYS = ("dataset", "depth", "width", "head", "epochs", "batch_size", "learning_rate", "seed")
"""What every recipe says; files and checkpoints of version 0.1.0 say these only."""


@dataclass(frozen=True)
class Recipe:
    """A training run: the same recipe on the same device and threads gives the same network.

    Parameters
    ----------
    dataset : {"mnist", "fashion-mnist"}
        To learn from.
    depth : int
        Dense hidden layers, at least 1; 0 behind a convolution.
    width : int or tuple of int
        Neurons of each, or of one after the other; () for none.
    head : {"integer", "batchnorm"}
        See `bnnopt.training.model.TrainableNetwork`.
    epochs : int
        Passes over the training images.
    batch_size : int
        Images a step.
    learning_rate : float
        Adam's at the start; a cosine takes it to zero.
    seed : int
        Of the initial weights, the order of the batches, and the attacks.
    input : str
        What the first layer sees: ``"levels"``, the grey levels; ``"binary"``, whether a pixel
        reaches a cut; ``"cuts:N"``, N of those a pixel, up to 16.
    cuts : tuple of float or str, optional
        Where they are, in [0, 1] and rising; by default they split it evenly. A cut is put half a
        level below the first whole level that reaches it, so that no image is on it.
    learn_cuts : bool
        Whether the gradient moves the cuts.
    convolutions : tuple of (channels, side, stride)
        Convolutional layers before the dense ones; see `Convolutional`.
    dead_zone : float
        Latent weights of hidden layers that are smaller in size are absent; 0 keeps all.
    head_range : int
        Weights of an integer head are whole numbers of at most this size; with 0 they are -1 and
        +1, as in the paper.
    robust : float or str, optional
        Train on images attacked within this epsilon (`bnnopt.training.robust`).
    attack_steps : int
        Steps of gradient of such an attack; with 0, flips at random.
    bound_weight : float
        Share of the loss, in [0, 1], that is the loss of the worst scores that interval bounds
        leave possible (`bnnopt.training.bounds`); the rest is that of the attacked images.
    ramp : float
        Share of the epochs during which epsilon and `bound_weight` grow from 0, in [0, 1].
    held_out : int
        So many training images, the last ones, are not trained on: choices are made by them.
    title : str
        Name of the network; by default the data set and the layers.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    dataset: str
    depth: int
    width: int | tuple[int, ...]
    head: Head = "integer"
    epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 0.003
    seed: int = 0
    input: str = "levels"
    cuts: tuple[float | str, ...] | None = None
    learn_cuts: bool = False
    convolutions: tuple[Convolutional, ...] = ()
    dead_zone: float = 0.0
    head_range: int = 0
    robust: float | str | None = None
    attack_steps: int = 1
    bound_weight: float = 0.0
    ramp: float = 0.0
    held_out: int = 0
    title: str = ""

    def __post_init__(self) -> None:
        if self.dataset not in NAMES:
            raise UnknownNameError("data set", self.dataset, NAMES)
        if self.head not in HEADS:
            raise UnknownNameError("head", self.head, HEADS)
        self._check_layers()
        for key, (low, high) in {
            "epochs": (1, MAX_EPOCHS),
            "batch_size": (2, 60_000),
            "seed": (0, 2**63 - 1),
            "attack_steps": (0, MAX_STEPS),
            "held_out": (0, MAX_HELD_OUT),
            "head_range": (0, MAX_HEAD_RANGE),
        }.items():
            _check_range(key, getattr(self, key), low, high)
        if not 0.0 < self.learning_rate <= 1.0:
            raise InputError(f"learning_rate must be in (0, 1], not {self.learning_rate}")
        for key in ("dead_zone", "ramp", "bound_weight"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise InputError(f"{key} must be in [0, 1], not {getattr(self, key)}")
        if self.head_range and self.head != "integer":
            raise InputError("head_range is of an integer head: leave it out, or give that head")
        self._check_cuts()
        if self.robust is not None:
            read_fraction(self.robust, "robust", low=0, high=1)
            if self.input == "levels" and self.attack_steps == 0:
                raise InputError("attack_steps must be at least 1 where the input is levels")
        if self.bound_weight and not self.radius:
            raise InputError("bound_weight needs an epsilon to bound within: give robust")

    def _check_layers(self) -> None:
        _check_range("depth", self.depth, 0 if self.convolutions else 1, MAX_DEPTH)
        if isinstance(self.width, tuple) and len(self.width) != self.depth:
            raise InputError(f"width has {len(self.width)} numbers for a depth of {self.depth}")
        for width in self.widths:
            _check_range("width", width, 1, MAX_WIDTH)
        for block in self.convolutions:
            if len(block) != 3 or not all(isinstance(part, int) and part > 0 for part in block):
                raise InputError(f"a convolution is (channels, side, stride), not {block}")
            channels, side, stride = block
            _check_range("a convolution's channels", channels, 1, 256)
            if side % 2 == 0 or side > 27 or stride > side:
                raise InputError(
                    f"a convolution's side must be odd, at most 27 and at least its stride: {block}"
                )

    def _check_cuts(self) -> None:
        count = self.num_cuts
        if self.cuts is None:
            if self.learn_cuts and not count:
                raise InputError("learn_cuts needs cuts to learn: give input 'binary' or 'cuts:N'")
            return
        if len(self.cuts) != count:
            raise InputError(
                f"input {self.input!r} has {count} cuts a pixel, not {len(self.cuts)}: "
                "give input 'binary' for one, 'cuts:N' for more"
            )
        levels = self.cut_levels
        if list(levels) != sorted(set(levels)):
            raise InputError(f"cuts must rise by at least a level each, not {self.cuts}")

    @property
    def num_cuts(self) -> int:
        """Cuts a pixel; 0 where the first layer sees levels."""
        kind, _, count = self.input.partition(":")
        if self.input in ("levels", "binary"):
            return int(self.input == "binary")
        if kind != "cuts":
            raise UnknownNameError("input", self.input, INPUTS)
        if not count.isdecimal() or not 1 <= int(count) <= MAX_CUTS:
            raise InputError(f"input 'cuts:N' takes from 1 to {MAX_CUTS} cuts, not {count!r}")
        return int(count)

    @property
    def cut_levels(self) -> tuple[float, ...]:
        """The cuts at the start, in levels: whole numbers and a half."""
        count = self.num_cuts
        given = self.cuts or tuple(f"{k}/{count + 1}" for k in range(1, count + 1))
        found = (read_fraction(cut, "a cut", low=0, high=1) for cut in given)
        return tuple(max(ceil(cut * LEVELS), 1) - 0.5 for cut in found)

    @property
    def radius(self) -> float:
        """The training epsilon in levels; 0 without one."""
        if self.robust is None:
            return 0.0
        return float(read_fraction(self.robust, "robust", low=0, high=1) * LEVELS)

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons of each dense hidden layer."""
        return self.width if isinstance(self.width, tuple) else (self.width,) * self.depth

    @property
    def name(self) -> str:
        """The network's name, such as ``mnist-2x100``."""
        blocks = [f"conv{channels}.{side}" for channels, side, _ in self.convolutions]
        if isinstance(self.width, tuple):
            blocks += map(str, self.width)
        elif self.depth:
            blocks.append(f"{self.depth}x{self.width}")
        return self.title or "-".join([self.dataset, *blocks])

    def as_dict(self) -> dict[str, Any]:
        """JSON values; other fields only where they are not the default."""
        kept = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name in _ALWAYS or getattr(self, field.name) != field.default
        }
        return {name: _as_json(value) for name, value in kept.items()}


def _as_json(value: Any) -> Any:
    return [_as_json(part) for part in value] if isinstance(value, tuple) else value


def _check_range(key: str, value: Any, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InputError(f"{key} must be from {low} to {high}, not {value}")

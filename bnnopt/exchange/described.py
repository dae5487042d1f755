"""A torch module from a state dict and a list of layers in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional

from bnnopt.errors import InputError, NetworkFormatError, UnknownNameError

__all__ = ["Described"]

Options = dict[str, str]
Layer = Callable[[torch.Tensor], torch.Tensor]

KINDS = {
    "linear": {"weights": "sign"},
    "conv": {"weights": "sign", "stride": "1", "padding": "0", "dilation": "1", "groups": "1"},
    "norm": {"eps": "1e-5"},
    "sign": {},
    "max_pool": {"stride": "", "padding": "0"},
    "mean_pool": {"stride": "", "padding": "0"},
    "global_mean": {},
    "hardtanh": {},
    "relu": {},
}
"""Layers, and their options with what those are if they are not given."""

OF_TENSORS = ("linear", "conv", "norm")
UNUSED = "num_batches_tracked"


@dataclass
class _Entry:
    """A layer of the state dict: tensors by the last part of their names."""

    name: str
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Which of `OF_TENSORS` it is."""
        names = set(self.tensors) - {UNUSED}
        if {"running_mean", "running_var"} <= names <= _NORM:
            return "norm"
        weight = self.tensors.get("weight")
        if weight is not None and names <= {"weight", "bias"} and weight.ndim in (2, 4):
            return "linear" if weight.ndim == 2 else "conv"
        raise NetworkFormatError(
            f"{self.name!r} with {', '.join(sorted(names))} is no linear layer, convolution of "
            "images or batch norm"
        )


_NORM = {"running_mean", "running_var", "weight", "bias"}


class _Step(torch.nn.Module):
    """One layer, as a module so that messages name it."""

    def __init__(self, run: Layer) -> None:
        super().__init__()
        self._run = run

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._run(x)


class Described(torch.nn.Module):
    """What a list of layers says, with the tensors of a state dict.

    Parameters
    ----------
    tensors : dict of str to torch.Tensor
    layers : sequence of str
        As `bnnopt.from_state_dict` takes them.
    sign_of_zero : int
        0, 1 or -1.

    Attributes
    ----------
    input_shape : tuple of int or None
        Of the image, where a linear layer comes first.
    """

    def __init__(
        self, tensors: dict[str, torch.Tensor], layers: Sequence[str], sign_of_zero: int
    ) -> None:
        super().__init__()
        self._zero = sign_of_zero
        self.input_shape: tuple[int, ...] | None = None
        left = _entries(tensors)
        if isinstance(layers, str) or not all(isinstance(layer, str) for layer in layers):
            raise InputError("layers is a list of words, such as ['linear', 'norm', 'sign']")
        shaped = False
        for number, text in enumerate(layers):
            kind, name, options = _read(text)
            entry = _taken(left, kind, name, text) if kind in OF_TENSORS else None
            if entry is not None and kind != "norm" and not shaped:
                shaped = True
                if kind == "linear":
                    self.input_shape = (entry.tensors["weight"].shape[1],)
            run = self._layer(kind, name, options, entry)
            self.add_module(f"{number}_{kind}", _Step(run))
        if left:
            raise NetworkFormatError(
                f"no layer uses {', '.join(repr(name) for name in left)}: name it in layers"
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One layer after the other."""
        for layer in self.children():
            x = layer(x)
        return x

    def _layer(self, kind: str, name: str, options: Options, entry: _Entry | None) -> Layer:
        match kind:
            case "linear" | "conv":
                assert entry is not None
                return self._weighted(kind, options, entry)
            case "norm":
                assert entry is not None
                return _norm(options, entry)
            case "sign":
                return self._sign
            case "max_pool" | "mean_pool":
                return _pool(kind, name, options)
            case "global_mean":
                return lambda x: x.mean((2, 3), keepdim=True)
            case "hardtanh":
                return functional.hardtanh
        return functional.relu

    def _sign(self, x: torch.Tensor) -> torch.Tensor:
        if self._zero == 0:
            return x.sign()
        return torch.where(x >= 0 if self._zero > 0 else x > 0, 1.0, -1.0)

    def _weighted(self, kind: str, options: Options, entry: _Entry) -> Layer:
        if options["weights"] not in ("sign", "real"):
            raise InputError(f"weights={options['weights']} must be sign or real")
        weight, bias = entry.tensors["weight"], entry.tensors.get("bias")
        if options["weights"] == "sign":
            weight = self._sign(weight)
        if kind == "linear":
            return lambda x: functional.linear(x.flatten(1), weight, bias)
        whole = {key: _number(key, value) for key, value in options.items() if key != "weights"}
        return lambda x: functional.conv2d(x, weight, bias, **whole)


def _entries(tensors: dict[str, torch.Tensor]) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        found.setdefault(layer, _Entry(layer)).tensors[part] = tensor
    return found


def _read(text: str) -> tuple[str, str, Options]:
    """A layer's kind, its name or size, and its options."""
    kind, *rest = text.split() or [""]
    if kind not in KINDS:
        raise UnknownNameError("layer", kind, KINDS)
    names = [word for word in rest if "=" not in word]
    given = dict(word.split("=", 1) for word in rest if "=" in word)
    unknown = [key for key in given if key not in KINDS[kind]]
    if unknown:
        raise UnknownNameError(f"option of {kind}", unknown[0], KINDS[kind] or ["none"])
    takes_one = kind in OF_TENSORS or kind.endswith("_pool")
    if len(names) > takes_one:
        raise InputError(f"{text!r} has too many words: a kind, a name, and options with =")
    return kind, names[0] if names else "", KINDS[kind] | given


def _taken(left: dict[str, _Entry], kind: str, name: str, text: str) -> _Entry:
    """The layer of the state dict that is meant, which no other may take."""
    if name:
        if name not in left:
            raise UnknownNameError("layer of the state dict", name, left or ["none is left"])
        if left[name].kind != kind:
            raise NetworkFormatError(f"{name!r} is a {left[name].kind} layer, not {kind}")
        return left.pop(name)
    for known, entry in left.items():
        if entry.kind == kind:
            return left.pop(known)
    raise NetworkFormatError(f"{text!r}: the state dict has no {kind} layer that is left")


def _norm(options: Options, entry: _Entry) -> Layer:
    parts, epsilon = entry.tensors, _number("eps", options["eps"], float)
    return lambda x: functional.batch_norm(
        x,
        parts["running_mean"],
        parts["running_var"],
        parts.get("weight"),
        parts.get("bias"),
        eps=epsilon,
    )


def _pool(kind: str, size: str, options: Options) -> Layer:
    if not size:
        raise InputError(f"{kind} needs the size of its windows: '{kind} 2'")
    side = _number("a window's size", size)
    stride = _number("stride", options["stride"]) if options["stride"] else side
    padding = _number("padding", options["padding"])
    pool = functional.max_pool2d if kind == "max_pool" else functional.avg_pool2d
    return lambda x: pool(x, side, stride, padding)


def _number(name: str, text: str, kind: Any = int) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{name} must be a number, not {text!r}") from None

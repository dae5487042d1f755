"""One node of an ONNX file, or one operator in its words, as handlers see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.image import FileInput
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["Final", "Handler", "Node", "registry"]


@dataclass(frozen=True)
class Final:
    """Logits behind a Softmax or LogSoftmax, which keeps their order."""

    tensor: Tensor


@dataclass
class Node:
    """One operator in the graph.

    Parameters
    ----------
    kind : str
    opset : int
    inputs : list of Tensor, Final, array or None
    attributes : dict
    about : FileInput
        What the file takes.
    note : callable
        Takes what a user should know.
    outputs : int
        How many outputs are used.
    """

    kind: str
    opset: int
    inputs: list[Any]
    attributes: dict[str, Any]
    about: FileInput
    note: Callable[[str], None]
    outputs: int = 1

    @property
    def may_be_batch(self) -> bool:
        """Whether the first axis, of one here, can have several images in the file."""
        return self.about.has_batch and self.about.batch != 1

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def tensor(self, index: int = 0) -> Tensor:
        """An input that depends on the image."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(value, Final):
            raise NetworkFormatError("it follows a Softmax, which must be last")
        if not isinstance(value, Tensor):
            raise NetworkFormatError(f"its input {index + 1} must depend on the image")
        return value

    def array(self, index: int, default: Any = None) -> Any:
        """An input that is constant."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(value, Tensor | Final):
            raise NetworkFormatError(f"its input {index + 1} must be constant")
        return default if value is None else value

    def given(self, index: int, what: str) -> Any:
        """An input that is constant and must be there."""
        value = self.array(index)
        if value is None:
            raise NetworkFormatError(f"it has no {what}")
        return value

    def whole(self, index: int, attribute: str, default: Any = None) -> list[int] | None:
        """Whole numbers, from an input or, in older files, an attribute."""
        value = self.array(index, self.get(attribute, default))
        return None if value is None else [int(v) for v in np.ravel(value)]

    def some(self, index: int, attribute: str) -> list[int]:
        """Whole numbers that must be there."""
        found = self.whole(index, attribute)
        if found is None:
            raise NetworkFormatError(f"it has no {attribute}")
        return found


Handler: TypeAlias = Callable[[Any], Any]
Register: TypeAlias = Callable[..., Callable[[Handler], Handler]]


def registry() -> tuple[dict[str, Handler], Register]:
    """Handlers by the names of what they handle, and a decorator that adds one to them."""
    known: dict[str, Handler] = {}

    def handles(*names: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            known.update(dict.fromkeys(names, handler))
            return handler

        return register

    return known, handles

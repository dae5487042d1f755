"""An operation of ATen with what it sees, and the handlers of operations by name.

A handler takes a `Call` and returns the output, or a list of outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange import linear
from bnnopt.exchange.building import Building
from bnnopt.exchange.operators import Final
from bnnopt.exchange.tensor import Tensor
from bnnopt.exchange.torch_recording import Operation

__all__ = ["HANDLERS", "Call", "handles"]


@dataclass(frozen=True)
class Call:
    """One operation, and what its arguments are.

    Parameters
    ----------
    operation : Operation
    values : dict
        Its arguments: a `Tensor` or `Final` where the operation has a `Value`.
    building : Building
    """

    operation: Operation
    values: dict[str, Any]
    building: Building

    def get(self, name: str, default: Any = None) -> Any:
        """An argument."""
        return self.values.get(name, default)

    def tensor(self, name: str = "self") -> Tensor:
        """One that depends on the image."""
        value = self.get(name)
        if isinstance(value, Final):
            raise NetworkFormatError("it follows a Softmax, which must be last")
        if not isinstance(value, Tensor):
            raise NetworkFormatError(f"its {name} must depend on the image")
        return value

    def constant(self, name: str, like: Tensor | None = None) -> Any:
        """One that does not, in the precision of a tensor; None if there is none."""
        value = self.get(name)
        if isinstance(value, Tensor | Final):
            raise NetworkFormatError(f"its {name} must not depend on the image")
        if value is None or like is None:
            return value
        return np.asarray(value, dtype=like.precision)

    def onnx(self, kind: str, *inputs: Any, **attributes: Any) -> Any:
        """An operator of ONNX."""
        return self.building.applied(kind, self.operation.name, inputs, attributes)

    def single(self, name: str = "self") -> Tensor:
        """A tensor behind which a step can follow."""
        return linear.single(self.tensor(name), self.building.noter(self.operation.name))


Handler = Callable[[Call], Any]
HANDLERS: dict[str, Handler] = {}


def handles(*kinds: str) -> Callable[[Handler], Handler]:
    """Register a handler."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(kinds, handler))
        return handler

    return register

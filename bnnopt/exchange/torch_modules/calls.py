"""One operation of ATen, as its handlers see it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.torch_modules.recording import Operation
from bnnopt.exchange.traced import linear
from bnnopt.exchange.traced.building import Building
from bnnopt.exchange.traced.node import Final
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["Call", "of_kind"]

DOUBLE = np.dtype(np.float64)


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

    @property
    def kind(self) -> np.dtype[Any]:
        """The type of what it gives."""
        return np.dtype(self.operation.kinds[0])

    def operand(self, name: str) -> Any:
        """A tensor or number in the type of what it gives, as torch converts it first."""
        value = self.get(name)
        if isinstance(value, Tensor | Final):
            tensor = of_kind(self.tensor(name), self.kind)
            return replace(tensor, precision=DOUBLE) if _is_count(tensor) else tensor
        return np.asarray(value, dtype=self.kind)

    def constant(self, name: str, like: Tensor | None = None) -> Any:
        """One that does not, in the precision of a tensor; None if there is none."""
        value = self.get(name)
        if isinstance(value, Tensor | Final):
            raise NetworkFormatError(f"its {name} must not depend on the image")
        if value is None or like is None or like.precision.kind != "f":
            return value
        return np.asarray(value, dtype=like.precision)

    def onnx(self, kind: str, *inputs: Any, **attributes: Any) -> Any:
        """An operator of ONNX."""
        return self.building.applied(kind, self.operation.name, inputs, attributes)

    def single(self, name: str = "self") -> Tensor:
        """A tensor behind which a step can follow."""
        return linear.single(self.tensor(name), self.building.noter(self.operation.name))


def _is_count(tensor: Tensor) -> bool:
    """Whether it is a sum of signs in whole numbers, which are small: those are of doubles too."""
    return tensor.precision == np.int64 and not tensor.is_stepped


def of_kind(tensor: Tensor, kind: np.dtype[Any]) -> Tensor:
    """A tensor in the type that torch says it has."""
    if tensor.precision == kind:
        return tensor
    if tensor.is_stepped:
        return tensor.mapped(lambda values: values.astype(kind))
    if tensor.precision.kind == "f" and kind.kind != "f":
        raise NetworkFormatError(f"it makes real numbers {kind}: only signs have few values")
    return replace(tensor, precision=kind)

"""A network as it is read: values by name, signs that become neurons, and the output."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.neurons import materialized
from bnnopt.exchange.operators import OPERATORS, Final, Node
from bnnopt.exchange.tensor import Tensor

__all__ = ["Building", "Walk"]

LINEAR = frozenset(
    ["MatMul", "Gemm", "Conv", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Pad"]
)
"""Operators whose input becomes neurons where it takes a few values; so do those of several."""


@dataclass
class Walk:
    """What came of it.

    Parameters
    ----------
    output : Tensor
        The logits, over the base of the last neurons.
    softmax : bool
        Whether a Softmax or LogSoftmax was left out at the end.
    notes : list of str
    signs : dict of str to Tensor
        The tensors that became neurons, by the file's names.
    """

    output: Tensor
    softmax: bool
    notes: list[str]
    signs: dict[str, Tensor] = field(default_factory=dict)


class Building:
    """What is known while a network is read, operator by operator.

    Parameters
    ----------
    uses : Counter of str
        How many operators take each value that has a name.
    batch : int or None
        The batch's size that the file was written for, if it is fixed.
    """

    def __init__(self, uses: Counter[str], batch: int | None = None) -> None:
        self.values: dict[str, Any] = {}
        self.notes: list[str] = []
        self._uses, self._batch = uses, batch
        self._names: dict[Tensor, str] = {}
        self._made: dict[Tensor, Tensor] = {}
        self._signs: dict[str, Tensor] = {}

    def put(self, name: str, value: Any) -> None:
        """Name a value; one of few values that several operators take becomes neurons at once."""
        if isinstance(value, Tensor):
            self._names.setdefault(value, name)
            if value.is_stepped and self._uses[name] > 1:
                value = self.neurons(value)
        self.values[name] = value

    def neurons(self, tensor: Tensor, where: str = "") -> Tensor:
        """A tensor of few values over the neurons that decide them, made once."""
        if not tensor.is_stepped:
            return tensor
        if tensor not in self._made:
            name = self._names.get(tensor, where)
            self._made[tensor] = materialized(tensor, name)
            if tensor in self._names:
                self._signs[name] = self._made[tensor]
        return self._made[tensor]

    def noter(self, where: str) -> Callable[[str], None]:
        """What takes a note about an operator."""
        return lambda text: self.notes.append(f"{where}: {text}")

    def applied(
        self,
        kind: str,
        name: str,
        inputs: Sequence[Any],
        attributes: dict[str, Any],
        *,
        opset: int = 20,
        outputs: int = 1,
    ) -> Any:
        """What one of `OPERATORS` makes of tensors and constants.

        Parameters
        ----------
        kind : str
            In ONNX's names.
        name : str
            What to call it in notes.
        inputs : sequence of Tensor, Final, array or None
        attributes : dict
            ONNX's.
        opset, outputs : int
        """
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        if kind in LINEAR or (len(tensors) > 1 and not _are_parts_of_one(tensors)):
            inputs = [self.neurons(v, name) if isinstance(v, Tensor) else v for v in inputs]
        note = self.noter(name)
        about = Node(kind, name, opset, list(inputs), attributes, self._batch, note, outputs)
        return OPERATORS[kind](about)

    def ended(self, name: str) -> Walk:
        """The logits, from the value that is the output."""
        value = self.values.get(name)
        is_final = isinstance(value, Final)
        tensor = value.tensor if isinstance(value, Final) else value
        if not isinstance(tensor, Tensor):
            raise NetworkFormatError("its output does not depend on the image")
        if math.prod(tensor.shape) != tensor.shape[-1] and math.prod(tensor.shape) != max(
            tensor.shape
        ):
            raise NetworkFormatError(f"its output has the shape {tensor.shape}: one a class fits")
        try:
            output = self.neurons(tensor, name).affine()
        except NetworkFormatError as error:
            raise NetworkFormatError(f"output {name!r} does not fit: {error}") from None
        return Walk(output, is_final, list(dict.fromkeys(self.notes)), self._signs)


def _are_parts_of_one(tensors: list[Tensor]) -> bool:
    return all(tensor.elements is tensors[0].elements for tensor in tensors)
